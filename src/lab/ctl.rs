//! `starling lab ctl`: one JSON line each way over the lab's Unix socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{LabError, Report};

/// Longest request and answer: the rows of the largest lab are far below it.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest time a request takes: an added node joins within seconds.
const TIMEOUT: Duration = Duration::from_secs(90);
const QUEUE: usize = 16;

/// What can be asked of a running lab: the subcommands of `starling lab ctl`, and what it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Subcommand)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    /// What runs
    Status,
    /// One more node
    Add {
        /// Its zone; the next one in turn where none is given
        #[arg(long)]
        zone: Option<String>,
    },
    /// End a node at once (SIGKILL)
    Kill {
        /// Its name
        node: String,
    },
    /// Start a node again: one that is down, or one that runs (which leaves the cluster first)
    Restart {
        /// Its name
        node: String,
    },
    /// Freeze a node (SIGSTOP): it keeps its connections and answers nothing
    Stop {
        /// Its name
        node: String,
    },
    /// Let a frozen node go on (SIGCONT)
    Continue {
        /// Its name
        node: String,
    },
}

impl Request {
    /// What was done to which node, for the lab's own terminal; nothing of what changes nothing.
    pub(super) fn told(&self) -> Option<String> {
        match self {
            Self::Status => None,
            Self::Add { zone: Some(zone) } => Some(format!("a node was added in {zone}")),
            Self::Add { zone: None } => Some("a node was added".to_owned()),
            Self::Kill { node } => Some(format!("{node} was killed")),
            Self::Restart { node } => Some(format!("{node} was started again")),
            Self::Stop { node } => Some(format!("{node} was frozen")),
            Self::Continue { node } => Some(format!("{node} goes on")),
        }
    }
}

/// What comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It was done; the lab is like this now.
    Done(Report),
    /// It was not.
    Refused(String),
}

/// A request and where its answer goes.
pub(super) type Call = (Request, oneshot::Sender<Answer>);

/// Asks the lab at a control socket.
pub async fn request(socket: &Path, request: &Request) -> Result<Answer, LabError> {
    let failed = |source| LabError::Control { path: socket.to_owned(), source };
    let talk = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut answer).await?;
        Ok(serde_json::from_slice(&answer)?)
    };
    match tokio::time::timeout(TIMEOUT, talk).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// Takes requests until the receiver is dropped. Only the user can connect; the sender is for the supervisor's own ways in.
pub(super) fn serve(socket: &Path) -> Result<(mpsc::Sender<Call>, mpsc::Receiver<Call>), LabError> {
    let listener = UnixListener::bind(socket).map_err(LabError::file("listen on", socket))?;
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(LabError::file("close", socket))?;
    let (calls, receiver) = mpsc::channel(QUEUE);
    let sender = calls.clone();
    // Ends with the receiver: `closed` is ready as soon as the supervisor has dropped it.
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                () = calls.closed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "control socket");
                        continue;
                    }
                },
            };
            let calls = calls.clone();
            // Ends with its connection, or with the time that a request has.
            tokio::spawn(async move {
                match tokio::time::timeout(TIMEOUT, handle(stream, calls)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "control connection"),
                    Err(_) => tracing::debug!("control connection timed out"),
                }
            });
        }
    });
    Ok((sender, receiver))
}

async fn handle(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice(&line) {
        Err(error) => Answer::Refused(format!("not a request: {error}")),
        Ok(request) => ask(request, &calls).await,
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

pub(super) async fn ask(request: Request, calls: &mpsc::Sender<Call>) -> Answer {
    let stopping = || Answer::Refused("the lab is stopping".to_owned());
    let (sender, receiver) = oneshot::channel();
    if calls.send((request, sender)).await.is_err() {
        return stopping();
    }
    receiver.await.unwrap_or_else(|_| stopping())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_and_answers_survive_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ctl.sock");
        let (_, mut calls) = serve(&socket).unwrap();
        let supervisor = tokio::spawn(async move {
            let (request, answer) = calls.recv().await.unwrap();
            assert_eq!(request, Request::Kill { node: "node3".into() });
            answer.send(Answer::Refused("node3 is down".into())).unwrap();
        });
        let answer = request(&socket, &Request::Kill { node: "node3".into() }).await.unwrap();
        assert!(matches!(answer, Answer::Refused(reason) if reason == "node3 is down"));
        supervisor.await.unwrap();
        // The receiver is gone with the supervisor: so is the listener, or it says so.
        match request(&socket, &Request::Status).await {
            Ok(Answer::Refused(reason)) => assert_eq!(reason, "the lab is stopping"),
            Err(LabError::Control { .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ctl.sock");
        let (_, _calls) = serve(&socket).unwrap();
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(b"{\"do\":\"explode\"}\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("not a request"), "{text}");
    }
}
