//! The interface of a routing policy, and the choice of one by name.

use std::str::FromStr;

use rand::RngCore;

use super::{Candidate, Random, RoundRobin, Score, ScoreWeights, Situation};

/// Ranks the nodes that could do a job, best first, this node always among them.
pub trait Policy: Send + Sync {
    /// The ranking; deterministic in its arguments but for policies that keep a turn counter.
    fn rank(&self, situation: &Situation<'_>, rng: &mut dyn RngCore) -> Vec<Candidate>;

    /// Whether it looks at load: then a job is not handed to a node that turns out to have more before it than this
    /// one. What gossip says is a little old, and without that many nodes at once would choose the same one.
    fn weighs_load(&self) -> bool {
        false
    }
}

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
}

/// Why a text names no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy {0:?}: use one of {names}", names = PolicyKind::ALL.map(PolicyKind::as_str).join(", "))]
pub struct UnknownPolicy(String);

impl PolicyKind {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Score, Self::Random, Self::RoundRobin];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Random => "random",
            Self::RoundRobin => "round-robin",
        }
    }

    /// Makes the policy; only `score` has weights.
    pub fn build(self, weights: ScoreWeights) -> Box<dyn Policy> {
        match self {
            Self::Score => Box::new(Score::new(weights)),
            Self::Random => Box::new(Random),
            Self::RoundRobin => Box::<RoundRobin>::default(),
        }
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownPolicy(text.into()))
    }
}
