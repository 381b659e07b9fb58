//! A lab as a child process: `starling lab --json`, which ends with this process however it ends.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use starling_netem::control::labs_folder;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::BenchError;
use crate::client::{Endpoint, Target};
use crate::lab::{self, Answer, DIE_WITH_PARENT, Isolation, LinkBackend, NodeReport, Request};

/// How long a cluster may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// And the lab around it until it says so, or says why not.
const STARTED_WITHIN: Duration = Duration::from_secs(150);
/// A lab gives its nodes some seconds, and then kills them.
const ENDED_WITHIN: Duration = Duration::from_secs(40);
/// The last lines of what the lab says, to tell why it did not start.
const SAID_LINES: usize = 8;

/// What a lab is to be.
#[derive(Clone, Debug)]
pub(super) struct Lab {
    pub(super) nodes: u8,
    pub(super) isolation: Isolation,
    pub(super) backend: LinkBackend,
    /// Of each node, in cores.
    pub(super) cpus: Option<f64>,
    pub(super) node_args: Vec<String>,
}

/// A lab that runs.
#[derive(Debug)]
pub(super) struct Cluster {
    child: Child,
    socket: PathBuf,
    pub(super) report: lab::Report,
}

impl Lab {
    /// Starts it, and waits until its nodes see each other; ends it in order if it is to `stop` before that.
    pub(super) async fn start(&self, stop: &CancellationToken) -> Result<Cluster, BenchError> {
        let base = std::env::var_os("STARLING_LAB_DIR").map_or_else(labs_folder, PathBuf::from);
        let failed = |error: std::io::Error| BenchError::LabStart(error.to_string());
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .args(["lab", "--json", "--base-port", "0", "--nodes", &self.nodes.to_string()])
            .args(["--backend", self.backend.name(), "--isolation", self.isolation.name()])
            .arg("--dir")
            .arg(&base)
            .arg(format!("--ready-within={}s", READY_WITHIN.as_secs()));
        if let Some(cpus) = self.cpus {
            command.arg(format!("--cpus={cpus}"));
        }
        command
            .arg("--")
            .args(&self.node_args)
            .env(DIE_WITH_PARENT, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the bench, which ends the lab in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let said = listen(child.stderr.take());
        let Some(stdout) = child.stdout.take() else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let mut line = String::new();
        let first = async { BufReader::new(stdout).read_line(&mut line).await };
        let told = tokio::select! {
            told = tokio::time::timeout(STARTED_WITHIN, first) => told,
            () = stop.cancelled() => {
                end(&mut child).await?;
                return Err(BenchError::Interrupted);
            }
        };
        let why = |what: &str| {
            let said = said.lock().iter().cloned().collect::<Vec<_>>().join("\n");
            BenchError::LabStart(if said.is_empty() { what.to_owned() } else { said })
        };
        match told {
            Ok(Ok(bytes)) if bytes > 0 => {}
            Ok(_) => {
                // It says why before it ends.
                drop(child.wait().await);
                return Err(why("it ended without a word"));
            }
            Err(_) => {
                end(&mut child).await?;
                return Err(why("it was not ready in time"));
            }
        }
        let report: lab::Report = serde_json::from_str(&line).map_err(|error| why(&error.to_string()))?;
        let socket = lab::find(&base, Some(&report.id))?;
        Ok(Cluster { child, socket, report })
    }
}

/// Reads what the lab says, so that it never waits for a reader; the last lines of it.
fn listen(from: Option<impl AsyncRead + Unpin + Send + 'static>) -> Arc<Mutex<VecDeque<String>>> {
    let said = Arc::new(Mutex::new(VecDeque::new()));
    let Some(from) = from else { return said };
    let kept = Arc::clone(&said);
    // Ends with the lab, whose end of the pipe is closed then.
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!("lab: {line}");
            let mut kept = kept.lock();
            kept.push_back(line);
            if kept.len() > SAID_LINES {
                kept.pop_front();
            }
        }
    });
    said
}

impl Cluster {
    /// Nodes in a zone, or all.
    pub(super) fn nodes<'a>(&'a self, zone: Option<&'a str>) -> impl Iterator<Item = &'a NodeReport> {
        self.report.nodes.iter().filter(move |node| zone.is_none_or(|zone| node.zone == zone))
    }

    /// Where a node is reached.
    pub(super) fn target(node: &NodeReport) -> Result<Target, BenchError> {
        let endpoint: Endpoint =
            node.http.parse().map_err(|error| BenchError::Lab(format!("{}: {error}", node.http)))?;
        Ok(Target { endpoint, name: Some(node.name.clone()) })
    }

    /// Kills a node (SIGKILL).
    pub(super) async fn kill(&self, node: &str) -> Result<(), BenchError> {
        match lab::request(&self.socket, &Request::Kill { node: node.to_owned() }).await? {
            Answer::Done(_) => Ok(()),
            Answer::Refused(reason) => Err(BenchError::Lab(reason)),
        }
    }

    /// Ends it, and all that it made.
    pub(super) async fn end(mut self) -> Result<(), BenchError> {
        end(&mut self.child).await
    }
}

async fn end(lab: &mut Child) -> Result<(), BenchError> {
    if let Some(pid) = lab.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // Not reaped yet, so the PID is its own.
        kill_process(pid, Signal::TERM).map_err(|errno| BenchError::Lab(errno.to_string()))?;
    }
    match tokio::time::timeout(ENDED_WITHIN, lab.wait()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(BenchError::Lab(error.to_string())),
        Err(_) => {
            lab.kill().await.map_err(|error| BenchError::Lab(error.to_string()))?;
            Err(BenchError::Lab("it did not end in time, and was killed".to_owned()))
        }
    }
}
