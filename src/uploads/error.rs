//! What can go wrong with an upload in parts.

use std::io;

use super::UploadId;
use crate::jobs::JobError;
use crate::store::{AppendError, IngestError};

/// Why an upload is not taken, not found, or gets no further.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is none of this name, or none any more.
    #[error("there is no upload {0} here, or none any more: begin a new one with POST /uploads")]
    NotFound(UploadId),
    /// There are too many.
    #[error("{max} uploads in parts are kept here, and no more may: try again later, or use other nodes too")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The client has too many.
    #[error(
        "you have {max} unfinished uploads in parts here: finish or delete those whose Location you have, wait until the others are \
         forgotten (--upload-retention, a day), or use other nodes too"
    )]
    TooManyOfClient {
        /// How many it may have.
        max: u32,
    },
    /// A request begins elsewhere than where the upload ends.
    #[error("the upload has {expected} bytes, and this request begins at {given}: go on at {expected}")]
    Offset {
        /// How many bytes there are.
        expected: u64,
        /// Where the request begins.
        given: u64,
    },
    /// All of it is there, and more came.
    #[error("the upload is complete, and takes no more: begin a new one with POST /uploads")]
    Complete {
        /// How many bytes there are.
        offset: u64,
    },
    /// Two requests disagree about the length of all of it.
    #[error(
        "the upload is {known} bytes long by what was said or has come before, and {given} by this request"
    )]
    Length {
        /// What was said before.
        known: u64,
        /// What is said now.
        given: u64,
    },
    /// Another request does not let go of it.
    #[error("another request is at this upload: try again")]
    Busy,
    /// What came could not be taken.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It is there, and can't be made a job.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl From<IngestError> for UploadError {
    fn from(error: IngestError) -> Self {
        Self::Append(error.into())
    }
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        IngestError::from(error).into()
    }
}

impl UploadError {
    /// Whether the upload can never become a job, so that it is no use to keep it.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Append(AppendError::Ingest(error)) => matches!(
                error,
                IngestError::Empty
                    | IngestError::NotVideo(_)
                    | IngestError::TooLarge { .. }
                    | IngestError::DigestMismatch { .. }
            ),
            Self::Append(AppendError::Beyond { .. }) | Self::Job(JobError::KeyOfAnother) => true,
            _ => false,
        }
    }
}
