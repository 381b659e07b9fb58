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

use rand::RngCore;

use super::situation::{Seen, Situation};
use super::wait::is_full_with;
use super::{Candidate, Concern, Policy, PolicyKind};

impl Policy {
    /// The nodes that could do the job, best first, each of them once: the `count_max` best ones, and this node in any case. A pure
    /// function: the same situation and generator, the same ranking.
    pub fn rank(&self, situation: &Situation<'_>, rng: &mut dyn RngCore, count_max: usize) -> Vec<Candidate> {
        let mut nodes = situation.nodes();
        self.weigh(situation, &mut nodes, rng);
        for node in &mut nodes {
            node.concern = self.concern(situation, node);
            if node.concern == Concern::Unknown {
                node.score = f64::INFINITY;
            }
        }
        let hardware = situation.job.hardware;
        let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
        let compare = |a: &u32, b: &u32| {
            let (first, second) = (&nodes[*a as usize], &nodes[*b as usize]);
            let ready = |node: &Seen<'_>| hardware != 0 && node.has_hardware(hardware);
            first
                .concern
                .cmp(&second.concern)
                .then(ready(second).cmp(&ready(first)))
                .then_with(|| figure(first, second))
                .then(a.cmp(b))
        };
        if count_max < order.len() {
            order.select_nth_unstable_by(count_max, compare);
            order.truncate(count_max);
        }
        order.sort_unstable_by(compare);
        if !order.contains(&0) {
            order.push(0);
        }
        order.into_iter().map(|index| nodes[index as usize].candidate(situation)).collect()
    }

    /// What speaks against a node.
    fn concern(&self, situation: &Situation<'_>, node: &Seen<'_>) -> Concern {
        if node.is_local() {
            // The score hardly sees a queue (a job counts as much as a percent of CPU). Where a job would have to wait, the others
            // are asked first: one that can begin sooner accepts, and the rest refuse.
            let is_busy = self.kind == PolicyKind::Score && situation.own.backlog.is_full();
            return if is_busy { Concern::Busy } else { Concern::None };
        }
        if node.concern != Concern::None {
            return node.concern;
        }
        if node.load.is_none() && self.kind.weighs_load() {
            return Concern::Unknown;
        }
        if is_full_with(node.load, &node.handed.for_sure(), situation.job.left) {
            return Concern::Full;
        }
        Concern::None
    }
}

/// Which of two nodes of one concern goes first.
fn figure(a: &Seen<'_>, b: &Seen<'_>) -> Ordering {
    let distance = |node: &Seen<'_>| node.rtt.unwrap_or(std::time::Duration::MAX);
    if a.score.is_infinite() && b.score.is_infinite() {
        return distance(a).cmp(&distance(b));
    }
    a.score.total_cmp(&b.score)
}
