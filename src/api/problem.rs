//! Error answers: problem documents (RFC 9457).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_placement::error::WorkError;
use utoipa::ToSchema;

use crate::config::DEADLINE_MAX;
use crate::profile::ProfileName;

/// Problem types are this and a stable slug; they are documented in docs/API.md.
pub const PROBLEM_TYPE_BASE: &str = "https://starling.invalid/problems/";

/// The body of an error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence, and what to do.
    pub detail: String,
    /// Seconds after which a retry makes sense, as in the Retry-After header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Of several profiles that were asked for at once, the one that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub profile: Option<ProfileName>,
    /// Where an upload in parts goes on (draft-ietf-httpbis-resumable-upload).
    #[serde(rename = "expected-offset", default, skip_serializing_if = "Option::is_none")]
    pub expected_offset: Option<u64>,
    /// Where the request began.
    #[serde(rename = "provided-offset", default, skip_serializing_if = "Option::is_none")]
    pub provided_offset: Option<u64>,
    /// Between nodes: how the work ended, as a code and its figures. What else stands here is for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ended: Option<WorkError>,
}

impl Problem {
    /// The type without what all types begin with.
    pub fn slug(&self) -> Option<&str> {
        self.kind.strip_prefix(PROBLEM_TYPE_BASE)
    }
}

/// Whole seconds to wait, as the Retry-After header has them: never too few, and none that nobody can wait.
pub fn wait_seconds(after: Duration) -> u64 {
    (after.min(DEADLINE_MAX).as_secs_f64().ceil() as u64).max(1)
}
