//! What a client's webhook is told.

use serde::Serialize;

use super::JobState;
use crate::content::ContentId;
use crate::jobs::{JobId, Record, Stage};
use crate::profile::ProfileName;

/// The message: `type`, `timestamp` and `data`, as Standard Webhooks recommends.
#[derive(Clone, Debug, Serialize)]
pub struct WebhookJson<'a> {
    /// `job.done`, `job.failed` or `job.cancelled`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// When the job ended, by RFC 3339.
    pub timestamp: String,
    /// The job.
    pub data: EndedJob<'a>,
}

/// A job that has ended, as its client is told.
#[derive(Clone, Debug, Serialize)]
pub struct EndedJob<'a> {
    /// Its name.
    pub id: JobId,
    /// How it ended.
    pub state: JobState,
    /// SHA-256 of the video.
    pub content: ContentId,
    /// What the client calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<&'a str>,
    /// What was to be made of it.
    pub profiles: &'a [ProfileName],
    /// The client's own name of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<&'a str>,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// Its results, one for each profile in their order.
    pub outputs: Vec<EndedOutput<'a>>,
    /// Why it has none, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A result, as its client is told.
#[derive(Clone, Debug, Serialize)]
pub struct EndedOutput<'a> {
    /// What it is.
    pub profile: &'a ProfileName,
    /// Where it is fetched, from any node.
    pub href: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: ContentId,
    /// Content-Type.
    pub media_type: &'a str,
}

impl<'a> WebhookJson<'a> {
    /// Of a job that has come to its end; none before.
    pub fn of(record: &'a Record) -> Option<Self> {
        let (kind, outputs, why) = match &record.stage {
            Stage::Done { outputs, .. } => ("job.done", outputs.as_slice(), None),
            Stage::Failed { why, .. } => ("job.failed", [].as_slice(), Some(why.to_string())),
            Stage::Cancelled { .. } => ("job.cancelled", [].as_slice(), None),
            Stage::Queued | Stage::Running { .. } => return None,
        };
        let (id, ask, ended_ms) = (record.id(), &record.ask, record.stage.ended_ms()?);
        let ended = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ended_ms);
        let outputs = outputs.iter().map(|output| EndedOutput {
            profile: &output.meta.profile,
            href: format!("/jobs/{id}/output/{}", output.meta.profile),
            bytes: output.meta.bytes,
            sha256: output.meta.sha256,
            media_type: &output.meta.media_type,
        });
        let data = EndedJob {
            state: record.stage.state(),
            content: ask.content,
            filename: ask.wish.filename.as_deref(),
            profiles: &ask.wish.profiles,
            idempotency_key: ask.wish.idempotency_key.as_deref(),
            accepted_ms: record.accepted_ms,
            ended_ms,
            outputs: outputs.collect(),
            why,
            id: id.clone(),
        };
        Some(Self { kind, timestamp: humantime::format_rfc3339_seconds(ended).to_string(), data })
    }
}
