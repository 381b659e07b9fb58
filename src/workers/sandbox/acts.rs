//! What code in the place of ffmpeg would try, tried: the sandbox's test of itself. Each act leaves nothing behind should it
//! succeed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, Mode};
use rustix::mount::FsOpenFlags;
use rustix::process::{
    Pid, PidfdFlags, Resource, getpriority_process, getrlimit, pidfd_open, prlimit, setpriority_process,
    test_kill_process,
};
use serde::{Deserialize, Serialize};

use super::rights;

/// What the confined process says of itself on stdout, in one line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    /// It has no capability.
    pub(super) capabilities_dropped: bool,
    /// What it was able to do, in words that follow "it can".
    pub(super) possible: Vec<String>,
}

/// Tries everything and says so; then makes a call that should kill it. Comes back if that does not.
pub(super) fn try_all(node: Pid) -> std::io::Result<()> {
    let possible = ACTS.iter().filter(|(_, act)| act(node)).map(|(what, _)| (*what).to_owned()).collect();
    let found = Found { capabilities_dropped: rights::are_dropped(), possible };
    let mut line = serde_json::to_vec(&found)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    drop(rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC));
    Ok(())
}

type Act = (&'static str, fn(Pid) -> bool);

const ACTS: [Act; 12] = [
    ("read any file that the node's user may read", |_| {
        File::open("/etc/passwd").is_ok() || Path::new("/").read_dir().is_ok()
    }),
    ("write any file that the node's user may write", |_| {
        [std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from("/dev/shm")]
            .iter()
            .any(|dir| nameless_file(dir))
    }),
    ("read the node's memory", |node| File::open(of(node, "mem")).is_ok()),
    ("reach the node's open files", |node| {
        // Root sees their numbers, whatever it may do with them.
        of(node, "fd")
            .read_dir()
            .is_ok_and(|mut fds| fds.any(|fd| fd.is_ok_and(|fd| fd.path().read_link().is_ok())))
    }),
    ("send signals to other processes", |node| {
        test_kill_process(node).is_ok() || pidfd_open(node, PidfdFlags::empty()).is_ok()
    }),
    ("change the limits of other processes", |node| {
        prlimit(Some(node), Resource::Msgqueue, getrlimit(Resource::Msgqueue)).is_ok()
    }),
    ("change the priority of other processes", |node| {
        getpriority_process(Some(node)).is_ok_and(|nice| setpriority_process(Some(node), nice).is_ok())
    }),
    // The pipe that it writes to is its own.
    ("change modes of files", |_| rustix::fs::fchmod(std::io::stderr(), Mode::RUSR | Mode::WUSR).is_ok()),
    ("open network sockets", |_| {
        UdpSocket::bind("127.0.0.1:0").is_ok() || TcpListener::bind("127.0.0.1:0").is_ok()
    }),
    ("open local sockets", |_| UnixDatagram::unbound().is_ok()),
    ("start processes", |_| {
        let mut command = Command::new("/bin/true");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().is_ok_and(|mut child| child.wait().is_ok())
    }),
    ("take memory that no limit counts", |_| {
        rustix::fs::memfd_create("starling", MemfdFlags::CLOEXEC).is_ok()
    }),
];

fn of(process: Pid, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{what}", process.as_raw_nonzero()))
}

/// A file without a name, gone when it is closed.
fn nameless_file(folder: &Path) -> bool {
    OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(folder).is_ok()
}
