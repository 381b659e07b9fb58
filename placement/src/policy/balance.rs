//! Policies that look at the number of jobs alone: what load balancers do that know neither distance nor speed.
//!
//! `least-loaded`: the node with the fewest jobs a worker, own hand-offs counted; this node where others have as few.
//! Source: join the shortest queue (Winston, "Optimality of the shortest line discipline", Journal of Applied Probability 14, 1977).
//!
//! `p2c`: of two random nodes the one with fewer jobs a worker; each further place is drawn from the rest in the same way.
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.

use rand::{Rng, RngCore};

use super::walk::Node;

/// `least-loaded`.
#[inline]
pub(super) fn least_loaded(node: &Node) -> f64 {
    if node.known { node.jobs_per_worker } else { f64::INFINITY }
}

/// `p2c`: the nodes one place after the other. `left` are those of which something is known.
pub(super) fn two_choices<'a>(
    nodes: &'a [Node],
    left: &'a mut Vec<u32>,
    mut rng: &'a mut dyn RngCore,
) -> impl Iterator<Item = u32> + 'a {
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let first = rng.random_range(0..left.len());
        let second = other(first, left.len(), &mut rng);
        let jobs = |at: usize| nodes[left[at] as usize].jobs_per_worker;
        let better = if jobs(second) < jobs(first) { second } else { first };
        Some(left.swap_remove(better))
    })
}

/// Another index below `count` than `first`; the same where there is no other.
fn other(first: usize, count: usize, rng: &mut dyn RngCore) -> usize {
    match count {
        0 | 1 => first,
        _ => (first + rng.random_range(1..count)) % count,
    }
}
