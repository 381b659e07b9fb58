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
    let mut keys: Vec<(usize, (bool, Option<usize>, f64))> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let jobs = situation.jobs_per_worker(node);
            (index, (jobs >= 1.0, zone_of(node), jobs))
        })
        .collect();
    keys.sort_by(|(_, a), (_, b)| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    for (place, (index, _)) in keys.into_iter().enumerate() {
        let known = nodes[index].load.is_some();
        nodes[index].score = if known { place as f64 } else { f64::INFINITY };
    }
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
