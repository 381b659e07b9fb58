//! What an error is told as: its status, its problem document, and when to try again.

use std::time::Duration;

use hyper::StatusCode;

use super::{ApiError, INCOMING_RETRY, PartsError};
use crate::access::{AccessError, QuotaError};
use crate::api::{PROBLEM_TYPE_BASE, Problem, wait_seconds};
use crate::config::DEADLINE_MAX;
use crate::gate::GateError;
use crate::node::ListenError;
use crate::printable;
use crate::profile::ProfileName;

impl ApiError {
    /// Status, slug of the type, title.
    fn class(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InProfile { error, .. } => error.class(),
            Self::BadRequest(_) | Self::Gate(GateError::BadHost(_)) => {
                (StatusCode::BAD_REQUEST, "bad-request", "Bad request")
            }
            Self::BodyBroken(_) => (StatusCode::BAD_REQUEST, "body-broken", "Incomplete body"),
            Self::EmptyBody => (StatusCode::BAD_REQUEST, "empty-body", "Empty body"),
            Self::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "digest-mismatch", "Digest mismatch"),
            Self::UnknownProfile { .. } => (StatusCode::BAD_REQUEST, "unknown-profile", "Unknown profile"),
            Self::UnknownRecipe { .. } => (StatusCode::CONFLICT, "unknown-recipe", "Unknown recipe"),
            Self::ProfileUnavailable { .. } => {
                (StatusCode::NOT_IMPLEMENTED, "profile-unavailable", "Profile can't be made here")
            }
            Self::Unauthorized(_) => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "Not a member of the cluster")
            }
            Self::Access(error) => access_class(error),
            Self::PrivateResult => (StatusCode::UNAUTHORIZED, "private-result", "Result is private"),
            Self::PlainHttp => (StatusCode::BAD_REQUEST, "https-needed", "HTTPS is needed"),
            Self::Gate(GateError::UnknownHost(_)) => {
                (StatusCode::MISDIRECTED_REQUEST, "unknown-host", "Unknown host name")
            }
            Self::Gate(GateError::ForeignOrigin(_) | GateError::CrossSite | GateError::Browser) => {
                (StatusCode::FORBIDDEN, "cross-origin", "Cross-origin request")
            }
            Self::WrongMediaType { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-media-type", "Wrong media type")
            }
            Self::NotFound(_) | Self::NoNode { .. } => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::ClientTooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "client-too-slow", "Client too slow"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large"),
            Self::UnsupportedMedia(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-a-video", "Not a video"),
            Self::Unprocessable(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unusable-video", "Video can't be used")
            }
            Self::TooManyUploads { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-uploads", "Too many uploads at once")
            }
            Self::TooMuchIncoming => {
                (StatusCode::TOO_MANY_REQUESTS, "too-much-incoming", "Too many bytes at once")
            }
            Self::IncomingFull => {
                (StatusCode::SERVICE_UNAVAILABLE, "incoming-full", "No room for more uploads")
            }
            Self::TooManyConnections { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-connections", "Too many connections")
            }
            Self::TooManyOffers { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-offers", "Too many offers at once")
            }
            Self::ConnectionsFull => {
                (StatusCode::SERVICE_UNAVAILABLE, "connections-full", "No room for more connections")
            }
            Self::Listeners(ListenError::OfClient { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-listeners", "Too many listeners at once")
            }
            Self::Listeners(ListenError::OfAll) => {
                (StatusCode::SERVICE_UNAVAILABLE, "listeners-full", "No room for more listeners")
            }
            Self::Parts(error) => error.class(),
            Self::PreconditionFailed { .. } => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed")
            }
            Self::NoSuchRange { .. } => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", "Range not satisfiable")
            }
            Self::Saturated { .. } => (StatusCode::SERVICE_UNAVAILABLE, "saturated", "Cluster saturated"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining", "Node shutting down"),
            Self::Resting => (StatusCode::SERVICE_UNAVAILABLE, "resting", "Node takes no work"),
            Self::DeadlinePassed { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "deadline-passed", "Deadline passed")
            }
            Self::DeadlineTooShort { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "deadline-too-short", "Deadline too short")
            }
            Self::JobElsewhere { .. }
            | Self::NoOutput { .. }
            | Self::JobNotOver { .. }
            | Self::JobDone { .. }
            | Self::VideoGone
            | Self::KeyOfAnother
            | Self::TooManyJobs(_)
            | Self::CopiesFull(_)
            | Self::NotCopied(_)
            | Self::JobBusy
            | Self::Interrupted { .. } => self.job_class(),
            Self::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "Disk full"),
            Self::NoRoomEver { .. } => (StatusCode::INSUFFICIENT_STORAGE, "no-room", "No room for that much"),
            Self::Crashed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "crashed", "ffmpeg crashed"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// The same of what is wrong with a job: else it is one that its node has given up.
    const fn job_class(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::JobElsewhere { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "job-elsewhere", "The job's node does not answer")
            }
            Self::NoOutput { .. } => (StatusCode::NOT_FOUND, "no-output", "No such result of the job"),
            Self::JobNotOver { .. } => (StatusCode::CONFLICT, "job-not-over", "The job is not over"),
            Self::JobDone { .. } => (StatusCode::CONFLICT, "job-done", "The job is done"),
            Self::VideoGone => (StatusCode::GONE, "video-gone", "The job's video is gone"),
            Self::KeyOfAnother => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "Idempotency-Key used before")
            }
            Self::TooManyJobs(_) => (StatusCode::TOO_MANY_REQUESTS, "too-many-jobs", "Too many jobs"),
            Self::CopiesFull(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "copies-full", "No room for more of that node's jobs")
            }
            Self::NotCopied(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-copied", "The job can't be kept here")
            }
            Self::JobBusy => (StatusCode::SERVICE_UNAVAILABLE, "job-busy", "The job changes now"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "interrupted", "The node ended while it was at it"),
        }
    }

    /// The last part of its type.
    pub fn slug(&self) -> &'static str {
        self.class().1
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.class().0
    }

    /// When to try again, for the errors where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InProfile { error, .. } => error.retry_after(),
            Self::Parts(error) => error.retry_after(),
            Self::Saturated { retry_after } => {
                Some((*retry_after).clamp(Duration::from_secs(1), DEADLINE_MAX))
            }
            Self::Access(AccessError::Quota(QuotaError::UsedUp { after, .. })) => {
                Some((*after).clamp(Duration::from_secs(1), DEADLINE_MAX))
            }
            Self::Draining
            | Self::Access(AccessError::Quota(QuotaError::TooManyJobs { .. }))
            | Self::Resting
            | Self::TooManyUploads { .. }
            | Self::TooMuchIncoming
            | Self::TooManyConnections { .. }
            | Self::TooManyOffers { .. }
            | Self::ConnectionsFull
            | Self::JobBusy => Some(Duration::from_secs(1)),
            Self::IncomingFull
            | Self::Listeners(_)
            | Self::JobElsewhere { .. }
            | Self::TooManyJobs(_)
            | Self::NotCopied(_) => Some(INCOMING_RETRY),
            _ => None,
        }
    }

    /// The same of one of several profiles.
    #[must_use]
    pub fn in_profile(self, profile: &ProfileName) -> Self {
        Self::InProfile { profile: profile.clone(), error: Box::new(self) }
    }

    /// The document that tells it.
    pub fn problem(&self) -> Problem {
        let (status, slug, title) = self.class();
        let offsets = match self {
            Self::Parts(PartsError::Offset { expected, given, .. }) => Some((*expected, *given)),
            _ => None,
        };
        let registered = match self {
            Self::Parts(error) => error.registered_kind(),
            _ => None,
        };
        Problem {
            kind: registered.map_or_else(|| format!("{PROBLEM_TYPE_BASE}{slug}"), str::to_owned),
            title: title.to_owned(),
            status: status.as_u16(),
            // It may repeat what the client sent, or what a file says of itself.
            detail: printable::lines(&self.to_string()).into_owned(),
            retry_after_s: self.retry_after().map(wait_seconds),
            profile: match self {
                Self::InProfile { profile, .. } => Some(profile.clone()),
                _ => None,
            },
            expected_offset: offsets.map(|(expected, _)| expected),
            provided_offset: offsets.map(|(_, given)| given),
            ended: None,
        }
    }
}

/// The same of what a token is refused for.
fn access_class(error: &AccessError) -> (StatusCode, &'static str, &'static str) {
    match error {
        AccessError::Missing { .. } => (StatusCode::UNAUTHORIZED, "no-token", "A token is needed"),
        AccessError::Unknown | AccessError::Expired { .. } => {
            (StatusCode::UNAUTHORIZED, "bad-token", "Token not valid")
        }
        AccessError::Scope { .. } => (StatusCode::FORBIDDEN, "wrong-scope", "Token not for this"),
        AccessError::Quota(QuotaError::Never { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "over-quota", "Body larger than the token's quota")
        }
        AccessError::Quota(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "quota-used-up", "The token's quota is used up")
        }
    }
}
