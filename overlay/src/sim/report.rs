//! What a simulation found.

use serde::Serialize;

use super::Fired;

/// Median, 99th percentile and maximum of a number of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are at most this.
    pub median: f64,
    /// 99 % of the values are at most this.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values; none if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let rank = |part: f64| values.get(((values.len() as f64 * part).ceil() as usize).max(1) - 1).copied();
        Some(Self { median: rank(0.5)?, p99: rank(0.99)?, max: *values.last()? })
    }
}

/// The part that some are of others; none if there are no others.
pub(super) fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// What one simulation found. Times are virtual, in milliseconds; none where there was nothing to measure.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How many nodes.
    pub nodes: usize,
    /// The seed that replays this run.
    pub seed: u64,
    /// From the start until every node knew every other one.
    pub converged_ms: Option<f64>,
    /// From a kill until the first node suspected the victim.
    pub suspect_first_ms: Option<Spread>,
    /// From a kill until the first node took the victim for dead.
    pub detect_first_ms: Option<Spread>,
    /// From a kill until every node did.
    pub detect_full_ms: Option<Spread>,
    /// From the first to the last node that learned of a death.
    pub dissemination_ms: Option<Spread>,
    /// From a partition's end until every node knew every other one again.
    pub heal_ms: Option<f64>,
    /// Verdicts about nodes that were running and reachable.
    pub false_failures: Option<usize>,
    /// Those among them about nodes that were not slow either.
    pub false_failures_healthy: Option<usize>,
    /// Suspicions raised about nodes that were running.
    pub false_suspicions: Option<usize>,
    /// Datagrams that each node sent, at rest.
    pub datagrams_per_node_per_s: Option<f64>,
    /// Payload that each node sent, at rest.
    pub bytes_per_node_per_s: Option<f64>,
    /// Age of the load samples that nodes hold of their own zone.
    pub load_age_own_zone_ms: Option<Spread>,
    /// Share of the own zone's members whose load is known and no older than 10 s.
    pub load_fresh_own_zone: Option<f64>,
    /// Age of the youngest three samples held of each other zone.
    pub load_age_other_zones_ms: Option<Spread>,
    /// Share of all members whose load is known and no older than 10 s.
    pub load_fresh: Option<f64>,
    /// Age of the samples by which a router chooses among its own zone: the 8 least loaded that are known of it.
    pub candidates_age_own_zone_ms: Option<Spread>,
    /// Share of the routers that know, by samples no older than 10 s, 8 members of their zone (all, if it has fewer)
    /// that truly are among its 16 least loaded or in its best tenth.
    pub candidates_own_zone: Option<f64>,
    /// Age of the samples by which a router chooses among each other zone: the 2 least loaded that are known of it.
    pub candidates_age_other_zones_ms: Option<Spread>,
    /// Share of the routers' other zones of which 2 members are known so that truly are among its 4 least loaded or in
    /// its best tenth.
    pub candidates_other_zones: Option<f64>,
    /// Relative error of the round-trip times that coordinates tell, of members whose coordinates are known.
    pub rtt_error: Option<Spread>,
    /// Virtual time.
    pub sim_seconds: f64,
    /// What faults did.
    pub fired: Fired,
    /// What must not be, but was.
    pub violations: Vec<String>,
}
