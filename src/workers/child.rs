//! One child process, from spawn to reaped, on the calling thread.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::cancel::Cancel;
use super::own_time::Pulse;
use crate::media::Said;

/// How much of a child's stderr is kept: the end of it, where the reason stands.
const STDERR_TAIL_BYTES: usize = 4096;
/// And of its beginning.
const STDERR_FIRST_BYTES: usize = 1024;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, or by a signal from elsewhere.
    Exited(ExitStatus),
    /// Killed: its deadline passed.
    Deadline,
    /// Killed: nobody wants the result any more.
    Cancelled,
    /// Killed: whoever reads its stdout had enough.
    Refused,
    /// Killed: by what it wrote and what CPU it used it had stopped working.
    Hung,
}

/// Whoever listens to a child.
pub(super) trait Listener {
    /// It wrote this to its stdout. False: that is enough of it.
    fn hears(&mut self, bytes: &[u8]) -> bool;

    /// Asked every [`PULSE_INTERVAL`]: whether it has stopped working.
    fn is_hung(&mut self, pulse: Pulse) -> bool {
        let _ = pulse;
        false
    }
}

/// How often it is looked whether a child still works.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// What is left of a child.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What its number was.
    pub(super) pid: u32,
    pub(super) ended: Ended,
    /// The last lines it wrote to stderr.
    pub(super) stderr: String,
    /// And the first ones: what it goes on to complain of may follow from those.
    pub(super) stderr_first: String,
    /// What all of its lines say of its input.
    pub(super) said: Said,
    /// What it cost.
    pub(super) cpu: Duration,
}

/// As [`run_to_end`], and tells of a child that the filter of system calls killed.
pub(super) fn run(
    command: &mut Command,
    deadline: Instant,
    cancel: &Cancel,
    listener: &mut impl Listener,
) -> io::Result<Outcome> {
    command.stdin(Stdio::null());
    let outcome = run_to_end(command, deadline, cancel, listener)?;
    tell_violation(outcome.pid, outcome.ended);
    Ok(outcome)
}

/// As [`run`], of a command that reads what another one writes. That one ends with it, and what it has said is said before what
/// the command says.
pub(super) fn run_fed(
    feeder: &mut Command,
    command: &mut Command,
    deadline: Instant,
    cancel: &Cancel,
    listener: &mut impl Listener,
) -> io::Result<Outcome> {
    feeder.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = feeder.spawn()?;
    let (pid, feeds, says) = (child.id(), child.stdout.take(), child.stderr.take());
    let mut feeder = Group::new(child)?;
    command.stdin(feeds.map_or_else(Stdio::null, Stdio::from));
    let mut outcome = run_to_end(command, deadline, cancel, listener)?;
    // This process's copy of the pipe, without which the feeder would not notice that nobody reads it.
    command.stdin(Stdio::null());
    // What it had to say it has said: the command has seen the end of what it wrote, or wants no more of it.
    let mut said = Stderr::default();
    Pipe::new(says.map(OwnedFd::from))?.drain(|bytes| {
        said.keep(bytes);
        true
    })?;
    let (status, cpu) = feeder.end()?;
    tell_violation(pid, Ended::Exited(status));
    tell_violation(outcome.pid, outcome.ended);
    outcome.cpu += cpu;
    outcome.stderr = both(&said.tail, &outcome.stderr);
    outcome.stderr_first = both(&said.first, &outcome.stderr_first);
    outcome.said = said.said.and(outcome.said);
    Ok(outcome)
}

/// What one said, and then another.
fn both(first: &[u8], second: &str) -> String {
    let first = String::from_utf8_lossy(first);
    format!("{}\n{second}", first.trim()).trim().to_owned()
}

fn tell_violation(pid: u32, ended: Ended) {
    if matches!(ended, Ended::Exited(status) if status.signal() == Some(libc::SIGSYS)) {
        super::sandbox::tell_violation(pid);
    }
}

/// Runs a command as a process group of its own until it exits, the deadline passes, `cancel` is set or its listener
/// has enough of it; then kills what is left of the group and reaps it. Grandchildren that keep a pipe open hold up nothing.
pub(super) fn run_to_end(
    command: &mut Command,
    deadline: Instant,
    cancel: &Cancel,
    listener: &mut impl Listener,
) -> io::Result<Outcome> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn()?;
    let pid = child.id();
    let mut group = Group::new(child)?;
    let mut stderr = Stderr::default();
    let ended = watch(&mut group, deadline, cancel, listener, &mut stderr)?;
    let (status, cpu) = group.end()?;
    stderr.said.end();
    Ok(Outcome {
        pid,
        cpu,
        ended: ended.unwrap_or(Ended::Exited(status)),
        stderr: String::from_utf8_lossy(&stderr.tail).trim().to_owned(),
        stderr_first: String::from_utf8_lossy(&stderr.first).trim().to_owned(),
        said: stderr.said,
    })
}

