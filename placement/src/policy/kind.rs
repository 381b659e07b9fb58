//! Which policies there are, and the choice of one by name.

use std::str::FromStr;
use std::time::Duration;

use rand::RngCore;

use super::eta::Eta;
use super::order::{Scratch, Weighing};
use super::roster::{Roster, Row};
use super::score::ScoreWeights;
use super::simple::{self, Draws};
use super::situation::Situation;
use super::walk::Node;
use super::{Forecast, Patience, balance, prequal, waterfall};

/// Peers that are asked at the same time by a policy that predicts times. In a trial the true answers of the best three by gossip were
/// as good as true knowledge of all nodes.
const OFFERS_AT_ONCE: usize = 3;

/// A policy's name, as `--policy` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyKind {
    /// The paper's weighted sum of load and round-trip time.
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
    #[default]
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

    /// To how many peers a job is offered at the same time, for the earliest to take it. `prequal` sends no probes here, and so takes
    /// the first that says yes, as the others do.
    pub const fn offers_at_once(self) -> usize {
        match self {
            Self::Eta => OFFERS_AT_ONCE,
            _ => 1,
        }
    }

    /// Whether its figure is no more than a node's place in its order.
    pub(super) const fn gives_places(self) -> bool {
        !matches!(self, Self::Score | Self::LeastLoaded | Self::Eta)
    }

    /// Whether it looks at what nodes say of their load. One of which nothing fresh is known is asked last then.
    pub const fn weighs_load(self) -> bool {
        !matches!(self, Self::Random | Self::RoundRobin)
    }
}

impl Policy {
    /// Tells [`super::order`] each node's figure; lower is better. To add a policy: a file with its figure, and a line here.
    pub(super) fn weigh(
        &self,
        (situation, roster): (&Situation<'_>, &Roster),
        own: Node,
        rng: &mut dyn RngCore,
        scratch: &mut Scratch,
    ) {
        let weights = self.weights;
        let of = Weighing { situation, roster, own, weighs_load: self.kind.weighs_load() };
        match self.kind {
            PolicyKind::Score => {
                let own_score = weights.score(&situation.own.load, Duration::ZERO);
                let least = |_, row: &Row, _| weights.of_row(row);
                of.by_figure(scratch, own_score, least, |row, node| weights.figure(row, node));
            }
            PolicyKind::Random => {
                let draws = Draws::new(rng.next_u64());
                let least = |index, _: &Row, _| draws.of(index);
                of.by_figure(scratch, draws.of(0), least, |_, node| draws.of(node.index));
            }
            PolicyKind::RoundRobin => {
                let turn = simple::turns(roster, situation.turn);
                of.by_figure(scratch, turn(0), |index, _, _| turn(index), |_, node| turn(node.index));
            }
            PolicyKind::LeastLoaded => {
                let least = |_, row: &Row, _| row.jobs_per_worker;
                of.by_figure(scratch, balance::least_loaded(&own), least, |_, node| {
                    balance::least_loaded(node)
                });
            }
            PolicyKind::Waterfall => {
                let places = waterfall::places(roster);
                let of_zone = |row: &Row, jobs| waterfall::of_zone(places[row.zone as usize], jobs);
                let least = |_, row: &Row, _| of_zone(row, row.jobs_per_worker);
                let figure = |row: &Row, node: &Node| {
                    if node.known { of_zone(row, node.jobs_per_worker) } else { f64::INFINITY }
                };
                of.by_figure(scratch, waterfall::of_zone(0, own.jobs_per_worker), least, figure);
            }
            PolicyKind::Eta => {
                let (eta, draws) = (Eta::new(situation, &own), Draws::new(rng.next_u64()));
                let figure = |row: &Row, node: &Node| eta.figure(row, node, draws.of(node.index));
                of.by_figure(scratch, eta.here_s, |_, row, ways_s| eta.least(row, ways_s), figure);
            }
            PolicyKind::P2c => {
                of.look_at_all(scratch);
                let Scratch { best, nodes, known, .. } = scratch;
                known.push(0);
                of.by_places(best, nodes, balance::two_choices(nodes, known, rng));
            }
            PolicyKind::Prequal => {
                of.look_at_all(scratch);
                let Scratch { best, nodes, known, .. } = scratch;
                of.by_places(best, nodes, prequal::places((situation, roster), nodes, known, rng));
            }
        }
    }

    /// What this policy has an offer say.
    pub(super) fn promises(&self, situation: &Situation<'_>, own: &Node) -> Promises {
        match self.kind {
            PolicyKind::Random | PolicyKind::RoundRobin => Promises::Of(Patience::Any),
            PolicyKind::Eta => Promises::Times(Eta::new(situation, own)),
            _ => Promises::Of(Patience::default()),
        }
    }
}

/// What is said of a node beside its figure: how much may stand before the job there, and where its time goes if that is predicted.
pub(super) enum Promises {
    /// The same for all nodes; no time is predicted.
    Of(Patience),
    /// By the times that are predicted.
    Times(Eta),
}

impl Promises {
    pub(super) fn of(&self, row: Option<&Row>, node: &Node) -> (Patience, Option<Forecast>) {
        match self {
            Self::Of(patience) => (*patience, None),
            Self::Times(eta) => eta.promise(row, node),
        }
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownPolicy(text.into()))
    }
}
