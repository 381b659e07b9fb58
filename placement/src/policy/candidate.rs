//! What a ranking is made of.

use std::sync::Arc;
use std::time::Duration;

use starling_overlay::{Identity, LoadSample, Zone};

use super::Forecast;
use super::wait::is_full;
use crate::desk::Backlog;

/// Which kind of way a job took from the node that received it to the node that did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// Done where it was received.
    Local,
    /// Handed to another node of the same zone.
    SameRegion,
    /// Handed to a node of another zone.
    CrossRegion,
}

impl RouteKind {
    /// The way from one node to another, by their zones.
    pub fn between(from: &Zone, to: &Zone) -> Self {
        if from == to { Self::SameRegion } else { Self::CrossRegion }
    }

    /// The word for logs, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::SameRegion => "same-region",
            Self::CrossRegion => "cross-region",
        }
    }
}

/// What speaks against a node, whatever the policy thinks of it. A ranking goes by this first, from the least to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// Nothing.
    #[default]
    None,
    /// This node itself, where the job would have to wait, under a policy that hardly sees queues: the peers are asked first.
    Busy,
    /// No fresh load sample of it is here, and the policy needs one. It may have joined just now; it may do what no other node can.
    Unknown,
    /// By what it says of itself it will hardly take a job with so little time left.
    Full,
    /// It could not be reached a moment ago.
    Unreachable,
    /// It did something worse a moment ago than not to answer. It is not asked.
    Distrusted,
}

/// How much work may stand before the job at a peer for it to be worth the way. The offer says so, and the peer holds it against
/// what it has by then: what gossip says is a little old, and many nodes may have chosen the same peer meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// As much as may be: the policy does not look at load.
    Any,
    /// Less than at the node that asks.
    #[default]
    LessThanHere,
    /// So much time. With a longer wait the job would be done sooner where it is.
    UpTo(Duration),
}

/// A node that could do the job, and what speaks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which node.
    pub identity: Arc<Identity>,
    /// Local, or how far the way to it is.
    pub route: RouteKind,
    /// The policy's figure for it: lower is better. Policies that do not weigh give the place in their order. Infinite where too
    /// little is known of the node.
    pub score: f64,
    /// Measured or estimated round-trip time, none if neither is known.
    pub rtt: Option<Duration>,
    /// Its newest load sample, if that is fresh.
    pub load: Option<LoadSample>,
    /// What speaks against it.
    pub concern: Concern,
    /// Whether it has an encoder in hardware ready that may do the job: it goes before all that have none, and is not held against them.
    pub hardware: bool,
    /// How much may stand before the job there.
    pub patience: Patience,
    /// How long the job is likely to keep a worker there.
    pub work: Duration,
    /// Where the rest of its time goes there; none from a policy that does not predict times.
    pub forecast: Option<Forecast>,
}

impl Candidate {
    /// Whether this is the deciding node itself.
    pub fn is_local(&self) -> bool {
        self.route == RouteKind::Local
    }

    /// Whether it will hardly take a job that has so much time left.
    pub fn is_full(&self, left: Duration) -> bool {
        self.concern == Concern::Full || is_full(self.load.as_ref(), left)
    }

    /// What an offer to it says may stand before the job, from a node that has `own` before it. None: whatever is there.
    pub fn backlog_max(&self, own: Backlog) -> Option<Backlog> {
        match self.patience {
            Patience::Any => None,
            Patience::LessThanHere => Some(own),
            Patience::UpTo(wait) => {
                let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                Some(Backlog { wait_ms: own.wait_ms.map(|_| wait_ms), ..own })
            }
        }
    }
}
