//! What a request for an upload in parts is refused for.

use std::time::Duration;

use hyper::StatusCode;

use super::INCOMING_RETRY;

/// See `crate::uploads`: most of them are an `UploadError`, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// No such upload in parts.
    #[error("{0}")]
    NotFound(String),
    /// Too many uploads in parts, of this client or of all.
    #[error("{0}")]
    TooMany(String),
    /// A request for an upload in parts begins elsewhere than where that ends.
    #[error("{text}")]
    Offset {
        /// In words.
        text: String,
        /// How many bytes there are.
        expected: u64,
        /// Where the request begins.
        given: u64,
    },
    /// All of an upload in parts is there, and more came.
    #[error("{0}")]
    Complete(String),
    /// The length of an upload in parts is not what was said before.
    #[error("{0}")]
    Length(String),
    /// More came of an upload in parts than it is long.
    #[error("{0}")]
    Beyond(String),
    /// Another request is at an upload in parts.
    #[error("{0}")]
    Busy(String),
    /// Another request took an upload in parts over.
    #[error("{0}")]
    Interrupted(String),
    /// A part does not have the checksum that the client gave.
    #[error("{0}")]
    Checksum(String),
    /// An upload in parts lies at a node that does not answer.
    #[error(
        "the upload lies at node {node}, which does not answer ({why}): try again later, or begin a new one with POST /uploads"
    )]
    Elsewhere {
        /// The node.
        node: String,
        /// What is known of it.
        why: String,
    },
    /// A version of tus that is not spoken here.
    #[error("Tus-Resumable: {0:.20}: version 1.0.0 is spoken here")]
    TusVersion(String),
}

impl PartsError {
    /// Status, slug of the type, title.
    pub(super) fn class(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "no-upload", "No such upload"),
            Self::TooMany(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-parts", "Too many uploads in parts")
            }
            Self::Offset { .. } => (StatusCode::CONFLICT, "upload-offset", "Upload continues elsewhere"),
            Self::Complete(_) => (StatusCode::BAD_REQUEST, "upload-complete", "Upload is complete"),
            Self::Length(_) => (StatusCode::BAD_REQUEST, "upload-length", "Upload has another length"),
            Self::Beyond(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "upload-beyond", "More than the upload's length")
            }
            Self::Busy(_) => (StatusCode::LOCKED, "upload-busy", "Upload is in use"),
            Self::Interrupted(_) => (StatusCode::CONFLICT, "upload-interrupted", "Request was interrupted"),
            Self::Checksum(_) => (checksum_mismatch(), "checksum-mismatch", "Checksum mismatch"),
            Self::Elsewhere { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "upload-elsewhere", "The upload's node does not answer")
            }
            Self::TusVersion(_) => (StatusCode::PRECONDITION_FAILED, "tus-version", "Unknown version of tus"),
        }
    }

    /// When to try again, for those where that helps.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(_) => Some(Duration::from_secs(1)),
            Self::TooMany(_) | Self::Elsewhere { .. } => Some(INCOMING_RETRY),
            _ => None,
        }
    }

    /// The type that is everybody's (draft-ietf-httpbis-resumable-upload, section 11.2), where there is one.
    pub(super) const fn registered_kind(&self) -> Option<&'static str> {
        match self {
            Self::Offset { .. } => {
                Some("https://iana.org/assignments/http-problem-types#mismatching-upload-offset")
            }
            Self::Complete(_) => Some("https://iana.org/assignments/http-problem-types#completed-upload"),
            Self::Length(_) => {
                Some("https://iana.org/assignments/http-problem-types#inconsistent-upload-length")
            }
            _ => None,
        }
    }
}

/// What tus answers where a checksum is wrong; it is no status of HTTP's own.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}
