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

use rand::RngCore;
use rand::seq::SliceRandom;

use super::RTT_UNKNOWN;
use super::situation::{Seen, Situation};
use super::wait;

/// Probes in the pool (the paper's).
const POOL_MAX: usize = 16;
/// Above this quantile of the pool's requests in flight a node is hot: 2^-0.25, the paper's.
const HOT_QUANTILE: f64 = 0.84;

/// One node of the pool.
#[derive(Clone, Copy, Debug)]
struct Probe {
    index: usize,
    in_flight: f64,
    latency_s: f64,
}

pub(super) fn weigh(situation: &Situation<'_>, nodes: &mut [Seen<'_>], mut rng: &mut dyn RngCore) {
    let mut known: Vec<usize> = (1..nodes.len()).filter(|index| nodes[*index].load.is_some()).collect();
    known.shuffle(&mut rng);
    let mut pool: Vec<Probe> = [0]
        .iter()
        .chain(known.iter().take(POOL_MAX - 1))
        .map(|index| probe(situation, nodes, *index))
        .collect();
    let limit = hot_limit(&pool);
    pool.sort_by(|a, b| {
        let hot = |probe: &Probe| probe.in_flight > limit;
        let by_heat = hot(a).cmp(&hot(b));
        let by_figure =
            if hot(a) { a.in_flight.total_cmp(&b.in_flight) } else { a.latency_s.total_cmp(&b.latency_s) };
        // Two of one latency: this node, then as drawn.
        by_heat.then(by_figure)
    });
    for node in nodes.iter_mut() {
        node.score = f64::INFINITY;
    }
    let order = pool.iter().map(|probe| probe.index).chain(known.iter().skip(POOL_MAX - 1).copied());
    for (place, index) in order.enumerate() {
        nodes[index].score = place as f64;
    }
}

fn probe(situation: &Situation<'_>, nodes: &[Seen<'_>], index: usize) -> Probe {
    let node = &nodes[index];
    let Some(load) = node.load else {
        return Probe { index, in_flight: f64::INFINITY, latency_s: f64::INFINITY };
    };
    let (in_flight, wait) = if node.is_local() {
        (situation.jobs_per_worker(node) * f64::from(load.workers.max(1)), situation.wait_here())
    } else {
        (f64::from(node.handed.jobs(load)), wait::wait(load, &node.handed))
    };
    let way = node.rtt.unwrap_or(RTT_UNKNOWN);
    Probe { index, in_flight, latency_s: (wait + wait::usual(load) + way).as_secs_f64() }
}

/// What is above is hot: at least one of the pool is not.
fn hot_limit(pool: &[Probe]) -> f64 {
    let mut in_flight: Vec<f64> = pool.iter().map(|probe| probe.in_flight).collect();
    in_flight.sort_by(f64::total_cmp);
    let place = (in_flight.len() as f64 * HOT_QUANTILE).ceil() as usize;
    in_flight[place.clamp(1, in_flight.len()) - 1]
}
