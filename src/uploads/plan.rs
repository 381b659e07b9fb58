//! What is to become of an upload in parts, as it is kept beside them.

use serde::{Deserialize, Serialize};

use crate::api::Priority;
use crate::content::{ClientTag, ContentId};
use crate::jobs::{Ask, JobId};
use crate::profile::ProfileName;
use crate::store::Upload;

/// Fields may be added, with a default: what an older node has left lacks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose it is.
    pub client: ClientTag,
    /// What is asked for.
    pub wish: Wish,
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

/// What a client asks for before its video has come: an [`Ask`] but for the video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What the client calls it.
    pub filename: Option<String>,
    /// What is to be made of it, in the order in which it was asked for.
    pub profiles: Vec<ProfileName>,
    /// Whether a result of a damaged video is a failure.
    pub strict: bool,
    /// What comes first.
    pub priority: Priority,
    /// The time that the job may take once it is begun, in milliseconds.
    pub allowed_ms: u64,
    /// The client's own name of the request.
    pub idempotency_key: Option<String>,
    /// The trace that it came in, as a `traceparent`.
    pub trace: Option<String>,
    /// Where the client wants to be told of the job's end.
    pub webhook: Option<String>,
    /// What all of it hashes to, by the client.
    pub announced: Option<ContentId>,
}

impl Wish {
    /// The same of what has come.
    pub fn of(&self, upload: &Upload) -> Ask {
        let Self {
            filename, profiles, strict, priority, allowed_ms, idempotency_key, trace, webhook, ..
        } = self.clone();
        Ask {
            content: upload.content,
            bytes: upload.bytes,
            filename,
            profiles,
            strict,
            priority,
            allowed_ms,
            idempotency_key,
            trace,
            webhook,
        }
    }
}
