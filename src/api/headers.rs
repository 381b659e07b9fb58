//! Header names.

use hyper::header::HeaderName;

/// What proves that an answer comes from a member (RFC 9110, section 11.6.3).
pub const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

/// Names of the headers that are ours.
#[allow(non_snake_case, reason = "reads as a namespace: HEADER::ROUTE")]
pub mod HEADER {
    /// Milliseconds from the request's arrival to its answer.
    pub const LATENCY: &str = "x-processing-latency";
    /// The node that transcoded, or held the result.
    pub const SERVED_BY: &str = "x-served-by";
    /// `hit`, `miss` or `joined`.
    pub const CACHE: &str = "x-cache";
    /// What of the input could not be read.
    pub const INPUT_DAMAGE: &str = "x-input-damage";
    /// Nodes and zones that the job went through.
    pub const ROUTE: &str = "x-route";
    /// Milliseconds that the request may still take.
    pub const DEADLINE_MS: &str = "x-deadline-ms";
    /// The upload's file name, for the download's.
    pub const FILENAME: &str = "x-filename";
    /// Profile asked for.
    pub const PROFILE: &str = "x-profile";
    /// `interactive` or `batch`: which jobs come first.
    pub const PRIORITY: &str = "x-priority";
    /// A client's own name of a request (draft-ietf-httpapi-idempotency-key-header).
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// The trace that a request belongs to: 32 hex digits, in every answer.
    pub const REQUEST_ID: &str = "x-request-id";
    /// Where the client wants to be told of a job's end: a URL.
    pub const WEBHOOK: &str = "x-webhook";
    /// The job that an upload in parts became.
    pub const JOB: &str = "x-job";
    /// SHA-256 of the upload in hex, when the client knows it.
    pub const CONTENT_SHA256: &str = "x-content-sha256";
}
