//! `netem apply`, `run` and `clear`: the process that holds the links of one machine or container shaped.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use starling_netem::control::{Client, Holder, SOCKET};
use starling_netem::{Backend, End, Netns, Scope, Shaping, Zones, restore};

use super::{ask_to_clear, parse_backend, place};

/// Who is shaped, and how.
#[derive(clap::Args)]
pub struct Options {
    /// Zone file; the built-in one has the zones FRA, IAD and BOM
    #[arg(long, env = "NETEM_ZONES", value_name = "FILE")]
    zones: Option<PathBuf>,
    /// Zone of this node; found by its address if not given
    #[arg(long, env = "STARLING_ZONE")]
    zone: Option<String>,
    /// Name of this node; the host name if not given
    #[arg(long, env = "STARLING_NAME")]
    name: Option<String>,
    /// Device to shape; found by its address if not given
    #[arg(long)]
    device: Option<String>,
    /// tc (kernel netem), nfqueue (user space), or auto: tc where the kernel has it
    #[arg(long, env = "NETEM_BACKEND", default_value = "auto", value_parser = parse_backend)]
    backend: std::option::Option<Backend>,
    /// Who may order faults: mode of the control socket, octal
    #[arg(long, default_value = "600", value_parser = parse_mode)]
    socket_mode: u32,
}

fn parse_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected an octal mode such as 660".to_owned()),
    }
}

fn socket_path(socket: Option<PathBuf>) -> PathBuf {
    socket.unwrap_or_else(|| PathBuf::from(SOCKET))
}

fn load_zones(file: Option<&Path>) -> Result<Zones, Box<dyn Error>> {
    Ok(file.map_or_else(|| Ok(Zones::builtin()), Zones::load)?)
}

/// Shapes until a signal or `netem clear`. Says on stdout when it does.
pub fn run(options: &Options, socket: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let zones = load_zones(options.zones.as_deref())?;
    let end = place::find(&zones, options.name.clone(), options.zone.clone(), options.device.as_deref())?;
    // Before anything is changed, so that no signal leaves something behind.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let handle = signals.handle();
    let socket = socket_path(socket);
    let guard = Guard::start(&end.device, lock(&socket)?)?;
    let described = describe(&end);
    let mut shaping = Shaping::new(zones, Scope::Own, options.backend, &end)?;
    shaping.add(end)?;
    let backend = shaping.backend().name();
    let clear = Box::new(move || handle.close());
    let holder = Holder::start(shaping, &socket, options.socket_mode, Some(clear))?;
    println!("{described} is shaped by {backend}");
    if let Some(signal) = signals.forever().next() {
        tracing::info!(signal, "restoring");
    }
    drop(holder);
    guard.dismiss()
}

fn describe(end: &End) -> String {
    format!("{} in {} on {}", end.node.name, end.node.zone, end.device)
}

/// Starts `netem run` in the background and waits until it shapes.
pub fn apply(options: &Options, socket: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let socket = socket_path(socket);
    if let Ok(mut old) = Client::connect(&socket) {
        // Anew, with these options.
        ask_to_clear(&mut old)?;
    }
    make_folder(&socket)?;
    let log = socket.with_extension("log");
    let log_file = open(&log)?;
    let logged_bytes = log_file.metadata()?.len();
    let mut child = Command::new(std::env::current_exe()?)
        .args(options.words(&socket))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("the background process has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        child.wait()?;
        let said = fs::read(&log).unwrap_or_default();
        let said = said.get(usize::try_from(logged_bytes)?..).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        let last = said.lines().last().unwrap_or("it said nothing").trim_start_matches("netem: ").to_owned();
        return Err(last.into());
    }
    eprint!("{line}");
    Ok(())
}

