//! The one place where a failure becomes an HTTP status and a problem document (RFC 9457).

use std::time::Duration;

use hyper::StatusCode;
use starling_placement::error::WorkError;

use crate::access::{AccessError, QuotaError};
use crate::api::{JobState, PROBLEM_TYPE_BASE, Problem, wait_seconds};
use crate::auth::AuthError;
use crate::config::DEADLINE_MAX;
use crate::gate::GateError;
use crate::jobs::JobError;
use crate::node::{KeeperError, ListenError, NotAll, ProfileError, RefusedOffer};
use crate::printable;
use crate::profile::ProfileName;
use crate::store::{IngestError, NoRoom, is_full};

/// When there may be room for uploads again: those under way are done within seconds, mostly.
const INCOMING_RETRY: Duration = Duration::from_secs(5);

/// A request that can't be answered with what it asked for. Nothing of it is left behind on the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A header or the query can't be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The body ended before it was complete, or can't be read.
    #[error("the body could not be read to its end: {0}")]
    BodyBroken(String),
    /// No bytes in the body.
    #[error("the body is empty: send the video as the body, as in curl --data-binary @clip.mp4")]
    EmptyBody,
    /// The body is not what the client said it would be.
    #[error("the body's SHA-256 is {actual}, but {expected} was announced")]
    DigestMismatch {
        /// What the client said.
        expected: String,
        /// What came.
        actual: String,
    },
    /// Not one of the cluster's own nodes, on a route that is for them alone.
    #[error(transparent)]
    Unauthorized(#[from] AuthError),
    /// No token, or none that is good for this, now.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A result that is not for whoever knows its content's digest alone.
    #[error(
        "results are private here: give the token that came with the upload's answer (Content-Location), as ?token= or \
         Authorization: Bearer, or upload the video"
    )]
    PrivateResult,
    /// Under a stranger's name, or for a stranger's page.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Plain HTTP, where there is a certificate.
    #[error(
        "this port speaks TLS alone: ask https:// (starling: --node https://HOST:PORT, with --ca for a root of your own)"
    )]
    PlainHttp,
    /// A document or body of another type than the route takes.
    #[error("{path} takes {expected} alone, as its Content-Type says")]
    WrongMediaType {
        /// The path.
        path: String,
        /// The type it takes.
        expected: &'static str,
    },
    /// Nothing here.
    #[error("nothing at {0}: see GET /profiles, /members, /health, POST /upload")]
    NotFound(String),
    /// The path exists, the method does not.
    #[error("{path} takes {allow} only")]
    MethodNotAllowed {
        /// The path.
        path: String,
        /// The methods it takes, as the Allow header lists them.
        allow: String,
    },
    /// The client sent too slowly or not at all.
    #[error("the body came too slowly: {0}; send faster or try again")]
    ClientTooSlow(String),
    /// The body is larger than this node takes.
    #[error("the body is larger than this node takes: at most {max} bytes")]
    TooLarge {
        /// The cap in bytes.
        max: u64,
    },
    /// Not a video, by its first bytes.
    #[error("this is not a video that can be taken: {0}")]
    UnsupportedMedia(String),
    /// A video by its first bytes, but ffprobe or ffmpeg refuses it.
    #[error("the video can't be used: {0}")]
    Unprocessable(String),
    /// No such profile.
    #[error("unknown profile {name:?}: use one of {known}")]
    UnknownProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A peer asks for a profile that is not known here, or says something else here.
    #[error(
        "profile {name:?} is not known here, or with another recipe: ask a node with the same --profiles"
    )]
    UnknownRecipe {
        /// What was asked for.
        name: String,
    },
    /// The profile is known, and nobody that could be asked has what it takes.
    #[error("profile {name:?} can't be made here: {lack}; no other node that can has taken it")]
    ProfileUnavailable {
        /// What was asked for.
        name: String,
        /// What this node lacks, and what to do.
        lack: String,
    },
    /// The client has too many uploads under way at this node.
    #[error("you have {max} uploads under way at this node: wait for one of them, or use other nodes too")]
    TooManyUploads {
        /// How many it may have.
        max: u32,
    },
    /// The client's uploads under way take as much of this node's disk as they may.
    #[error(
        "your uploads under way take all the room that you may have at this node: wait for one of them, or use other nodes too"
    )]
    TooMuchIncoming,
    /// All uploads under way together do.
    #[error(
        "the uploads under way take all the room that this node has for them: try again in {} s, or another node",
        wait_seconds(INCOMING_RETRY)
    )]
    IncomingFull,
    /// The client has too many connections to this node.
    #[error("you have {max} connections to this node: use those, or other nodes too")]
    TooManyConnections {
        /// How many it may have.
        max: u32,
    },
    /// The peer has too many offers held here.
    #[error("this address has {max} offers held here: send their videos first, or ask another node")]
    TooManyOffers {
        /// How many it may have.
        max: u32,
    },
    /// This node has as many connections as it may, and a request on each.
    #[error("this node serves as many connections as it may: try again in a second, or another node")]
    ConnectionsFull,
    /// No more clients may listen to this node's events.
    #[error(transparent)]
    Listeners(#[from] ListenError),
    /// If-Match names another result than the one that is here.
    #[error("the result's entity tag is {etag}, and If-Match names others")]
    PreconditionFailed {
        /// The tag.
        etag: String,
    },
    /// Range asks for bytes that the result does not have.
    #[error("there is no such part: the result has {total} bytes")]
    NoSuchRange {
        /// Its length.
        total: u64,
    },
    /// No node has time for the job now.
    #[error("no node has time for this now: try again in {} s", wait_seconds(*.retry_after))]
    Saturated {
        /// When a place is expected.
        retry_after: Duration,
    },
    /// This node is leaving and takes nothing new.
    #[error("this node is shutting down: send the request to another one")]
    Draining,
    /// An operator has this node take no work.
    #[error("this node takes no work now, as its operator wants it: send the request to another one")]
    Resting,
    /// The deadline passed first.
    #[error("not done within the {} that this request had: try again, or allow more with X-Deadline-Ms", humantime::format_duration(*.allowed))]
    DeadlinePassed {
        /// What the request had.
        allowed: Duration,
    },
    /// It takes longer than the request allows, also on a node that has nothing else to do.
    #[error(
        "this takes about {} here, and {} were allowed: allow more with X-Deadline-Ms",
        humantime::format_duration(rounded(*.needs)),
        humantime::format_duration(*.allowed)
    )]
    DeadlineTooShort {
        /// What the request had.
        allowed: Duration,
        /// From its arrival to its result, as estimated.
        needs: Duration,
    },
    /// A job that another node keeps, which does not answer.
    #[error("the job is kept by {node}, which does not answer now: {why}; ask again when it is back")]
    JobElsewhere {
        /// The node.
        node: String,
        /// What was seen of it.
        why: String,
    },
    /// The job has no result, or none yet.
    #[error("the job is {state}: there is no such result{hint}")]
    NoOutput {
        /// How far it is.
        state: JobState,
        /// What to do.
        hint: String,
    },
    /// The client's name of the request stands for another one.
    #[error("the Idempotency-Key was given to another request before: give each request a name of its own")]
    KeyOfAnother,
    /// Too many jobs wait or run here.
    #[error("{0}")]
    TooManyJobs(String),
    /// Another node's jobs take as much here as they may.
    #[error("{0}")]
    CopiesFull(String),
    /// What belongs to another node's job does not come.
    #[error("{0}")]
    NotCopied(String),
    /// A job changes at this moment.
    #[error("the job changes at this moment: try again")]
    JobBusy,
    /// A job's node has ended too often while it was at it.
    #[error("its node ended {times} times while it was at it: it may be the video's fault")]
    Interrupted {
        /// How often.
        times: u32,
    },
    /// No space left for the upload or its result.
    #[error("this node's disk is full: try another node or later")]
    DiskFull,
    /// Bigger than what this node's disk has for one client's uploads, however empty it is otherwise.
    #[error(
        "this node has room for uploads of at most {max} bytes (--incoming-bytes and --incoming-bytes-per-client, by default a part \
         of what its disk has free): send it to a node with more"
    )]
    NoRoomEver {
        /// The biggest that there is room for, in bytes.
        max: u64,
    },
    /// ffprobe or ffmpeg came to grief over this video here; the log has the details. When they do so on a second node, too,
    /// it is the video.
    #[error("not done, and it may be the video's fault: {0}")]
    Crashed(String),
    /// A fault of ours; the log has the details.
    #[error("internal error: {0}")]
    Internal(String),
    /// Of several profiles that were asked for at once this one can't be made, and so none is answered.
    #[error(
        "profile {profile}: {error}; none of the other profiles is answered, and those of their results that are done are kept here"
    )]
    InProfile {
        /// Which one.
        profile: ProfileName,
        /// Why.
        error: Box<Self>,
    },
}

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
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", "Not found"),
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
            Self::JobElsewhere { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "job-elsewhere", "The job's node does not answer")
            }
            Self::NoOutput { .. } => (StatusCode::NOT_FOUND, "no-output", "No such result of the job"),
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
            Self::Interrupted { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, "interrupted", "The node ended while it was at it")
            }
            Self::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk-full", "Disk full"),
            Self::NoRoomEver { .. } => (StatusCode::INSUFFICIENT_STORAGE, "no-room", "No room for that much"),
            Self::Crashed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "crashed", "ffmpeg crashed"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
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
        Problem {
            kind: format!("{PROBLEM_TYPE_BASE}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            // It may repeat what the client sent, or what a file says of itself.
            detail: printable::lines(&self.to_string()).into_owned(),
            retry_after_s: self.retry_after().map(wait_seconds),
            profile: match self {
                Self::InProfile { profile, .. } => Some(profile.clone()),
                _ => None,
            },
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

/// An estimate as it is told: in whole tenths of a second, upwards.
fn rounded(estimate: Duration) -> Duration {
    Duration::from_millis(
        u64::try_from(estimate.as_millis().div_ceil(100)).unwrap_or(u64::MAX).saturating_mul(100),
    )
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Empty => Self::EmptyBody,
            IngestError::TooLarge { max } => Self::TooLarge { max },
            IngestError::NotVideo(error) => Self::UnsupportedMedia(error.to_string()),
            IngestError::Body(error) => Self::BodyBroken(error.to_string()),
            IngestError::TimedOut { what, limit } => Self::ClientTooSlow(format!("{what} {limit:.0?}")),
            IngestError::NoRoom(NoRoom::OfClient) => Self::TooMuchIncoming,
            IngestError::NoRoom(NoRoom::OfAll) => Self::IncomingFull,
            IngestError::NoRoom(NoRoom::Ever { max }) => Self::NoRoomEver { max },
            IngestError::DiskFull => Self::DiskFull,
            IngestError::DigestMismatch { announced, got } => {
                Self::DigestMismatch { expected: announced.to_string(), actual: got.to_string() }
            }
            IngestError::Io(error) => Self::Internal(format!("the upload can't be stored: {error}")),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Unknown { name, known } => Self::UnknownProfile { name, known },
            ProfileError::OtherRecipe { name } => Self::UnknownRecipe { name },
        }
    }
}

