//! Why a lab does not start or does not go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::CommandError;
use crate::config::NewKeyFileError;

/// What goes wrong in a lab. Whatever the lab had made by then is removed when it is returned.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A system command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The nodes' key could not be made.
    #[error(transparent)]
    Key(#[from] NewKeyFileError),
    /// A file or folder of the lab.
    #[error("cannot {doing} {}: {source}", .path.display())]
    File {
        /// What was tried: "create", "lock" …
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder that holds what no lab has made. Nothing was changed.
    #[error(
        "{} is no folder of labs: {} was not made by `starling lab`; give a new or empty folder with --dir",
        .base.display(),
        .stranger.display()
    )]
    NotLabs {
        /// The folder.
        base: PathBuf,
        /// What no lab has made.
        stranger: PathBuf,
    },
    /// No lab was ever started with this folder. Nothing was changed.
    #[error(
        "{} is no folder of labs (it has no {}): give the folder that `starling lab --dir` was given",
        .0.display(),
        starling_netem::control::LABS_MARK
    )]
    NoMark(PathBuf),
    /// The port to publish a node on is not free.
    #[error(
        "cannot publish {node} on {address}: {source}; stop what uses that port (another lab?), or choose others with --base-port"
    )]
    Port {
        /// The node.
        node: String,
        /// Wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// More nodes than ports.
    #[error("no port is left for {0}: choose a lower --base-port")]
    NoPort(String),
    /// More nodes than a lab can have.
    #[error("a lab has at most {max} nodes: each has an address of its own in its zone's /24", max = super::NODES_MAX)]
    TooManyNodes,
    /// The zone file is not usable.
    #[error("zones: {0}")]
    Zones(String),
    /// The zone file cannot be read; the text names it.
    #[error("--zones: {0}")]
    ZoneFile(String),
    /// Links cannot be shaped, and were asked to be by name.
    #[error("links cannot be shaped by {0}: the nodes share the loopback device")]
    Unshapeable(&'static str),
    /// Shaping failed.
    #[error("cannot shape the links: {0}")]
    Shape(#[from] starling_netem::ShapeError),
    /// The isolation asked for cannot be had.
    #[error("{isolation} cannot be had here: {reason}")]
    Isolation {
        /// What was asked for.
        isolation: &'static str,
        /// Why not.
        reason: String,
    },
    /// The nodes cannot run as the user asked for.
    #[error("--user {user}: {why}")]
    User {
        /// As asked for.
        user: String,
        /// What is in the way.
        why: String,
    },
    /// A node ended before the cluster was ready.
    #[error("{node} {how} before the cluster was ready; the end of its log:\n{log}{hint}")]
    NodeDied {
        /// The node.
        node: String,
        /// "exited with status 2", "was killed by signal 9".
        how: String,
        /// Its last words.
        log: String,
        /// What to do, where that is known; on a line of its own.
        hint: String,
    },
    /// The cluster is not ready in time.
    #[error("the cluster was not ready within {}: {missing}", humantime::format_duration(*.within))]
    NotReady {
        /// The time given.
        within: Duration,
        /// Who lacked what.
        missing: String,
    },
    /// A process cannot be started or waited for.
    #[error("cannot start {what}: {source}")]
    Process {
        /// Which process.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// No such node.
    #[error("there is no node {0:?} in this lab")]
    NoSuchNode(String),
    /// The node is not in a state for that.
    #[error("{node} is {state}")]
    WrongState {
        /// The node.
        node: String,
        /// Its state.
        state: &'static str,
    },
    /// A lab that was killed is still on its way out.
    #[error("a lab that was killed before ({}) is still stopping; try again in a moment", .0.display())]
    StillStopping(PathBuf),
    /// No running lab, or more than one to choose from.
    #[error("{0}")]
    WhichLab(String),
    /// The lab's control socket.
    #[error("cannot talk to the lab at {}: {source}", .path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LabError {
    /// Whether another command line is what helps.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NotLabs { .. } | Self::NoMark(_) | Self::User { .. })
    }

    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
