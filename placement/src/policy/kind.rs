//! Which policies there are, and the choice of one by name.

use std::str::FromStr;

use rand::RngCore;

use super::score::ScoreWeights;
use super::situation::{Seen, Situation};
use super::{balance, eta, prequal, score, simple, waterfall};

/// A policy's name, as `--policy` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// The paper's weighted sum of load and round-trip time.
    #[default]
    Score,
    /// Any live node, all alike.
    Random,
    /// The live nodes in turn.
    RoundRobin,
    /// The node with the fewest jobs a worker.
    LeastLoaded,
    /// The less loaded of two random nodes.
    P2c,
    /// Jobs in flight first, then latency.
    Prequal,
    /// The nearest zone until it is full, then the next.
    Waterfall,
    /// The node that is likely to be done first.
    Eta,
}

/// Why a text names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy {0:?}: use one of {names}", names = PolicyKind::ALL.map(PolicyKind::as_str).join(", "))]
pub struct UnknownPolicy(String);

/// A policy and what it is set to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// Which one.
    pub kind: PolicyKind,
    /// Only `score` has weights.
    pub weights: ScoreWeights,
}

impl PolicyKind {
    /// Every policy.
    pub const ALL: [Self; 8] = [
        Self::Score,
        Self::Random,
        Self::RoundRobin,
        Self::LeastLoaded,
        Self::P2c,
        Self::Prequal,
        Self::Waterfall,
        Self::Eta,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Random => "random",
            Self::RoundRobin => "round-robin",
            Self::LeastLoaded => "least-loaded",
            Self::P2c => "p2c",
            Self::Prequal => "prequal",
            Self::Waterfall => "waterfall",
            Self::Eta => "eta",
        }
    }

    /// Whether it looks at what nodes say of their load. One of which nothing fresh is known is asked last then.
    pub const fn weighs_load(self) -> bool {
        !matches!(self, Self::Random | Self::RoundRobin)
    }
}

impl Policy {
    /// Sets each node's figure, and how much may stand before the job there. `nodes` are this node and then the others by name.
    pub(super) fn weigh<'a>(
        &self,
        situation: &'a Situation<'a>,
        nodes: &mut [Seen<'a>],
        rng: &mut dyn RngCore,
    ) {
        match self.kind {
            PolicyKind::Score => score::weigh(self.weights, nodes),
            PolicyKind::Random => simple::random(nodes, rng),
            PolicyKind::RoundRobin => simple::round_robin(situation, nodes),
            PolicyKind::LeastLoaded => balance::least_loaded(situation, nodes),
            PolicyKind::P2c => balance::two_choices(situation, nodes, rng),
            PolicyKind::Prequal => prequal::weigh(situation, nodes, rng),
            PolicyKind::Waterfall => waterfall::weigh(situation, nodes),
            PolicyKind::Eta => eta::weigh(situation, nodes, rng),
        }
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownPolicy(text.into()))
    }
}
