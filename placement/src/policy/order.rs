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

/// What a node's place goes by, as one number, so that places are compared without a branch: the lower one goes first. From the top:
/// what speaks against it, an encoder in hardware, the figure (or, of nodes without one, the distance), the node's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u128);

/// A node and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pick {
    place: Place,
    figure: f64,
    node: Node,
}

/// One of those that may be among the best.
#[derive(Clone, Copy, Debug)]
struct Kept {
    place: Place,
    figure: f64,
    /// Where the node stands in [`Best::nodes`]: they are large, and are not moved as places change.
    at: u32,
}

/// The best few of the nodes that it is told of.
#[derive(Debug, Default)]
pub(super) struct Best {
    kept: Vec<Kept>,
    nodes: Vec<Node>,
    /// Where nodes stand in `nodes` that are not kept any more.
    free: Vec<u32>,
    count_max: usize,
    /// The last of the best so far, once there are as many as wanted; and its class and figure.
    worst: Option<(Place, u8, f64)>,
    /// This node's, whether it is among them or not.
    own: Option<Pick>,
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

    fn new(class: u8, figure: f64, distance_s: f64, index: u32) -> Self {
        let (none, by) =
            if figure.is_finite() { (0, ordered(figure)) } else { (Self::NO_FIGURE, ordered(distance_s)) };
        Self(u128::from(class) << Self::CLASS_SHIFT | none | u128::from(by) << 32 | u128::from(index))
    }

    const fn class(self) -> u8 {
        (self.0 >> Self::CLASS_SHIFT) as u8
    }

    const fn is_own(self) -> bool {
        self.0 as u32 == 0
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
        let (picks, nodes) = scratch.best.end();
        let candidates = picks.iter().zip(0u32..).map(|(kept, place)| {
            let node = &nodes[kept.at as usize];
            let row = node.index.checked_sub(1).map(|row| &roster.rows[row as usize]);
            let figure = if kept.figure.is_finite() && self.kind.gives_places() {
                f64::from(place)
            } else {
                kept.figure
            };
            candidate(situation, (&work, &promises), (row, node), figure)
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
        let class = node.concern as u8 * 2 + u8::from(!ready);
        let distance_s = row.map_or(0.0, |row| row.distance_s);
        Self { place: Place::new(class, figure, distance_s, node.index), figure, node }
    }
}

impl Best {
    fn begin(&mut self, count_max: usize) {
        self.kept.clear();
        self.nodes.clear();
        self.free.clear();
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
        let Some((_, worst_class, worst_figure)) = self.worst else { return true };
        // Where no encoder is asked for none is ready.
        let class = node.concern as u8 * 2 + u8::from(situation.job.hardware == 0);
        class < worst_class || (class == worst_class && figure <= worst_figure)
    }

    pub(super) fn add(&mut self, pick: Pick) {
        if self.worst.is_some_and(|(worst, ..)| pick.place > worst) {
            return;
        }
        self.keep(pick);
        if self.kept.len() >= self.count_max.saturating_add(SPARE) {
            self.keep_best();
            let worst = self.kept.iter().max_by_key(|kept| kept.place);
            self.worst = worst.map(|worst| (worst.place, worst.place.class(), worst.figure));
        }
    }

    fn keep(&mut self, Pick { place, figure, node }: Pick) {
        let at = self.free.pop().unwrap_or(self.nodes.len() as u32);
        match self.nodes.get_mut(at as usize) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        self.kept.push(Kept { place, figure, at });
    }

    /// Drops all but as many as are wanted.
    fn keep_best(&mut self) {
        if self.count_max < self.kept.len() {
            self.kept.select_nth_unstable_by_key(self.count_max, |kept| kept.place);
            self.free.extend(self.kept.drain(self.count_max..).map(|kept| kept.at));
        }
    }

    /// The best, in their order, and this node behind them if it is not among them; and the nodes that they are.
    fn end(&mut self) -> (&[Kept], &[Node]) {
        self.keep_best();
        self.kept.sort_unstable_by_key(|kept| kept.place);
        if !self.kept.iter().any(|kept| kept.place.is_own())
            && let Some(own) = self.own
        {
            self.keep(own);
        }
        (&self.kept, &self.nodes)
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
            let place = |(class, by, distance_s, index)| Place::new(class, by, distance_s, index);
            let (left, right) = (parts(a), parts(b));
            let expected = left.0.cmp(&right.0)
                .then(left.1.total_cmp(&right.1))
                .then(left.2.total_cmp(&right.2))
                .then(left.3.cmp(&right.3));
            prop_assert_eq!(place(a).cmp(&place(b)), expected);
            prop_assert_eq!(place(a).class(), a.0);
            prop_assert_eq!(place(a).is_own(), a.3 == 0);
        }
    }
}
