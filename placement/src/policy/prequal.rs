//! `prequal`: requests in flight decide who is too busy, latency decides among the others.
//!
//! Source: Wydrowski, Kleinberg, Rumble, Archer, "Load is not what you should balance: Introducing Prequal", NSDI 2024: the hot-cold
//! lexicographic rule. A pool of probes is split by a quantile of their requests in flight (RIF): those above are hot. Of the cold
//! ones that with the least latency is chosen; where all are hot, that with the lowest RIF. What differs here:
//!
//! - no probe is sent: the pool is drawn from the samples that gossip brought anyway;
//! - this node is always in the pool, since it can do the job itself;
//! - own hand-offs count as requests in flight, as the paper counts a probe up that was used;
//! - a latency is what the queue there and a usual job take, and the way there and back.

use rand::{Rng, RngCore};

use super::roster::Roster;
use super::situation::Situation;
use super::wait;
use super::walk::Node;

/// Probes in the pool (the paper's).
const POOL_MAX: usize = 16;
/// Above this quantile of the pool's requests in flight a node is hot: 2^-0.25, the paper's.
const HOT_QUANTILE: f64 = 0.84;

/// One node of the pool.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Its place among the nodes.
    place: u32,
    in_flight: f64,
    latency_s: f64,
}

/// The nodes one place after the other: first the pool, then the rest as they are drawn. `known` are the peers of which something is
/// known; this node stands first in `nodes`.
pub(super) fn places<'a>(
    (situation, roster): (&Situation<'_>, &Roster),
    nodes: &[Node],
    known: &'a mut [u32],
    rng: &'a mut dyn RngCore,
) -> impl Iterator<Item = u32> + 'a {
    let drawn_max = (POOL_MAX - 1).min(known.len());
    for place in 0..drawn_max {
        let other = rng.random_range(place..known.len());
        known.swap(place, other);
    }
    let drawn = [0].into_iter().chain(known.iter().take(drawn_max).copied());
    let mut pool: Vec<Probe> = drawn.map(|place| probe(situation, roster, nodes, place)).collect();
    let limit = hot_limit(&pool);
    pool.sort_by(|a, b| {
        let hot = |probe: &Probe| probe.in_flight > limit;
        let by_heat = hot(a).cmp(&hot(b));
        let by_figure =
            if hot(a) { a.in_flight.total_cmp(&b.in_flight) } else { a.latency_s.total_cmp(&b.latency_s) };
        // Two of one latency: this node, then as drawn.
        by_heat.then(by_figure)
    });
    let mut place = drawn_max;
    let rest = std::iter::from_fn(move || {
        if place == known.len() {
            return None;
        }
        let other = rng.random_range(place..known.len());
        known.swap(place, other);
        place += 1;
        Some(known[place - 1])
    });
    pool.into_iter().map(|probe| probe.place).chain(rest)
}

fn probe(situation: &Situation<'_>, roster: &Roster, nodes: &[Node], place: u32) -> Probe {
    let node = &nodes[place as usize];
    let (usual_s, way_s) = match node.index.checked_sub(1).map(|row| &roster.rows[row as usize]) {
        Some(row) => (row.usual_s, row.rtt_s),
        None => (wait::usual(&situation.own.load).as_secs_f64(), 0.0),
    };
    Probe { place, in_flight: node.jobs, latency_s: node.wait_s + usual_s + way_s }
}

/// What is above is hot: at least one of the pool is not.
fn hot_limit(pool: &[Probe]) -> f64 {
    let mut in_flight: Vec<f64> = pool.iter().map(|probe| probe.in_flight).collect();
    in_flight.sort_by(f64::total_cmp);
    let place = (in_flight.len() as f64 * HOT_QUANTILE).ceil() as usize;
    in_flight[place.clamp(1, in_flight.len()) - 1]
}
