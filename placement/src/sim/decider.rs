//! What decides where the jobs of a run go: the policies that nodes have, and such as no node can have.

use std::str::FromStr;

use crate::policy::{Policy, PolicyKind, ScoreWeights, UnknownPolicy, WeightError};

/// What decides where jobs run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decider {
    /// A policy that a node can have.
    Policy(Policy),
    /// `eta` as a node has it, but for what it is told: no node can. What it gains shows what age and error cost.
    Told(Truth),
    /// `eta` by gossip as each node has it, but one router decides for all of them: what one node has handed over all know at once. What
    /// it gains shows what it costs that each node decides alone.
    Central,
    /// Knows every desk as it is now, and what each job takes: no node can. What it reaches is what better knowledge is worth.
    Omniscient,
}

/// What is known in truth, and not as gossip and the look at a video have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The load of every node, as it is at the moment of the decision.
    Loads,
    /// What each job takes a usual node.
    Sizes,
    /// Both.
    Both,
}

impl Truth {
    pub(super) const fn has_loads(self) -> bool {
        matches!(self, Self::Loads | Self::Both)
    }

    pub(super) const fn has_sizes(self) -> bool {
        matches!(self, Self::Sizes | Self::Both)
    }
}

impl Decider {
    /// Those that no node can have.
    pub const IMPOSSIBLE: [Self; 5] = [
        Self::Told(Truth::Loads),
        Self::Told(Truth::Sizes),
        Self::Told(Truth::Both),
        Self::Central,
        Self::Omniscient,
    ];

    /// The name of the policy that no node can have.
    pub const OMNISCIENT: &'static str = "omniscient";

    /// All of them, each policy as it is by default.
    pub fn all() -> Vec<Self> {
        let shipped = PolicyKind::ALL.map(|kind| Self::Policy(Policy { kind, ..Policy::default() }));
        shipped.into_iter().chain([Self::Omniscient]).collect()
    }

    pub(super) const fn knows_sizes(self) -> bool {
        matches!(self, Self::Told(truth) if truth.has_sizes())
    }

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy(policy) => policy.kind.as_str(),
            Self::Told(Truth::Loads) => "eta-true-loads",
            Self::Told(Truth::Sizes) => "eta-true-sizes",
            Self::Told(Truth::Both) => "eta-true",
            Self::Central => "eta-central",
            Self::Omniscient => Self::OMNISCIENT,
        }
    }
}

/// Why a text names nothing that decides.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownDecider {
    /// No policy has this name.
    #[error("{0}, {names}", names = Decider::IMPOSSIBLE.map(Decider::as_str).join(", "))]
    Policy(#[from] UnknownPolicy),
    /// Weights for a policy that has none.
    #[error("{0} has no weights: only score has")]
    Unweighted(String),
    /// A weight that is no number.
    #[error("{0:?} is no weight of load: give score:0.8, say")]
    NoNumber(String),
    /// A weight that is none.
    #[error("{0}: give score:0 to score:1, the weight of load")]
    Weight(#[from] WeightError),
}

impl FromStr for Decider {
    type Err = UnknownDecider;

    /// A policy's name, with the weight of load after `score:` if it is not the usual one, or one of [`Self::IMPOSSIBLE`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(decider) = Self::IMPOSSIBLE.into_iter().find(|decider| decider.as_str() == text) {
            return Ok(decider);
        }
        let (name, load) = text.split_once(':').map_or((text, None), |(name, load)| (name, Some(load)));
        let kind: PolicyKind = name.parse()?;
        let weights = match load {
            None => ScoreWeights::default(),
            Some(_) if kind != PolicyKind::Score => return Err(UnknownDecider::Unweighted(name.to_owned())),
            Some(load) => {
                let load: f64 = load.parse().map_err(|_| UnknownDecider::NoNumber(load.to_owned()))?;
                ScoreWeights::new(load, 1.0 - load)?
            }
        };
        Ok(Self::Policy(Policy { kind, weights }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name_and_score_by_its_weight() {
        for decider in Decider::all().into_iter().chain(Decider::IMPOSSIBLE) {
            assert_eq!(decider.as_str().parse(), Ok(decider));
        }
        let Ok(Decider::Policy(policy)) = "score:0.8".parse() else { panic!("it is a policy") };
        assert!((policy.weights.load() - 0.8).abs() < 1e-9 && (policy.weights.rtt() - 0.2).abs() < 1e-9);
        let wrong = |text: &str| text.parse::<Decider>().unwrap_err().to_string();
        assert!(wrong("psychic").contains("waterfall") && wrong("psychic").ends_with("omniscient"));
        assert_eq!(wrong("eta:0.8"), "eta has no weights: only score has");
        assert!(wrong("score:much").contains("score:0.8") && wrong("score:2").contains("weights must be"));
    }
}
