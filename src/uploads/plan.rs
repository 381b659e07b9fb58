//! What is to become of an upload in parts, as it is kept beside them.

use serde::{Deserialize, Serialize};

use crate::content::{ClientTag, ContentId};
use crate::jobs::{JobId, Wish};

/// Fields may be added, with a default: what an older node has left lacks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose it is.
    pub client: ClientTag,
    /// What is asked for.
    pub wish: Wish,
    /// What all of it hashes to, by the client.
    pub announced: Option<ContentId>,
    /// How long all of it will be, in bytes, where that is known.
    pub length: Option<u64>,
    /// What the client says of it, as it is given back (tus, Upload-Metadata).
    pub metadata: Option<String>,
    /// Bytes that are safe on disk.
    pub offset: u64,
    /// Whether that is all of it.
    pub whole: bool,
    /// When the last of them came, in milliseconds since 1970.
    pub touched_ms: u64,
    /// What became of it.
    pub job: Option<JobId>,
}
