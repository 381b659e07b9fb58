//! `waterfall`: the nearest zone until it is full, then the next nearest: what global load balancers do by default.
//!
//! Source: Google Cloud Load Balancing, "Waterfall by region", and Envoy's locality priorities, which spill over to the next
//! locality when one is out of capacity. Full is here where every worker has a job. Within a zone the node with the fewest jobs a
//! worker goes first. When all zones are full, the nearest one's shortest queue does.

use std::time::Duration;

use super::situation::{Seen, Situation};

pub(super) fn weigh(situation: &Situation<'_>, nodes: &mut [Seen<'_>]) {
    let zones = zones_by_distance(nodes);
    let zone_of = |node: &Seen<'_>| zones.iter().position(|(zone, _)| **zone == node.member.identity.zone);
    let mut order: Vec<Placed> = (0..nodes.len())
        .map(|index| {
            let jobs = situation.jobs_per_worker(&nodes[index]);
            Placed { index, full: jobs >= 1.0, zone: zone_of(&nodes[index]), jobs }
        })
        .collect();
    order.sort_by(|a, b| (a.full, a.zone).cmp(&(b.full, b.zone)).then(a.jobs.total_cmp(&b.jobs)));
    for (place, node) in order.into_iter().enumerate() {
        let node = &mut nodes[node.index];
        node.score = if node.load.is_some() { place as f64 } else { f64::INFINITY };
    }
}

/// What a node's place goes by.
struct Placed {
    index: usize,
    full: bool,
    /// Its zone's place by distance.
    zone: Option<usize>,
    /// A worker.
    jobs: f64,
}

/// The zones, this node's own first, then the others by the way to their nearest node.
fn zones_by_distance<'a>(nodes: &[Seen<'a>]) -> Vec<(&'a starling_overlay::Zone, Duration)> {
    let mut zones: Vec<(&starling_overlay::Zone, Duration)> = Vec::new();
    for node in nodes {
        let (zone, rtt) = (&node.member.identity.zone, node.rtt.unwrap_or(Duration::MAX));
        match zones.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, least)) => *least = rtt.min(*least),
            None => zones.push((zone, rtt)),
        }
    }
    // This node is the first of all, and no way is shorter than none.
    zones.sort_by_key(|(_, rtt)| *rtt);
    zones
}
