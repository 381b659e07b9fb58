//! The launcher: what the user starts. It holds the supervisor by a pipe, so that not even SIGKILL separates them.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::command::{self, words};
use super::folder::Folder;
use super::isolation::{self, Choice};
use super::supervisor::GRACE;
use super::{Isolation, LabError, Options, cgroup};

/// Set to 1 by a program that starts a lab and wants it to end with it, however that program ends.
pub const DIE_WITH_PARENT: &str = "STARLING_DIE_WITH_PARENT";
/// Written to the pipe before it is closed: "stop" rather than "I was killed".
const STOP: &[u8] = b"stop";
/// From "stop" to the supervisor's end: its nodes' grace and what taking the rest down needs.
const STOPPED_WITHIN: Duration = Duration::from_secs(GRACE.as_secs() + 15);

/// The supervisor's end of the pipe.
pub(super) struct Lifeline(pipe::Receiver);

impl Lifeline {
    pub(super) fn from_stdin() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        pipe::Receiver::from_owned_fd(stdin).map(Self)
    }

    /// Waits for the end of the launcher's interest: true if it said stop, false if it is just gone.
    pub(super) async fn told_to_stop(&mut self) -> bool {
        let mut said = Vec::new();
        // An unreadable pipe is as good as a closed one.
        self.0.read_to_end(&mut said).await.is_ok() && said == STOP
    }
}

/// Starts a lab and stays until it has ended; its exit status. `reenter` are the arguments that bring this binary to
/// [`super::supervise`] with the same options; id, isolation and the nodes' arguments are added to them.
pub async fn launch(options: &Options, reenter: &[String]) -> Result<ExitCode, LabError> {
    let mut stop = Stop::new()?;
    if std::env::var_os(DIE_WITH_PARENT).is_some_and(|value| value == "1") {
        // In order, as if the user had ended it.
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|errno| failed(errno.into()))?;
    }
    let choice = isolation::choose(options.isolation).await?;
    let folder = Folder::create(&options.base_folder).await?;
    warn(&choice);
    let mut again = reenter.to_vec();
    again.extend(words(&["--inside", folder.id(), "--isolation", choice.isolation.name(), "--"]));
    again.extend(options.node_args.iter().cloned());
    let outcome = watch(choice.isolation, &again, &mut stop).await;
    // The supervisor has done this already unless it was killed.
    cgroup::sweep(folder.id());
    let removed = folder.remove();
    let code = outcome?;
    removed.map(|()| code)
}

fn warn(choice: &Choice) {
    if choice.isolation == Isolation::Loopback {
        let reason = choice.reason.as_deref().unwrap_or("as asked");
        tracing::warn!("LINKS ARE NOT SHAPED: the nodes share the loopback device ({reason})");
    }
}

fn failed(source: io::Error) -> LabError {
    LabError::Process { what: "the lab's supervisor".to_owned(), source }
}

/// The signals that end a lab. Taken before anything is made.
struct Stop {
    terminate: Signals,
    interrupt: Signals,
    hangup: Signals,
}

impl Stop {
    fn new() -> Result<Self, LabError> {
        let take = |kind| signal(kind).map_err(failed);
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn watch(isolation: Isolation, supervisor: &[String], stop: &mut Stop) -> Result<ExitCode, LabError> {
    let (lifeline, mut supervisor) = start(isolation, supervisor).map_err(failed)?;
    tokio::select! {
        ended = supervisor.wait() => return Ok(exit_code(ended.map_err(failed)?)),
        () = stop.wait() => {}
    }
    tracing::info!("stopping the lab");
    tell_to_stop(lifeline);
    if let Ok(ended) = tokio::time::timeout(STOPPED_WITHIN, supervisor.wait()).await {
        return Ok(exit_code(ended.map_err(failed)?));
    }
    tracing::warn!("the lab does not stop; killing it");
    supervisor.kill().await.map_err(failed)?;
    Ok(ExitCode::FAILURE)
}

fn start(isolation: Isolation, supervisor: &[String]) -> io::Result<(io::PipeWriter, Child)> {
    let (reader, writer) = io::pipe()?;
    let mut argv = isolation.wrapper();
    argv.push(std::env::current_exe()?.display().to_string());
    argv.extend(supervisor.iter().cloned());
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let supervisor = Command::new(program)
        .args(args)
        .stdin(Stdio::from(reader))
        .env("PATH", command::search_path())
        .env_remove(DIE_WITH_PARENT)
        // Ctrl-C is for the launcher, which takes the lab down in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((writer, supervisor))
}

/// Says stop and closes the pipe. A supervisor that is gone already needs no telling.
fn tell_to_stop(mut lifeline: io::PipeWriter) {
    if let Err(error) = lifeline.write_all(STOP) {
        tracing::debug!(%error, "the supervisor is gone");
    }
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
