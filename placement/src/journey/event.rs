//! What happens to a job on its way. A node makes log lines, metrics and its stream of events of it, a test looks at it.

use std::sync::Arc;
use std::time::Duration;

use starling_overlay::NodeName;

use super::PeerError;
use crate::content::Key;
use crate::error::WorkError;
use crate::policy::{Candidate, RouteKind};

/// One thing that happened to the work on a content in a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The content, and the profile.
    pub key: Key,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A request joined work under way.
    Joined,
    /// The content's home is asked.
    HomeAsked {
        /// Which node that is.
        home: NodeName,
    },
    /// The home does not answer: the work goes on without it.
    HomeSilent {
        /// Which node that is.
        home: NodeName,
        /// What is known of that.
        error: PeerError,
    },
    /// Another node's work takes long: the job is done here, too.
    HedgedHere {
        /// The other node.
        by: NodeName,
        /// What was seen of its work.
        seen: String,
    },
    /// Another node's work is not waited for any longer: nothing of it moves, and there is no place for it here.
    NotWaitedFor {
        /// The content's home.
        home: NodeName,
        /// The other node.
        by: NodeName,
        /// What was seen of its work.
        seen: String,
    },
    /// It was begun here beside another node's work, and came to nothing: the other is waited for.
    HedgeFailed {
        /// How it ended here.
        error: WorkError,
    },
    /// A result that a peer is said to hold could not be had.
    NotFetched {
        /// The peer.
        peer: NodeName,
        /// Why.
        error: PeerError,
    },
    /// The lease at the home was renewed, or was not.
    LeaseRenewed {
        /// The home.
        home: NodeName,
        /// Why not.
        failed: Option<PeerError>,
    },
    /// The home was not told of the lease's end; it is tried again.
    LeaseEndUntold {
        /// The home.
        home: NodeName,
        /// Why.
        error: PeerError,
    },
    /// The policy has ranked the candidates.
    Ranked {
        /// Their scores, best first.
        scores: Arc<str>,
        /// All that were ranked, best first, with what the ranking is made of.
        candidates: Arc<[Candidate]>,
    },
    /// A peer was offered the job.
    Offered {
        /// The peer.
        peer: NodeName,
        /// Where it is.
        route: RouteKind,
        /// What came of it.
        answer: Answer,
    },
    /// A body has gone to a peer, or come from it.
    Transferred {
        /// The peer.
        peer: NodeName,
        /// Where it is.
        route: RouteKind,
        /// Whether it was the job's video, which goes there; else its result, which comes back.
        there: bool,
        /// Its length, without its first piece.
        bytes: u64,
        /// From its first piece to its last.
        took: Duration,
    },
    /// What a peer had taken is over there.
    HandedOver {
        /// The peer.
        peer: NodeName,
        /// Where it is.
        route: RouteKind,
        /// Whether there is a result that is taken.
        done: bool,
    },
    /// A peer refused an offer, or did not do what it had taken.
    Refused {
        /// The peer.
        peer: NodeName,
        /// Its words.
        reason: String,
        /// Whether it had taken the job before.
        taken: bool,
    },
    /// A peer can't be reached any more, or was not asked for what it did before.
    Lost {
        /// The peer.
        peer: NodeName,
        /// Why.
        reason: String,
    },
    /// A peer's result is not taken.
    ResultNotTaken {
        /// The peer.
        peer: NodeName,
        /// Why.
        error: PeerError,
    },
    /// This node can't do it by a fault of its own.
    FailedHere {
        /// Which one.
        error: WorkError,
    },
    /// A peer says that the video can't be used: this node sees for itself before its client is told so.
    Doubted {
        /// The peer.
        peer: NodeName,
        /// What it says.
        error: WorkError,
    },
    /// A tool came to grief over it: one more node may try.
    Crashed {
        /// On which node.
        on: NodeName,
        /// How.
        error: WorkError,
    },
    /// Nothing of the job moves at a peer any more: it is tried elsewhere, too.
    Stalled {
        /// The peer.
        peer: NodeName,
        /// What was seen.
        seen: String,
    },
    /// The job moves at a peer, and takes long: it is tried elsewhere, too.
    Slow {
        /// The peer.
        peer: NodeName,
    },
    /// A job that stalled or was slow at a peer came to nothing there.
    StragglerFailed {
        /// How.
        error: PeerError,
    },
    /// What was tried beside a straggler was done first.
    HedgeWon,
}

/// What comes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A place.
    Accepted,
    /// No.
    Refused,
    /// No connection, or a broken one.
    Unreachable,
    /// The peer was not asked, for what it did before.
    Avoided,
    /// Something wrong.
    Faulty,
    /// How such work ends on any node.
    Ended,
}

impl Answer {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Refused, Self::Unreachable, Self::Avoided, Self::Faulty, Self::Ended];

    /// What a peer's answer is.
    pub const fn of<T>(answer: &Result<T, PeerError>) -> Self {
        match answer {
            Ok(_) => Self::Accepted,
            Err(PeerError::Refused { .. }) => Self::Refused,
            Err(PeerError::Unreachable(_)) => Self::Unreachable,
            Err(PeerError::Avoided(_)) => Self::Avoided,
            Err(PeerError::Faulty { .. } | PeerError::NotTaken(_)) => Self::Faulty,
            Err(PeerError::Ended(_)) => Self::Ended,
        }
    }

    /// The word in the stream of events and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Avoided => "avoided",
            Self::Faulty => "faulty",
            Self::Ended => "ended",
        }
    }
}
