//! The one place where a ranking is made: what a policy thinks of the nodes, and what speaks against them whatever it thinks.
//!
//! The order is, first to last:
//!
//! 1. [`Concern`]: nodes against which nothing speaks; this node where it is busy under `score`; nodes of which nothing fresh is
//!    known, the nearest first; full ones; unreachable ones; distrusted ones;
//! 2. an encoder in hardware for the job, in this zone and with a worker free, goes before all others;
//! 3. the policy's figure; of equal ones this node, then by name.
//!
//! Nothing re-sorts after it.

use std::cmp::Ordering;
use std::time::Duration;

use super::roster::{Roster, Row};
use super::situation::Situation;
use super::walk::{Node, ZoneWays, seconds};
use super::{Candidate, Concern, Policy, PolicyKind, RouteKind};
use rand::RngCore;

/// As many more nodes than are wanted are collected before the worst of them are dropped.
const SPARE: usize = 32;

/// What a decision needs for a moment, kept for the next one: so it takes no memory for each peer.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) zone_ways: ZoneWays,
    pub(super) best: Best,
    /// All nodes, this one first, and the places of the peers of which something is known, for policies that draw from all of them.
    pub(super) nodes: Vec<Node>,
    pub(super) known: Vec<u32>,
}

/// A node and what its place goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    class: u8,
    figure: f64,
    /// Of two without a figure the nearer one goes first.
    distance_s: f64,
    node: Node,
}

/// The best few of the nodes that it is told of.
#[derive(Debug, Default)]
pub(super) struct Best {
    picks: Vec<Pick>,
    count_max: usize,
    /// The last of the best so far, once there are as many as wanted.
    worst: Option<Pick>,
    /// This node's, whether it is among them or not.
    own: Option<Pick>,
}

impl Policy {
    /// The nodes that could do the job, best first, each of them once: the `count_max` best ones, and this node in any case. A pure
    /// function: the same situation and generator, the same ranking.
    pub fn rank(&self, situation: &Situation<'_>, rng: &mut dyn RngCore, count_max: usize) -> Vec<Candidate> {
        self.rank_of(&Roster::of(situation.view), situation, rng, count_max, &mut Scratch::default())
    }

    /// The same where it is worked out already what the view says.
    pub(super) fn rank_of(
        &self,
        roster: &Roster,
        situation: &Situation<'_>,
        rng: &mut dyn RngCore,
        count_max: usize,
        scratch: &mut Scratch,
    ) -> Vec<Candidate> {
        let mut own = situation.own_node();
        // The score hardly sees a queue (a job counts as much as a percent of CPU). Where a job would have to wait, the others
        // are asked first: one that can begin sooner accepts, and the rest refuse.
        if self.kind == PolicyKind::Score && situation.own.backlog.is_full() {
            own.concern = Concern::Busy;
        }
        scratch.best.begin(count_max);
        self.weigh((situation, roster), own, rng, scratch);
        let picks = scratch.best.end();
        let candidates = picks.iter().zip(0u32..).map(|(pick, place)| {
            let row = pick.node.index.checked_sub(1).map(|row| &roster.rows[row as usize]);
            let figure = if pick.figure.is_finite() && self.kind.gives_places() {
                f64::from(place)
            } else {
                pick.figure
            };
            self.candidate(situation, &own, (row, &pick.node), figure)
        });
        candidates.collect()
    }

    fn candidate(
        &self,
        situation: &Situation<'_>,
        own: &Node,
        (row, node): (Option<&Row>, &Node),
        score: f64,
    ) -> Candidate {
        let member = row.map_or(&situation.view.local, |row| &situation.view.peers[row.member as usize]);
        let (route, rtt, load) = match row {
            None => (RouteKind::Local, Some(Duration::ZERO), Some(situation.own.load)),
            Some(row) => {
                let load = member.load.filter(|_| node.known).map(|load| load.sample);
                (row.route, member.rtt.map(|rtt| rtt.mean), load)
            }
        };
        let work_s = situation.work().of(row, node);
        let (patience, forecast) = self.promise(situation, own, (row, node));
        Candidate {
            identity: member.identity.clone(),
            route,
            score,
            rtt,
            load,
            concern: node.concern,
            patience,
            work: seconds(work_s),
            forecast,
        }
    }
}

/// A decision on its way.
pub(super) struct Weighing<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) roster: &'a Roster,
    /// This node.
    pub(super) own: Node,
    /// Whether the policy needs a node's load.
    pub(super) weighs_load: bool,
}

