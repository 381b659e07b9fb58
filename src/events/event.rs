//! What can happen.

use std::fmt::Display;
use std::time::Duration;

use starling_overlay::{self as overlay, Identity, NodeName};
use starling_placement::content::Key;
use starling_placement::journey::{Fault, Served, Timings, What};
use starling_placement::policy::{Policy, RouteKind};
use starling_placement::standing::Avoidance;

use crate::api::{JobState, WorkMode};
use crate::content::ContentId;
use crate::jobs::JobId;
use crate::profile::ProfileName;
use crate::store::Object;
use crate::workers::TranscodeError;

/// Something that happened at this node, or that it saw happen to the membership.
#[derive(Clone, Copy)]
pub enum NodeEvent<'a> {
    /// To the membership.
    Membership(&'a overlay::Event),
    /// So much happened to the membership at once that some of it is not told.
    MembershipMissed {
        /// How many events.
        events: u64,
    },
    /// To an upload's job on its way.
    Job {
        /// The upload, and the profile that it is made in.
        key: &'a Key,
        /// What.
        what: &'a What,
    },
    /// An upload was answered with a result; or a job has one.
    UploadServed {
        /// Which of the two.
        what_for: ServedFor,
        /// The upload.
        content: &'a ContentId,
        /// The result, and where it came from.
        served: &'a Served<Object>,
        /// What was asked for.
        profile: &'a ProfileName,
        /// The routing policy.
        policy: &'static str,
        /// What was done when.
        timings: &'a Timings,
    },
    /// An upload was answered with an error.
    UploadRefused {
        /// HTTP status.
        status: u16,
        /// The last part of the problem's type.
        problem: &'static str,
        /// In words: for the log alone, since they are the client's own business.
        error: &'a dyn Display,
        /// The routing policy.
        policy: &'static str,
        /// What was done when.
        timings: &'a Timings,
    },
    /// A peer's offer has a place here.
    OfferAccepted {
        /// The peer.
        from: &'a NodeName,
        /// The upload.
        content: &'a ContentId,
        /// What is to be made.
        profile: &'a ProfileName,
    },
    /// A peer's offer has none.
    OfferRefused {
        /// The peer.
        from: &'a NodeName,
        /// The upload.
        content: &'a ContentId,
        /// What was to be made.
        profile: &'a ProfileName,
        /// Why, as a code.
        reason: &'static str,
    },
    /// The body of an accepted offer never came.
    OfferExpired {
        /// The peer.
        from: &'a NodeName,
        /// The upload.
        content: &'a ContentId,
        /// In which profile.
        profile: &'a ProfileName,
    },
    /// A peer has the result of its job.
    PeersJobDone {
        /// The peer.
        from: &'a NodeName,
        /// Where it is.
        route: RouteKind,
        /// The upload.
        content: &'a ContentId,
        /// In which profile.
        profile: &'a ProfileName,
        /// The result.
        served: &'a Served<Object>,
    },
    /// A peer's job has no result.
    PeersJobFailed {
        /// The last part of the problem's type.
        problem: &'static str,
        /// In words.
        error: &'a dyn Display,
    },
    /// A peer did something wrong.
    PeerFault {
        /// The peer.
        peer: &'a Identity,
        /// What kind of wrong.
        fault: Fault,
        /// What was seen of it.
        seen: &'a str,
        /// How long it gets no work for that; none where that was told before, or it is forgiven.
        avoidance: Option<Avoidance>,
    },
    /// A job is in the queue.
    Enqueued {
        /// The upload.
        content: &'a ContentId,
        /// What is to be made.
        profile: &'a ProfileName,
    },
    /// A job has left the queue and was not begun.
    Withdrawn {
        /// The upload.
        content: &'a ContentId,
        /// What was to be made.
        profile: &'a ProfileName,
        /// Why.
        why: Departure,
    },
    /// A worker has begun a job.
    Begun {
        /// The upload.
        content: &'a ContentId,
        /// What is made.
        profile: &'a ProfileName,
        /// How long it was in the queue.
        waited: Duration,
        /// How long it is going to take, by what was learned; none before enough was.
        predicted: Option<Duration>,
        /// Threads that it has.
        threads: u16,
    },
    /// A worker has made a result.
    Made {
        /// The upload.
        content: &'a ContentId,
        /// What was made.
        profile: &'a ProfileName,
        /// How long that took.
        took: Duration,
        /// What was predicted.
        predicted: Option<Duration>,
        /// Length of the result.
        bytes: u64,
    },
    /// A worker has made none.
    NotMade {
        /// The upload.
        content: &'a ContentId,
        /// What was to be made.
        profile: &'a ProfileName,
        /// How long that took.
        took: Duration,
        /// Why.
        error: &'a TranscodeError,
    },
    /// A result has left the cache, to make room.
    Evicted {
        /// Its folder.
        entry: &'a str,
        /// What it took on disk.
        bytes: u64,
    },
    /// A cached result was damaged, and is removed.
    ResultDamaged {
        /// Its folder.
        entry: &'a str,
        /// How.
        error: &'a dyn Display,
    },
    /// A result can't be cached.
    NotCached {
        /// Its folder.
        entry: &'a str,
        /// Why.
        error: &'a dyn Display,
    },
    /// A job is accepted: it is kept, and will be done.
    JobAccepted {
        /// Its name.
        id: &'a JobId,
        /// The upload.
        content: &'a ContentId,
    },
    /// A job that another node held is this node's from now on.
    JobTakenOver {
        /// Its name.
        id: &'a JobId,
        /// The upload.
        content: &'a ContentId,
        /// How often it has changed hands.
        term: u32,
    },
    /// A job has come to its end.
    JobEnded {
        /// Its name.
        id: &'a JobId,
        /// The upload.
        content: &'a ContentId,
        /// Which end.
        state: JobState,
        /// How long that was after it was accepted.
        took: Duration,
    },
    /// The node takes work from now on, or none.
    WorkModeChanged {
        /// So it is.
        mode: WorkMode,
        /// So it was.
        before: WorkMode,
    },
    /// The node decides by another routing policy from now on.
    PolicyChanged {
        /// By this one.
        policy: Policy,
        /// The one before.
        before: Policy,
    },
    /// The node takes nothing new any more.
    Leaving {
        /// Time that what runs has.
        bound: Duration,
        /// Jobs that run.
        running: usize,
    },
}

/// What a result was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedFor {
    /// An upload, whose client waits for it.
    Upload,
    /// A job, that is kept until it is done; its end is an event of its own.
    Job,
}

/// Why a job leaves the queue that no worker has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// Nobody waits for it any more.
    Cancelled,
    /// It makes room for another client's.
    Displaced,
    /// Its turn came too late.
    Late,
    /// The node is leaving: another one does it.
    HandedOver,
}

impl Departure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cancelled, Self::Displaced, Self::Late, Self::HandedOver];

    /// The word in the stream of events and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Displaced => "displaced",
            Self::Late => "late",
            Self::HandedOver => "handed_over",
        }
    }
}
