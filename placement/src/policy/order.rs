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

use std::time::Duration;

use super::kind::Promises;
use super::roster::{Roster, Row};
use super::situation::Situation;
use super::wait::Work;
use super::walk::{Eye, Node, Plain, ZoneWays, seconds};
use super::{Candidate, Concern, Policy, PolicyKind, RouteKind};
use rand::RngCore;

/// As many more nodes than are wanted are collected before the worst of them are dropped.
const SPARE: usize = 32;

/// What a decision needs for a moment, kept for the next one: so it takes no memory for each peer.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) zone_ways: ZoneWays,
    pub(super) best: Best,
    /// In their order, this node first: those of which more is known than their rows say; for policies that draw from all of them, all.
    pub(super) nodes: Vec<Node>,
    /// The places there of the peers of which something is known, for such policies.
    pub(super) known: Vec<u32>,
}

/// What a node's place goes by, as one number, so that places are compared without a branch: the lower one goes first. From the top:
/// what speaks against it, an encoder in hardware, the figure (or, of nodes without one, the distance), the node's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u128);

/// The best few of the nodes that it is told of.
#[derive(Debug, Default)]
pub(super) struct Best {
    kept: Vec<Place>,
    count_max: usize,
    /// The last of the best so far, once there are as many as wanted.
    worst: Option<Place>,
    /// This node's, whether it is among them or not.
    own: Option<Place>,
}

/// A number that is ordered as [`f64::total_cmp`] orders.
const fn ordered(figure: f64) -> u64 {
    let bits = figure.to_bits();
    let negative = (bits.cast_signed() >> 63).cast_unsigned();
    bits ^ (negative | 1 << 63)
}

impl Place {
    const NO_FIGURE: u128 = 1 << 96;
    const CLASS_SHIFT: u32 = 97;

    fn of(class: u8, figure: f64, distance_s: f64, index: u32) -> Self {
        let (none, by) =
            if figure.is_finite() { (0, ordered(figure)) } else { (Self::NO_FIGURE, ordered(distance_s)) };
        Self(u128::from(class) << Self::CLASS_SHIFT | none | u128::from(by) << 32 | u128::from(index))
    }

    /// `row`: none for this node.
    pub(super) fn new(situation: &Situation<'_>, row: Option<&Row>, node: &Node, figure: f64) -> Self {
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
        let class = node.concern as u8 * 2 + u8::from(!ready);
        let distance_s = row.map_or(0.0, |row| row.distance_s);
        Self::of(class, figure, distance_s, node.index)
    }

    const fn class(self) -> u8 {
        (self.0 >> Self::CLASS_SHIFT) as u8
    }

    /// Whether the node has an encoder in hardware for the job.
    const fn has_hardware(self) -> bool {
        self.class().is_multiple_of(2)
    }

    /// The figure; infinite where there is none.
    const fn figure(self) -> f64 {
        if self.0 & Self::NO_FIGURE != 0 {
            return f64::INFINITY;
        }
        let by = (self.0 >> 32) as u64;
        // As [`ordered`], the other way around.
        let negative = ((!by).cast_signed() >> 63).cast_unsigned();
        f64::from_bits(by ^ (negative | 1 << 63))
    }

    /// Of the node: 0 is this one.
    const fn index(self) -> u32 {
        self.0 as u32
    }
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
        let (work, promises) = (situation.work(), self.promises(situation, &own));
        let plain = Plain::new(situation, roster, self.kind.weighs_load());
        let Scratch { best, nodes, zone_ways, .. } = scratch;
        let candidates = best.end().iter().zip(0u32..).map(|(kept, place)| {
            let index = kept.index();
            let row = index.checked_sub(1).map(|row| &roster.rows[row as usize]);
            let node = match (nodes.binary_search_by_key(&index, |node| node.index), row) {
                (Ok(at), _) => nodes[at],
                (Err(_), Some(row)) => plain.node(index, row, zone_ways[row.zone as usize]),
                (Err(_), None) => own,
            };
            let figure = match kept.figure() {
                figure if figure.is_finite() && self.kind.gives_places() => f64::from(place),
                figure => figure,
            };
            Candidate {
                hardware: kept.has_hardware(),
                ..candidate(situation, (&work, &promises), (row, &node), figure)
            }
        });
        candidates.collect()
    }
}

fn candidate(
    situation: &Situation<'_>,
    (work, promises): (&Work, &Promises),
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
    let (patience, forecast) = promises.of(row, node);
    Candidate {
        identity: member.identity.clone(),
        route,
        score,
        rtt,
        load,
        concern: node.concern,
        hardware: false,
        patience,
        work: seconds(work.of(row, node)),
        forecast,
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

/// Keeps the best by figures that depend on a node alone.
struct ByFigure<'a, L, F> {
    situation: &'a Situation<'a>,
    best: &'a mut Best,
    nodes: &'a mut Vec<Node>,
    /// The class of nodes before which no other one goes.
    first_class: u8,
    /// Of the worst of the best so far.
    worst_figure: f64,
    least: L,
    figure: F,
}

impl<L: Fn(u32, &Row, [f64; 2]) -> f64, F: Fn(&Row, &Node) -> f64> Eye for ByFigure<'_, L, F> {
    #[inline]
    fn wants(&self, index: u32, row: &Row, ways_s: [f64; 2]) -> bool {
        let Some(worst) = self.best.worst else { return true };
        // No class is before that of the worst: it goes by the figure alone.
        worst.class() > self.first_class || (self.least)(index, row, ways_s) <= self.worst_figure
    }

    #[inline]
    fn see(&mut self, row: &Row, node: Node, special: bool) {
        let place = Place::new(self.situation, Some(row), &node, (self.figure)(row, &node));
        if self.best.add(place) {
            self.worst_figure = self.best.worst.map_or(f64::INFINITY, Place::figure);
            if special {
                self.nodes.push(node);
            }
        }
    }
}

