//! `waterfall`: the nearest zone until it is full, then the next nearest: what global load balancers do by default.
//!
//! Source: Google Cloud Load Balancing, "Waterfall by region", and Envoy's locality priorities, which spill over to the next
//! locality when one is out of capacity. Full is here where every worker has a job. Within a zone the node with the fewest jobs a
//! worker goes first. When all zones are full, the nearest one's shortest queue does.

use super::roster::Roster;

/// More than a node has jobs a worker, and than there are zones.
const STEP: f64 = (1u32 << 17) as f64;

/// Each zone's place by distance, by its number: this node's own first, then the others by the way to their nearest node.
pub(super) fn places(roster: &Roster) -> Vec<u16> {
    let mut by_distance: Vec<u16> = (0u16..).take(roster.ways.len()).collect();
    // This node is in the first of all, and no way is shorter than none.
    by_distance.sort_by(|a, b| roster.ways[*a as usize].1.total_cmp(&roster.ways[*b as usize].1));
    let mut places = vec![0; by_distance.len()];
    for (place, zone) in (0u16..).zip(by_distance) {
        places[zone as usize] = place;
    }
    places
}

/// First what is not full, then by zone, then by jobs.
#[inline]
pub(super) fn of_zone(zone_place: u16, jobs_per_worker: f64) -> f64 {
    let full = f64::from(u8::from(jobs_per_worker >= 1.0));
    (full * STEP + f64::from(zone_place)) * STEP + jobs_per_worker.min(STEP - 1.0)
}