impl Weighing<'_> {
    /// By a figure that depends on a node alone.
    pub(super) fn by_figure(&self, scratch: &mut Scratch, own: f64, figure: impl Fn(&Row, &Node) -> f64) {
        let Scratch { zone_ways, best, .. } = scratch;
        let situation = self.situation;
        best.add_own(Pick::new(situation, None, self.own, own));
        situation.walk(self.roster, zone_ways, self.weighs_load, |row, node| {
            let figure = figure(row, &node);
            // Most are not among the best, and that is seen soon.
            if best.may_be(situation, &node, figure) {
                best.add(Pick::new(situation, Some(row), node, figure));
            }
        });
    }

    /// Fills [`Scratch::nodes`] and [`Scratch::known`].
    pub(super) fn look_at_all(&self, scratch: &mut Scratch) {
        let Scratch { zone_ways, nodes, known, .. } = scratch;
        nodes.clear();
        known.clear();
        nodes.push(self.own);
        self.situation.walk(self.roster, zone_ways, self.weighs_load, |_, node| {
            if node.known {
                known.push(nodes.len() as u32);
            }
            nodes.push(node);
        });
    }

    /// By places that are drawn one after the other, until there are enough.
    pub(super) fn by_places(&self, best: &mut Best, nodes: &[Node], places: impl Iterator<Item = u32>) {
        let mut left = best.count_max;
        let pick = |node: Node, figure: f64| {
            let row = node.index.checked_sub(1).map(|row| &self.roster.rows[row as usize]);
            Pick::new(self.situation, row, node, figure)
        };
        let unknown = nodes.iter().filter(|node| !node.known);
        unknown.for_each(|node| best.add(pick(*node, f64::INFINITY)));
        let (mut places, mut place) = (places, 0.0);
        // An encoder in hardware goes before all places.
        while left > 0 || self.situation.job.hardware != 0 {
            let Some(next) = places.next() else { break };
            let node = nodes[next as usize];
            let picked = pick(node, place);
            if node.index == 0 {
                best.add_own(picked);
            } else {
                best.add(picked);
            }
            left = left.saturating_sub(usize::from(node.concern == Concern::None));
            place += 1.0;
        }
        if best.own.is_none() {
            best.own = Some(pick(self.own, place));
        }
    }
}

impl Pick {
    /// `row`: none for this node.
    pub(super) fn new(situation: &Situation<'_>, row: Option<&Row>, node: Node, figure: f64) -> Self {
        let hardware = situation.job.hardware;
        let ready = hardware != 0
            && match row {
                None => {
                    let load = &situation.own.load;
                    load.hardware & hardware != 0 && load.running_jobs < load.workers
                }
                Some(row) => {
                    row.route != RouteKind::CrossRegion && node.known && row.hardware & hardware != 0
                }
            };
        let figure = if node.concern == Concern::Unknown { f64::INFINITY } else { figure };
        let distance_s = if figure.is_finite() { 0.0 } else { row.map_or(0.0, |row| row.distance_s) };
        Self { class: node.concern as u8 * 2 + u8::from(!ready), figure, distance_s, node }
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.class
            .cmp(&other.class)
            .then_with(|| self.figure.total_cmp(&other.figure))
            .then_with(|| self.distance_s.total_cmp(&other.distance_s))
            .then_with(|| self.node.index.cmp(&other.node.index))
    }
}

impl Best {
    fn begin(&mut self, count_max: usize) {
        self.picks.clear();
        (self.count_max, self.worst, self.own) = (count_max, None, None);
    }

    /// This node's, which is told of in any case.
    pub(super) fn add_own(&mut self, pick: Pick) {
        self.own = Some(pick);
        self.add(pick);
    }

    /// Whether a node may be among the best: rather yes than no.
    #[inline]
    fn may_be(&self, situation: &Situation<'_>, node: &Node, figure: f64) -> bool {
        let Some(worst) = &self.worst else { return true };
        // Where no encoder is asked for none is ready.
        let class = node.concern as u8 * 2 + u8::from(situation.job.hardware == 0);
        class < worst.class || (class == worst.class && figure <= worst.figure)
    }

    pub(super) fn add(&mut self, pick: Pick) {
        if self.worst.is_some_and(|worst| pick.compare(&worst).is_gt()) {
            return;
        }
        self.picks.push(pick);
        if self.picks.len() >= self.count_max.saturating_add(SPARE) {
            self.keep_best();
            self.worst = self.picks.iter().copied().max_by(Pick::compare);
        }
    }

    /// Drops all but as many as are wanted.
    fn keep_best(&mut self) {
        if self.count_max < self.picks.len() {
            self.picks.select_nth_unstable_by(self.count_max, Pick::compare);
            self.picks.truncate(self.count_max);
        }
    }

    /// The best, in their order, and this node behind them if it is not among them.
    fn end(&mut self) -> &[Pick] {
        self.keep_best();
        self.picks.sort_unstable_by(Pick::compare);
        if !self.picks.iter().any(|pick| pick.node.index == 0) {
            self.picks.extend(self.own);
        }
        &self.picks
    }
}