/// Remembers all.
struct All<'a> {
    nodes: &'a mut Vec<Node>,
    known: &'a mut Vec<u32>,
}

impl Eye for All<'_> {
    #[inline]
    fn wants(&self, _: u32, _: &Row, _: [f64; 2]) -> bool {
        true
    }

    #[inline]
    fn see(&mut self, _: &Row, node: Node, _: bool) {
        if node.known {
            self.known.push(self.nodes.len() as u32);
        }
        self.nodes.push(node);
    }
}

impl Weighing<'_> {
    /// By a figure that depends on a node alone. `least`: the least that it may be of a peer of which no more is known than its row says,
    /// which costs little: most are not among the best, and that is seen by it.
    pub(super) fn by_figure(
        &self,
        scratch: &mut Scratch,
        own: f64,
        least: impl Fn(u32, &Row, [f64; 2]) -> f64,
        figure: impl Fn(&Row, &Node) -> f64,
    ) {
        let Scratch { zone_ways, best, nodes, .. } = scratch;
        let situation = self.situation;
        nodes.clear();
        nodes.push(self.own);
        best.add_own(Place::new(situation, None, &self.own, own));
        // Where no encoder is asked for none is ready.
        let first_class = Concern::None as u8 * 2 + u8::from(situation.job.hardware == 0);
        let mut eye =
            ByFigure { situation, best, nodes, first_class, worst_figure: f64::INFINITY, least, figure };
        situation.walk(self.roster, zone_ways, self.weighs_load, &mut eye);
    }

    /// Fills [`Scratch::nodes`] and [`Scratch::known`].
    pub(super) fn look_at_all(&self, scratch: &mut Scratch) {
        let Scratch { zone_ways, nodes, known, .. } = scratch;
        nodes.clear();
        known.clear();
        nodes.push(self.own);
        self.situation.walk(self.roster, zone_ways, self.weighs_load, &mut All { nodes, known });
    }

    /// By places that are drawn one after the other, until there are enough.
    pub(super) fn by_places(&self, best: &mut Best, nodes: &[Node], places: impl Iterator<Item = u32>) {
        let mut left = best.count_max;
        let pick = |node: &Node, figure: f64| {
            let row = node.index.checked_sub(1).map(|row| &self.roster.rows[row as usize]);
            Place::new(self.situation, row, node, figure)
        };
        let unknown = nodes.iter().filter(|node| !node.known);
        unknown.for_each(|node| {
            best.add(pick(node, f64::INFINITY));
        });
        let (mut places, mut place) = (places, 0.0);
        // An encoder in hardware goes before all places.
        while left > 0 || self.situation.job.hardware != 0 {
            let Some(next) = places.next() else { break };
            let node = &nodes[next as usize];
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
            best.own = Some(pick(&self.own, place));
        }
    }
}

impl Best {
    fn begin(&mut self, count_max: usize) {
        self.kept.clear();
        (self.count_max, self.worst, self.own) = (count_max, None, None);
    }

    /// This node's, which is told of in any case.
    pub(super) fn add_own(&mut self, place: Place) {
        self.own = Some(place);
        self.add(place);
    }

    /// Whether it may be among the best.
    pub(super) fn add(&mut self, place: Place) -> bool {
        if self.worst.is_some_and(|worst| place > worst) {
            return false;
        }
        self.kept.push(place);
        if self.kept.len() >= self.count_max.saturating_add(SPARE) {
            self.keep_best();
            self.worst = self.kept.iter().max().copied();
        }
        true
    }

    /// Drops all but as many as are wanted.
    fn keep_best(&mut self) {
        if self.count_max < self.kept.len() {
            self.kept.select_nth_unstable(self.count_max);
            self.kept.truncate(self.count_max);
        }
    }

    /// The best, in their order, and this node behind them if it is not among them.
    fn end(&mut self) -> &[Place] {
        self.keep_best();
        self.kept.sort_unstable();
        if !self.kept.iter().any(|kept| kept.index() == 0) {
            self.kept.extend(self.own);
        }
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Beside the comparison field by field.
        #[test]
        fn one_number_is_ordered_as_its_parts_are(
            a in (0u8..12, any::<f64>(), 0.0f64..10.0, any::<u32>()),
            b in (0u8..12, any::<f64>(), 0.0f64..10.0, any::<u32>()),
            alike in 0u8..4,
        ) {
            let mut b = b;
            if alike > 0 { b.0 = a.0 }
            if alike > 1 { b.1 = a.1 }
            if alike > 2 { b.2 = a.2 }
            let figure = |figure: f64| if figure.is_finite() { figure } else { f64::INFINITY };
            let parts = |(class, by, distance_s, index): (u8, f64, f64, u32)| {
                (class, figure(by), if by.is_finite() { 0.0 } else { distance_s }, index)
            };
            let place = |(class, by, distance_s, index)| Place::of(class, by, distance_s, index);
            let (left, right) = (parts(a), parts(b));
            let expected = left.0.cmp(&right.0)
                .then(left.1.total_cmp(&right.1))
                .then(left.2.total_cmp(&right.2))
                .then(left.3.cmp(&right.3));
            prop_assert_eq!(place(a).cmp(&place(b)), expected);
            prop_assert_eq!(place(a).class(), a.0);
            prop_assert_eq!(place(a).index(), a.3);
            prop_assert_eq!(place(a).figure().to_bits(), figure(a.1).to_bits());
        }
    }
}