impl Options {
    /// The command line of `netem run` with the same options.
    fn words(&self, socket: &Path) -> Vec<std::ffi::OsString> {
        let mut words: Vec<std::ffi::OsString> = vec!["run".into(), "--socket".into(), socket.into()];
        let mut option = |name: &str, value: Option<std::ffi::OsString>| {
            words.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        option("--zones", self.zones.as_ref().map(Into::into));
        option("--zone", self.zone.as_ref().map(Into::into));
        option("--name", self.name.as_ref().map(Into::into));
        option("--device", self.device.as_ref().map(Into::into));
        option("--backend", Some(self.backend.map_or("auto", Backend::name).into()));
        option("--socket-mode", Some(format!("{:o}", self.socket_mode).into()));
        words
    }
}

/// Restores: by the holder if there is one, else by hand what a killed one has left.
pub fn clear(
    socket: Option<PathBuf>,
    device: Option<String>,
    zones: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    if let Ok(mut client) = Client::connect(&socket_path(socket)) {
        ask_to_clear(&mut client)?;
        eprintln!("restored");
        return Ok(());
    }
    let device = match device {
        Some(device) => device,
        None => place::find(&load_zones(zones)?, None, None, None)?.device,
    };
    let found = restore(&Netns::Current, &device)?;
    eprintln!(
        "{device}: {}",
        if found { "restored what a run that was killed has left" } else { "nothing to restore" }
    );
    Ok(())
}

/// Only its own folder is made. Another one has to be there: a name that was mistyped makes nothing.
fn make_folder(socket: &Path) -> Result<(), Box<dyn Error>> {
    let folder = socket.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if socket == Path::new(SOCKET) {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    if !folder.is_dir() {
        return Err(format!("--socket: there is no folder {}", folder.display()).into());
    }
    Ok(())
}

/// A file beside the socket. One that is there keeps what is in it: it may be another's by the same name.
fn open(path: &Path) -> Result<File, Box<dyn Error>> {
    let opened = File::options().create(true).append(true).open(path);
    Ok(opened.map_err(|error| format!("{}: {error}", path.display()))?)
}

/// One holder at a time, its guard included: the guard of one that was killed must not restore what the next one shapes.
fn lock(socket: &Path) -> Result<File, Box<dyn Error>> {
    const WAIT_MAX: Duration = Duration::from_secs(5);
    let path = socket.with_extension("lock");
    make_folder(socket)?;
    let file = open(&path)?;
    let start = Instant::now();
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if start.elapsed() > WAIT_MAX {
            return Err(format!(
                "{}: {error}: another netem shapes here, `netem clear` ends it",
                path.display()
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(file)
}

/// A process that restores the device when this one dies, however it dies.
struct Guard {
    child: Child,
    lifeline: ChildStdin,
    _lock: File,
}

impl Guard {
    fn start(device: &str, lock: File) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["guard", "--device", device])
            // What ends us by Ctrl-C is not for the guard.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(lock.try_clone()?) // only to hold the lock as well
            .spawn()?;
        let lifeline = child.stdin.take().ok_or("the guard has no lifeline")?;
        Ok(Self { child, lifeline, _lock: lock })
    }

    /// There is nothing left to restore.
    fn dismiss(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.lifeline);
        self.child.wait()?;
        Ok(())
    }
}

/// Waits for the end of the holder, which holds the other end of stdin.
pub fn guard(device: &str) -> Result<(), Box<dyn Error>> {
    let mut byte = [0];
    loop {
        match io::stdin().read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if restore(&Netns::Current, device)? {
        tracing::warn!(device, "the process that held the links was killed: restored");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_socket_by_chance_stays() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notes.sock");
        for name in ["notes.log", "notes.lock"] {
            fs::write(folder.path().join(name), "precious").unwrap();
        }
        drop(open(&socket.with_extension("log")).unwrap());
        drop(lock(&socket).unwrap());
        for name in ["notes.log", "notes.lock"] {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"precious");
        }
        assert!(make_folder(&folder.path().join("none/control.sock")).is_err());
        assert!(!folder.path().join("none").exists());
    }
}
