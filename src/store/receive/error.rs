use std::io;
use std::time::Duration;

use super::{NoRoom, NotVideo};
use crate::content::ContentId;
use crate::store::is_full;

/// Why an upload was not taken. Nothing of it stays on disk, whichever it was.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body had no byte.
    #[error("the body is empty: send the video's bytes")]
    Empty,
    /// More bytes than this node takes.
    #[error("the body is over the limit of {max} bytes: send a smaller file")]
    TooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// By its first bytes it is not a media file.
    #[error(transparent)]
    NotVideo(#[from] NotVideo),
    /// The sender went away or broke the protocol in the middle of the body.
    #[error("the upload broke off: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for too long, or all of it took too long.
    #[error("the upload was too slow: {what} {limit:?}")]
    TimedOut {
        /// Which of the two.
        what: &'static str,
        /// The limit that was passed.
        limit: Duration,
    },
    /// No room among the uploads under way.
    #[error("{0}: wait until one of them ends, or try another node")]
    NoRoom(#[from] NoRoom),
    /// No room on this node's disk.
    #[error("this node's disk is full: try another node")]
    DiskFull,
    /// What came is not what the sender had announced.
    #[error("the body's SHA-256 is {got}, announced was {announced}: send it again")]
    DigestMismatch {
        /// What the sender had said.
        announced: ContentId,
        /// What came.
        got: ContentId,
    },
    /// The system refused something else.
    #[error("the upload can't be stored: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for IngestError {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::DiskFull } else { Self::Io(error) }
    }
}
