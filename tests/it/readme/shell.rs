//! A newcomer's terminal: commands run in one folder, as they are typed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::PATIENCE;

/// Where commands run.
pub struct Shell {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

/// A command that runs, with all it has started; killed when dropped.
pub struct Running {
    child: Child,
    printed: Arc<Printed>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Printed {
    text: Mutex<String>,
    grown: Condvar,
}

impl Shell {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Each curl says last what status it got.
        std::fs::write(folder.path().join(".curlrc"), "write-out = \"%{stderr}\\nstatus %{http_code}\\n\"\n")
            .unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_starling")).parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
        let home = folder.path().display().to_string();
        let env = vec![("PATH", path), ("HOME", home.clone()), ("CURL_HOME", home)];
        Self { folder, env }
    }

    /// A variable of its environment.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.env.push((name, value.into()));
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a command.
    pub fn start(&self, command: &str) -> Running {
        let mut shell = Command::new("bash");
        // What this project's programs take from the environment is not a newcomer's.
        shell.env_clear().envs(self.env.iter().cloned()).env("STARLING_DIE_WITH_PARENT", "1");
        shell.args(["-c", &format!("set -euo pipefail\n{command}")]).current_dir(self.folder.path());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = shell.spawn().unwrap();
        let printed = Arc::<Printed>::default();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![read(out, Arc::clone(&printed)), read(err, Arc::clone(&printed))];
        Running { child, printed, readers }
    }

    /// Runs a command to its end, which has to be a good one. What it printed.
    pub fn run(&self, command: &str) -> String {
        let mut running = self.start(command);
        let status = running.ended();
        let printed = running.all();
        assert!(status.success(), "{command}\n{status}:\n{printed}");
        printed
    }
}

fn read(from: impl std::io::Read + Send + 'static, into: Arc<Printed>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        // What is cut off by the end of its process is of no use to anybody.
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            into.text.lock().push_str(&String::from_utf8_lossy(&line));
            into.grown.notify_all();
            line.clear();
        }
    })
}

impl Running {
    /// Waits until it has printed this, which it may do at any time.
    pub fn prints(&mut self, expected: &str) {
        let end = Instant::now() + PATIENCE;
        let mut text = self.printed.text.lock();
        while !text.contains(expected) {
            self.printed.grown.wait_for(&mut text, Duration::from_millis(100));
            let over = self.child.try_wait().unwrap();
            let given_up = over.is_some() && self.readers.iter().all(std::thread::JoinHandle::is_finished);
            let late = Instant::now() > end;
            assert!(text.contains(expected) || !(late || given_up), "no {expected:?} ({over:?}):\n{text}");
        }
    }

    /// Its exit status, when it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.printed.text.lock());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as Ctrl-C does.
    pub fn interrupt(&mut self) -> ExitStatus {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.ended()
    }

    /// All that it has printed, after its end.
    pub fn all(&mut self) -> String {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.printed.text.lock().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        if matches!(self.child.try_wait(), Ok(None)) {
            let killed = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            eprintln!("{killed:?}: {:?}", self.child.wait());
        }
    }
}
