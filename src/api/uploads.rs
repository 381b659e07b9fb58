//! Uploads in parts, as they are told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::jobs::JobId;
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