impl ApiError {
    /// How work ended, as it is told to a request that was given so much time.
    pub fn ended(error: WorkError, allowed: Duration) -> Self {
        match error {
            WorkError::Saturated { retry_after } => Self::Saturated { retry_after },
            WorkError::Draining => Self::Draining,
            WorkError::TooLate => Self::DeadlinePassed { allowed },
            WorkError::TooShort { needs } => Self::DeadlineTooShort { allowed, needs },
            WorkError::Unusable { why } => Self::Unprocessable(why),
            WorkError::Crashed { how } => Self::Crashed(how),
            WorkError::Unavailable { profile, lack } => {
                Self::ProfileUnavailable { name: profile.to_string(), lack }
            }
            WorkError::DiskFull => Self::DiskFull,
            WorkError::Fault { what } => Self::Internal(what),
        }
    }

    /// The same of one of several profiles, if it is about one.
    pub fn failed(NotAll { profile, error }: NotAll, allowed: Duration) -> Self {
        let error = Self::ended(error, allowed);
        match profile {
            Some(profile) => error.in_profile(&profile),
            None => error,
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::TooMany { .. } | JobError::TooManyOfClient { .. } => {
                Self::TooManyJobs(error.to_string())
            }
            JobError::KeyOfAnother => Self::KeyOfAnother,
            JobError::TooManyResults { .. } => Self::CopiesFull(error.to_string()),
            JobError::Busy => Self::JobBusy,
            JobError::Io(io) if is_full(&io) => Self::DiskFull,
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<KeeperError> for ApiError {
    fn from(error: KeeperError) -> Self {
        match error {
            KeeperError::Job(error) => error.into(),
            KeeperError::Ingest(error) => error.into(),
            KeeperError::Stranger(_) | KeeperError::Peer(_) => Self::NotCopied(error.to_string()),
            KeeperError::TooManyCompared => Self::BadRequest(error.to_string()),
        }
    }
}

impl From<RefusedOffer> for ApiError {
    fn from(error: RefusedOffer) -> Self {
        match error {
            RefusedOffer::TooMany { max } => Self::TooManyOffers { max },
            RefusedOffer::TooLarge { max } => Self::TooLarge { max },
            RefusedOffer::Profile(error) => error.into(),
            // An offer has no time that could be too short: see `Node::consider`.
            RefusedOffer::Work(error) => Self::ended(error, Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_too_short_says_how_long_it_has_to_be_and_not_to_come_back() {
        let (allowed, needs) = (Duration::from_millis(400), Duration::from_millis(2_345));
        let problem = ApiError::DeadlineTooShort { allowed, needs }.problem();
        assert_eq!((problem.status, problem.retry_after_s), (504, None));
        assert!(problem.detail.starts_with("this takes about 2s 400ms here, and 400ms were"), "{problem:?}");
        assert_eq!(rounded(Duration::MAX), Duration::from_millis(u64::MAX));
    }

    #[test]
    fn the_time_that_is_named_is_the_requests_own() {
        let second = Duration::from_secs(1);
        let passed = ApiError::ended(WorkError::TooLate, second);
        assert_eq!(passed, ApiError::DeadlinePassed { allowed: second });
        let short = ApiError::ended(WorkError::TooShort { needs: second * 3 }, second);
        assert_eq!(short, ApiError::DeadlineTooShort { allowed: second, needs: second * 3 });
    }

    #[test]
    fn how_work_ended_is_told_in_the_words_of_old() {
        let told = |error| ApiError::ended(error, Duration::from_secs(1)).problem();
        let verdict = told(WorkError::unusable("no video stream"));
        assert_eq!(
            (verdict.status, verdict.detail.as_str()),
            (422, "the video can't be used: no video stream")
        );
        let crashed = told(WorkError::Crashed { how: "ffmpeg hung on a node".into() });
        assert_eq!(crashed.status, 500);
        assert_eq!(crashed.detail, "not done, and it may be the video's fault: ffmpeg hung on a node");
        assert_eq!(told(WorkError::fault("x")).detail, "internal error: x");
        assert_eq!(verdict.ended, None, "codes are for nodes");
    }

    #[test]
    fn saturated_says_when_to_come_back() {
        let problem = ApiError::Saturated { retry_after: Duration::from_millis(2_300) }.problem();
        assert_eq!((problem.status, problem.retry_after_s), (503, Some(3)));
        assert_eq!(ApiError::Saturated { retry_after: Duration::ZERO }.problem().retry_after_s, Some(1));
        assert_eq!(ApiError::EmptyBody.problem().retry_after_s, None);
        let never = ApiError::Saturated { retry_after: Duration::MAX }.problem();
        assert_eq!(never.retry_after_s, Some(24 * 3600));
        assert!(never.detail.ends_with("try again in 86400 s"), "{}", never.detail);
    }
}
