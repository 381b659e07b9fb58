//! What a router at each node has to decide by: candidates that are free in truth, and samples young enough to tell.

use std::collections::BTreeMap;

use super::report::share;
use super::{Report, Spread, World};
use crate::{LoadSample, MemberState};

/// A router ignores samples that are older, in milliseconds.
const AGE_MS_MAX: f64 = 10_000.0;
/// Candidates that it needs of its own zone, if there are as many.
const OWN_ZONE: usize = 8;
/// Candidates that it needs of each other zone.
const OTHER_ZONE: usize = 2;
/// Who is among so many of the least loaded of its zone, or in the best tenth, is a good candidate.
const GOOD_OWN_ZONE: usize = 2 * OWN_ZONE;
const GOOD_OTHER_ZONE: usize = 2 * OTHER_ZONE;

/// What the paper's score counts as load.
fn busy(sample: &LoadSample) -> u32 {
    u32::from(sample.cpu_permille) + u32::from(sample.memory_permille)
}

/// Looks at the candidates that routers at these nodes would choose among.
pub(super) fn look(world: &World, observers: &[usize], report: &mut Report) {
    // The truth: how many members of its zone are less loaded than each node is now.
    let mut zones: BTreeMap<&str, Vec<(u32, usize)>> = BTreeMap::new();
    for index in 0..world.len() {
        let Some((swim, (sample, _))) = world.node(index).and_then(|swim| Some((swim, swim.load()?))) else {
            continue;
        };
        zones.entry(swim.identity().zone.as_str()).or_default().push((busy(&sample), index));
    }
    for nodes in zones.values_mut() {
        nodes.sort_unstable();
    }
    let (mut own_ages, mut other_ages) = (Vec::new(), Vec::new());
    let (mut own_ready, mut own_asked, mut other_ready, mut other_asked) = (0, 0, 0, 0);
    let (mut young, mut all) = (0, 0);
    for observer in observers {
        let Some(swim) = world.node(*observer) else { continue };
        // By zone: load as it is known, age, and who.
        let mut known: BTreeMap<&str, Vec<(u32, f64, usize)>> = BTreeMap::new();
        for peer in swim.peers().filter(|peer| peer.state == MemberState::Alive) {
            all += 1;
            let load = peer.known.as_ref().and_then(|known| known.load);
            let Some((sample, taken)) = load else { continue };
            let age = world.now().since(taken).as_secs_f64() * 1e3;
            let Some(index) = world.at_address(peer.identity.gossip).filter(|_| age <= AGE_MS_MAX) else {
                continue;
            };
            young += 1;
            known.entry(peer.identity.zone.as_str()).or_default().push((busy(&sample), age, index));
        }
        for (zone, nodes) in &zones {
            let own = *zone == swim.identity().zone.as_str();
            let there = nodes.len() - usize::from(own);
            if there == 0 {
                continue;
            }
            let (need, good) = if own { (OWN_ZONE, GOOD_OWN_ZONE) } else { (OTHER_ZONE, GOOD_OTHER_ZONE) };
            let (need, good) = (need.min(there), good.max(nodes.len() / 10).min(nodes.len()));
            let worst = nodes.get(good.saturating_sub(1)).map_or(0, |(busy, _)| *busy);
            let mut candidates = known.remove(zone).unwrap_or_default();
            candidates.sort_unstable_by_key(|(busy, ..)| *busy);
            let is_good = |index: usize| {
                world
                    .node(index)
                    .and_then(crate::Swim::load)
                    .is_some_and(|(sample, _)| busy(&sample) <= worst)
            };
            let free = candidates.iter().filter(|(_, _, index)| is_good(*index)).count();
            let (ages, ready, asked) = if own {
                (&mut own_ages, &mut own_ready, &mut own_asked)
            } else {
                (&mut other_ages, &mut other_ready, &mut other_asked)
            };
            ages.extend(candidates.iter().take(need).map(|(_, age, _)| *age));
            *asked += 1;
            *ready += usize::from(free >= need);
        }
    }
    report.candidates_age_own_zone_ms = Spread::of(own_ages);
    report.candidates_age_other_zones_ms = Spread::of(other_ages);
    report.candidates_own_zone = share(own_ready, own_asked);
    report.candidates_other_zones = share(other_ready, other_asked);
    report.load_fresh = share(young, all);
}