/// A child and its process group, killed and reaped on every way out.
struct Group {
    child: Child,
    pid: Pid,
    reaped: bool,
}

impl Group {
    fn new(mut child: Child) -> io::Result<Self> {
        let Some(pid) = Pid::from_raw(child.id().cast_signed()) else {
            child.kill()?;
            return Err(io::Error::other("the child has no process id"));
        };
        Ok(Self { child, pid, reaped: false })
    }

    /// The leader isn't reaped yet, so its id still names this group and no other.
    fn end(&mut self) -> io::Result<(ExitStatus, Duration)> {
        match kill_process_group(self.pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            // All of the group are dead already, or were never ours to signal: the leader is.
            Err(_) => self.child.kill()?,
        }
        // Dead, and not reaped: the kernel still knows what it cost.
        waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        let cpu = crate::load::cpu_time(self.child.id()).unwrap_or_default();
        let status = self.child.wait()?;
        self.reaped = true;
        Ok((status, cpu))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(error) = self.end()
        {
            tracing::error!(pid = self.pid.as_raw_nonzero(), %error, "a child can't be killed");
        }
    }
}

/// Waits and reads. `None`: the child exited by itself.
fn watch(
    group: &mut Group,
    deadline: Instant,
    cancel: &Cancel,
    listener: &mut impl Listener,
    stderr: &mut Stderr,
) -> io::Result<Option<Ended>> {
    let exited = pidfd_open(group.pid, PidfdFlags::empty())?;
    let mut out = Pipe::new(group.child.stdout.take().map(OwnedFd::from))?;
    let mut err = Pipe::new(group.child.stderr.take().map(OwnedFd::from))?;
    let mut pulse = Instant::now() + PULSE_INTERVAL;
    loop {
        let now = Instant::now();
        if cancel.is_set() {
            return Ok(Some(Ended::Cancelled));
        }
        if now >= deadline {
            return Ok(Some(Ended::Deadline));
        }
        if now >= pulse {
            pulse = now + PULSE_INTERVAL;
            if listener.is_hung(Pulse::of(group.child.id())) {
                return Ok(Some(Ended::Hung));
            }
        }
        let gone = wait(&exited, cancel, &out, &err, deadline.min(pulse).saturating_duration_since(now))?;
        if !out.drain(|bytes| listener.hears(bytes))? {
            return Ok(Some(Ended::Refused));
        }
        err.drain(|bytes| {
            stderr.keep(bytes);
            true
        })?;
        if gone {
            return Ok(None);
        }
    }
}

/// Sleeps until there is something to read, the child has exited, or time is up. True: it has exited.
fn wait(exited: &OwnedFd, cancel: &Cancel, out: &Pipe, err: &Pipe, left: Duration) -> io::Result<bool> {
    let mut fds =
        vec![PollFd::new(exited, PollFlags::IN), PollFd::from_borrowed_fd(cancel.as_fd(), PollFlags::IN)];
    fds.extend(
        [out, err].into_iter().filter_map(|pipe| pipe.0.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)),
    );
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

/// The reading end of a child's pipe; `None` after its end.
struct Pipe(Option<OwnedFd>);

impl Pipe {
    fn new(fd: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(fd) = &fd {
            rustix::fs::fcntl_setfl(fd, rustix::fs::OFlags::NONBLOCK)?;
        }
        Ok(Self(fd))
    }

    /// Reads what is there. False: the reader had enough.
    fn drain(&mut self, mut on_bytes: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while let Some(fd) = self.0.take() {
            let mut file = std::fs::File::from(fd);
            let read = file.read(&mut buffer);
            let fd = OwnedFd::from(file);
            match read {
                Ok(0) => break,
                Ok(n) => {
                    self.0 = Some(fd);
                    if !on_bytes(&buffer[..n]) {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0 = Some(fd);
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.0 = Some(fd),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// What is kept of a child's stderr.
#[derive(Default)]
struct Stderr {
    first: Vec<u8>,
    tail: Vec<u8>,
    said: Said,
}

impl Stderr {
    fn keep(&mut self, bytes: &[u8]) {
        self.said.hear(bytes);
        let more = STDERR_FIRST_BYTES - self.first.len();
        self.first.extend_from_slice(&bytes[..bytes.len().min(more)]);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > STDERR_TAIL_BYTES {
            self.tail.drain(..self.tail.len() - STDERR_TAIL_BYTES);
        }
    }
}
