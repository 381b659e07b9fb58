//! One upload: the file streamed there, the result streamed back, hashed and thrown away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::outcome::{Failure, Outcome, Refused, Served};
use super::sources::Source;
use crate::api::PROBLEM_TYPE_BASE;
use crate::client::body::FileBody;
use crate::client::upload::{Progress, header_value, media_type, text, upload_path};
use crate::client::{Client, ClientError, Endpoint};
use crate::content::{ContentId, REPR_DIGEST, parse_digest};
use crate::printable;

/// What of a refusal is read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// What of a problem's type is kept: each kind is counted.
const SLUG_CHARS_MAX: usize = 80;
/// A refusal that says to come back later than this means never.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What all uploads of a run have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) client: Client,
    pub(super) profile: Option<String>,
    pub(super) deadline: Duration,
    pub(super) timeout: Duration,
    /// Whether results are checked against their digest.
    pub(super) verify: bool,
}

/// Nobody watches the bytes of one upload among thousands.
struct Unwatched;

impl Progress for Unwatched {
    fn sent(&self, _: u64) {}
    fn answered(&self, _: Option<u64>) {}
    fn received(&self, _: u64) {}
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type", deserialize_with = "printable::word")]
    kind: String,
}

impl Common {
    /// Sends a file and what follows it; takes no longer than the timeout.
    pub(super) async fn upload(&self, node: &Endpoint, source: &Source, tail: Bytes) -> Outcome {
        let exchange = self.exchange(node, source, tail);
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failure)) => Outcome::Failed(failure),
            Err(_) => Outcome::Failed(Failure::TimedOut),
        }
    }

    async fn exchange(&self, node: &Endpoint, source: &Source, tail: Bytes) -> Result<Outcome, Failure> {
        let unreadable = |error: std::io::Error| {
            tracing::error!(file = %source.path.display(), %error, "can't be sent");
            Failure::File
        };
        let file = tokio::fs::File::open(&source.path).await.map_err(unreadable)?;
        let body = FileBody::new(file, source.bytes, Arc::new(Unwatched)).followed_by(tail).boxed();
        let name = source.path.file_name().unwrap_or_default().to_string_lossy();
        let request = Request::post(node.uri(&upload_path(self.profile.as_deref())))
            .header(CONTENT_TYPE, media_type(&source.path))
            .header("x-filename", header_value(&name))
            .header("x-deadline-ms", self.deadline.as_millis() as u64)
            .body(body)
            .map_err(|_| Failure::File)?;
        let response = self.client.send(node, request).await.map_err(|error| match error {
            ClientError::Unreachable { .. } => Failure::Unreachable,
            _ => Failure::Broken,
        })?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return self.take(node, &head.headers, body).await.map(Outcome::Served);
        }
        let retry_after = text(&head.headers, RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs)
            .filter(|after| *after <= RETRY_AFTER_MAX);
        let problem = Limited::new(body, PROBLEM_BYTES_MAX).collect().await;
        let problem: Problem =
            problem.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok()).unwrap_or_default();
        let slug = problem.kind.strip_prefix(PROBLEM_TYPE_BASE).unwrap_or_default();
        let problem = slug.chars().take(SLUG_CHARS_MAX).collect();
        Ok(Outcome::Refused(Refused { status: head.status.as_u16(), problem, retry_after }))
    }

    async fn take(
        &self,
        node: &Endpoint,
        headers: &HeaderMap,
        mut body: Incoming,
    ) -> Result<Served, Failure> {
        let announced = text(headers, REPR_DIGEST.as_str()).and_then(|digest| parse_digest(&digest));
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::Broken)?;
            if let Some(data) = frame.data_ref() {
                bytes += data.len() as u64;
                if self.verify {
                    hash.update(data);
                }
            }
        }
        let intact = !self.verify || announced == Some(ContentId(hash.finalize().into()));
        if bytes == 0 || !intact {
            tracing::error!(%node, bytes, ?announced, "answered 200 with what is no result");
            return Err(Failure::Invalid);
        }
        let header = |name| text(headers, name).unwrap_or_default();
        Ok(Served { cache: header("x-cache"), route: header("x-route"), bytes })
    }
}
