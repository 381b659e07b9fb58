//! Where a job should run: pure functions over the membership view, the loads in it and the job.
//!
//! A [`Policy`] only proposes. Gossip is always a little stale, so whoever carries the proposal out
//! offers the job to the candidates in order, and each of them answers from its own queue.

mod candidates;
mod kind;
mod score;
mod simple;
#[cfg(test)]
mod tests;

pub use candidates::{Candidate, SAMPLE_AGE_MAX, Situation};
pub use kind::{Policy, PolicyKind, UnknownPolicy};
pub use score::{RTT_UNKNOWN, Score, ScoreWeights, WeightError};
pub use simple::{Random, RoundRobin};

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
    /// The word for logs, headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::SameRegion => "same-region",
            Self::CrossRegion => "cross-region",
        }
    }
}
