//! Whether a node takes work.

use std::fmt;

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

/// Whether a node takes work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkMode {
    /// It does.
    #[default]
    Working,
    /// Nothing new: what runs ends, and jobs that wait here wait on.
    Paused,
    /// Nothing new: what runs ends, and jobs that wait here go to other nodes.
    Draining,
}

impl WorkMode {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Paused => "paused",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for WorkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `POST /internal/work`: what a node is to do from now on, until it is told otherwise or starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkChange {
    /// That.
    pub mode: WorkMode,
}

/// The answer of `GET` and `POST /internal/work`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkJson {
    /// The node.
    pub node: NodeName,
    /// Whether it takes work.
    pub mode: WorkMode,
    /// Transcodes that run.
    pub running: usize,
    /// Transcodes that wait for a worker, or have a place kept.
    pub queued: usize,
    /// Jobs that it holds and that have not come to their end.
    pub jobs: usize,
}

impl WorkJson {
    /// Whether nothing is left of what it had.
    pub const fn is_idle(&self) -> bool {
        self.running == 0 && self.queued == 0 && self.jobs == 0
    }
}
