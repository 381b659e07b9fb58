//! Policies that look at the number of jobs alone: what load balancers do that know neither distance nor speed.

use rand::{Rng, RngCore};

use super::situation::{Seen, Situation};

/// `least-loaded`: the node with the fewest jobs a worker, own hand-offs counted; this node where others have as few.
///
/// Source: join the shortest queue (Winston, "Optimality of the shortest line discipline", Journal of Applied Probability 14, 1977).
pub(super) fn least_loaded(situation: &Situation<'_>, nodes: &mut [Seen<'_>]) {
    for node in nodes {
        node.score = situation.jobs_per_worker(node);
    }
}

/// `p2c`: of two random nodes the one with fewer jobs a worker; each further place is drawn from the rest in the same way.
///
/// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
pub(super) fn two_choices(situation: &Situation<'_>, nodes: &mut [Seen<'_>], rng: &mut dyn RngCore) {
    let mut left: Vec<(usize, f64)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.load.is_some())
        .map(|(index, node)| (index, situation.jobs_per_worker(node)))
        .collect();
    for node in nodes.iter_mut() {
        node.score = f64::INFINITY;
    }
    let mut place = 0.0;
    while !left.is_empty() {
        let first = rng.random_range(0..left.len());
        let second = other(first, left.len(), rng);
        let better = if left[second].1 < left[first].1 { second } else { first };
        let (index, _) = left.swap_remove(better);
        nodes[index].score = place;
        place += 1.0;
    }
}

/// Another index below `count` than `first`; the same where there is no other.
fn other(first: usize, count: usize, rng: &mut dyn RngCore) -> usize {
    match count {
        0 | 1 => first,
        _ => (first + rng.random_range(1..count)) % count,
    }
}
