//! Uploads in parts, as they are told.

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;
use utoipa::ToSchema;

use crate::content::ClientTag;
use crate::jobs::{JobId, JobNumber};
use crate::profile::ProfileName;

/// An upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadJson {
    /// What it is called.
    pub id: String,
    /// Bytes that are safe on disk.
    pub offset: u64,
    /// How many there will be, where that is known.
    pub length: Option<u64>,
    /// Whether that is all of it.
    pub complete: bool,
    /// What the client calls it.
    pub filename: Option<String>,
    /// What is to be made of it.
    #[schema(value_type = Vec<String>)]
    pub profiles: Vec<ProfileName>,
    /// When it is forgotten unless something comes, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The job that it became.
    #[schema(value_type = Option<String>)]
    pub job: Option<JobId>,
}

/// Uploads in parts that have not become jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadsJson {
    /// The newest first.
    pub uploads: Vec<UploadJson>,
    /// Where there are more, what to give as `after` for them.
    #[serde(default)]
    pub next: Option<String>,
    /// Nodes that did not answer: what lies there is not here.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<NodeName>,
}

/// What one node asks another about uploads that lie there and have not become jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadQuestion {
    /// This client's alone; none: everybody's.
    pub client: Option<ClientTag>,
    /// Older ones than this alone.
    pub after: Option<JobNumber>,
    /// So many at the most.
    pub limit: u16,
}
