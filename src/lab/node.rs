//! One node process: started in its place with its published listener, signalled, seen to end.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::launch::DIE_WITH_PARENT;
use super::user::{NodeUser, Program};
use super::{LabError, NodePlan};
use crate::node::listener_at;

/// Hands the listener over as fd 3 (`LISTEN_FDS` of `sd_listen_fds(3)`), enters the cgroup, opens the program as fd 4 if that
/// is asked for, becomes the node.
const START: &str = r#"exec 3<&0 </dev/null
[ -z "$STARLING_LAB_CGROUP" ] || echo $$ > "$STARLING_LAB_CGROUP" || exit 125
[ -z "$STARLING_LAB_PROGRAM" ] || exec 4<"$STARLING_LAB_PROGRAM" || exit 125
unset STARLING_LAB_CGROUP STARLING_LAB_PROGRAM
export LISTEN_FDS=1 LISTEN_PID=$$
exec "$@""#;

/// The end of a log that is shown when a node dies early.
const LOG_TAIL_LINES: usize = 12;

/// What a node's process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It runs.
    Running,
    /// It was stopped by `ctl stop` (SIGSTOP).
    Stopped,
    /// It has ended, or was never started.
    Down,
}

impl NodeState {
    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Down => "down",
        }
    }
}

/// What a node process is started with; the same again at a restart.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) plan: NodePlan,
    /// Inside the lab.
    pub(super) address: SocketAddrV4,
    /// On the host.
    pub(super) published: SocketAddr,
    pub(super) log: PathBuf,
    pub(super) data: PathBuf,
    /// The file to write a PID into.
    pub(super) cgroup: Option<PathBuf>,
    /// What runs a command in the node's place.
    pub(super) enter: Vec<String>,
    /// Whom the process is; None: the supervisor's own user.
    pub(super) user: Option<NodeUser>,
    pub(super) cluster: String,
    pub(super) key_file: Option<PathBuf>,
    pub(super) args: Vec<String>,
}

/// A node of the lab, alive or not.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) spec: Spec,
    child: Option<Child>,
    stopped: bool,
}

/// Binds a node's published port. Connections wait in it from now on, so that "not started yet" is no error.
pub(super) fn publish(name: &str, port: u16) -> Result<(std::net::TcpListener, SocketAddr), LabError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let refused = |source| LabError::Port { node: name.to_owned(), address, source };
    let listener = listener_at(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

impl Node {
    pub(super) fn new(spec: Spec) -> Self {
        Self { spec, child: None, stopped: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.plan.name
    }

    pub(super) fn state(&self) -> NodeState {
        match (&self.child, self.stopped) {
            (None, _) => NodeState::Down,
            (Some(_), true) => NodeState::Stopped,
            (Some(_), false) => NodeState::Running,
        }
    }

    /// As the supervisor's PID namespace counts.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts the process with its listener and the seeds to join. The listener lives in the node alone: when the
    /// node dies, connections to its port are refused, not left waiting.
    pub(super) fn start(
        &mut self,
        listener: std::net::TcpListener,
        seeds: &[SocketAddrV4],
    ) -> Result<(), LabError> {
        let what = || format!("{}'s process", self.spec.plan.name);
        let failed = |source| LabError::Process { what: what(), source };
        let log = self.open_log()?;
        let both = log.try_clone().map_err(failed)?;
        let binary = std::env::current_exe().map_err(failed)?;
        let own = || Program { argv: vec![binary.display().to_string()], opened: None };
        let run = self.spec.user.map_or_else(own, |user| user.program(&binary));
        if let Some(user) = self.spec.user {
            user.make_folder(&self.spec.data)?;
        }
        let mut argv = self.spec.enter.clone();
        argv.extend(["sh", "-c", START, "sh"].map(str::to_owned));
        argv.extend(run.argv);
        let (program, wrapper) =
            argv.split_first().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
        let mut command = Command::new(program);
        command
            .args(wrapper)
            .args(arguments(&self.spec, seeds))
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(log)
            .stderr(both)
            .env(DIE_WITH_PARENT, "1")
            // What the lab says of the key counts, and what the user says after `--`.
            .env_remove("STARLING_KEY_FILE")
            .env("STARLING_LAB_CGROUP", self.spec.cgroup.as_deref().unwrap_or("".as_ref()))
            .env("STARLING_LAB_PROGRAM", run.opened.as_deref().unwrap_or("".as_ref()))
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        self.child = Some(child);
        self.stopped = false;
        Ok(())
    }

    fn open_log(&self) -> Result<File, LabError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.spec.log)
            .map_err(LabError::file("open", &self.spec.log))
    }

    /// Sends a signal; nothing if the process is gone.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), LabError> {
        let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        // The child is not reaped yet, so the PID is still its own.
        kill_process(pid, signal).map_err(|errno| LabError::Process {
            what: format!("signal {signal:?} to {}", self.name()),
            source: errno.into(),
        })?;
        match signal {
            Signal::STOP => self.stopped = true,
            Signal::CONT => self.stopped = false,
            _ => {}
        }
        Ok(())
    }

    /// Whether the process has ended since this was last asked, and how.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait().map_err(|source| LabError::Process {
            what: format!("wait for {}", self.spec.plan.name),
            source,
        })?;
        if status.is_some() {
            self.child = None;
            self.stopped = false;
        }
        Ok(status)
    }

    /// The last lines of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.spec.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

fn arguments(spec: &Spec, seeds: &[SocketAddrV4]) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["node", "--name", &spec.plan.name, "--zone", &spec.plan.zone].map(str::to_owned).into();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--gossip", spec.address.to_string());
    option("--http", spec.address.to_string());
    option("--advertise", spec.address.ip().to_string());
    option("--cluster", spec.cluster.clone());
    option("--data-dir", spec.data.display().to_string());
    option("--drain", format!("{}s", super::supervisor::GRACE.as_secs()));
    if let Some(file) = &spec.key_file {
        option("--key-file", file.display().to_string());
    }
    if !seeds.is_empty() {
        option("--join", seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
    arguments.extend(spec.args.iter().cloned());
    arguments
}

/// "exited with status 2", "was killed by signal 9".
pub(super) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
