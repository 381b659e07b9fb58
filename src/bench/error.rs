//! Why a bench ends early.

use std::io;
use std::path::PathBuf;

use crate::client::load::{NoNode, SourceError};
use crate::lab::LabError;

/// Why a bench ends early. What was measured before is in its folder.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The clips can't be used.
    #[error(transparent)]
    Clips(#[from] SourceError),
    /// ffmpeg is needed to make clips, and to measure the machine.
    #[error("ffmpeg can't be started: {0}; install it (Debian, Ubuntu: apt install ffmpeg)")]
    NoFfmpeg(io::Error),
    /// It did not do what was asked of it.
    #[error("ffmpeg failed on {}: {reason}", .path.display())]
    Ffmpeg {
        /// What it was to read or make.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A file of the report or a clip can't be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lab can't be started.
    #[error("the lab did not start: {0}")]
    LabStart(String),
    /// The lab does not do what was asked of it.
    #[error("the lab: {0}")]
    Lab(String),
    /// The same, by its own words.
    #[error(transparent)]
    LabControl(#[from] LabError),
    /// No node of the lab answers.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// A figure can't be drawn.
    #[error("cannot draw a figure: {0}")]
    Figure(String),
    /// A signal.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// With the path that a file error is about.
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
