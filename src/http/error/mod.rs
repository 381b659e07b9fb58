//! The one place where a failure becomes an HTTP status and a problem document (RFC 9457).
//!
//! Here: what can go wrong, in words. What that is told as: document.rs. Where it comes from: origin.rs.

mod document;
mod origin;
mod parts;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub(super) use parts::PartsError;

use crate::access::AccessError;
use crate::api::{JobState, wait_seconds};
use crate::auth::AuthError;
use crate::gate::GateError;
use crate::jobs::RETRY_KEPT;
use crate::node::ListenError;
use crate::profile::ProfileName;

/// How a client is told to ask for what takes longer than a request can wait, or has to wait for its turn.
const AS_A_JOB: &str =
    "send it as a job, whose result is fetched later: POST /jobs, or Prefer: respond-async";

/// When there may be room for uploads again: those under way are done within seconds, mostly.
const INCOMING_RETRY: Duration = Duration::from_secs(5);

/// What to do about a time that is too short. A job's own time counts from when it is begun, and nobody's connection has to last so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreTime {
    /// Of an upload, whose answer is waited for.
    AsUpload,
    /// Of a job.
    AsJob,
}

impl fmt::Display for MoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsUpload => write!(f, "allow more with X-Deadline-Ms, or {AS_A_JOB}"),
            Self::AsJob => f.write_str("allow more with X-Deadline-Ms at POST /jobs/{id}/retry"),
        }
    }
}

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
    /// Nothing here, since this is no node.
    #[error("nothing at {path}: this is {what}, and no node: its page is at /, and nodes take uploads")]
    NoNode {
        /// What was asked for.
        path: String,
        /// What is asked.
        what: &'static str,
    },
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
    /// About an upload in parts.
    #[error(transparent)]
    Parts(#[from] PartsError),
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
    #[error("no node has time for this now: try again in {} s, or {}", wait_seconds(*.retry_after), AS_A_JOB)]
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
    #[error("not done within the {} that this request had: try again, or {more}", humantime::format_duration(*.allowed))]
    DeadlinePassed {
        /// What the request had.
        allowed: Duration,
        /// How to have more.
        more: MoreTime,
    },
    /// It takes longer than the request allows, also on a node that has nothing else to do.
    #[error(
        "this takes about {} here, and {} were allowed: {more}",
        humantime::format_duration(rounded(*.needs)),
        humantime::format_duration(*.allowed)
    )]
    DeadlineTooShort {
        /// What the request had.
        allowed: Duration,
        /// From its arrival to its result, as estimated.
        needs: Duration,
        /// How to have more.
        more: MoreTime,
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
    /// A job is to be done again that has not come to its end.
    #[error(
        "the job is {state}: it can be done again when it has failed or was cancelled; wait for its end, or cancel it"
    )]
    JobNotOver {
        /// How far it is.
        state: JobState,
    },
    /// A job is to be done again that is done.
    #[error(
        "the job is done, and its output is at {outputs}: to have it made once more, send the video again (POST /jobs)"
    )]
    JobDone {
        /// Where its results are.
        outputs: String,
    },
    /// The video of a job that is to be done again is not kept any more.
    #[error(
        "the job's video is here no more: it is kept for {} after a job's end, unless others need the room; send it again (POST /jobs)",
        humantime::format_duration(RETRY_KEPT)
    )]
    VideoGone,
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

/// An estimate as it is told: in whole tenths of a second, upwards.
fn rounded(estimate: Duration) -> Duration {
    Duration::from_millis(
        u64::try_from(estimate.as_millis().div_ceil(100)).unwrap_or(u64::MAX).saturating_mul(100),
    )
}
