//! What an upload in parts is called.

use std::fmt;
use std::str::FromStr;

use starling_overlay::NodeName;

use crate::jobs::{JobId, JobNumber};

/// The name of an upload in parts: a number that nobody guesses, and the node where its parts lie. As text `NUMBER-NODE`, as a job's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId {
    /// Its number.
    pub number: JobNumber,
    /// The node that has its parts.
    pub node: NodeName,
}

/// A text is no upload's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no upload's name: ask where the answer 201 said (Location), /uploads/ with 32 hexadecimal digits, a dash and a \
     node's name"
)]
pub struct UploadIdError(String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.node)
    }
}

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        match text.parse() {
            Ok(JobId { number, node }) => Ok(Self { number, node }),
            Err(_) => Err(UploadIdError(text.chars().take(80).collect())),
        }
    }
}
