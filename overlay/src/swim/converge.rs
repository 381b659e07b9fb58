//! Has the cluster come to rest?
//!
//! Every datagram carries a digest of its sender's live set. When this node's own set has not changed for a while
//! and the digests of the others equal its own, all of them hold the same set.

use std::time::Duration;

use super::probe::Kind;
use super::{Event, Phase, Swim, Timer};
use crate::members::Slot;
use crate::{Convergence, Time};

/// Up to so many members all have to agree; in larger clusters so many random ones.
const WITNESSES_MAX: usize = 32;
/// Members asked at once for their digest.
const ASKED_AT_ONCE: usize = 8;

/// A time of change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    since: Option<Time>,
    last_change: Time,
    converged: Option<Convergence>,
}

impl Disturbance {
    pub fn begun(now: Time) -> Self {
        Self { since: Some(now), last_change: now, converged: None }
    }

    /// It began at this time, or earlier.
    pub fn began(&mut self, at: Time) {
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    /// When the live set last changed.
    pub fn last_change(&self) -> Time {
        self.last_change
    }

    /// None, as in a cluster long at rest.
    pub fn over() -> Self {
        Self { since: None, last_change: Time::ZERO, converged: None }
    }

    pub fn converged(&self) -> Option<Convergence> {
        self.converged
    }
}

impl Swim {
    /// The live set has changed.
    pub(super) fn disturbed(&mut self) {
        let now = self.now;
        self.disturbance.since.get_or_insert(now);
        self.disturbance.last_change = now;
        self.disturbance.converged = None;
        self.witnesses.clear();
        if self.phase == Phase::Running {
            self.timers.set(Timer::Converge, now + self.params.rest());
        }
    }

    /// A live member holds the same live set as this node.
    pub(super) fn agrees(&mut self, slot: Slot) {
        if self.disturbance.since.is_some() && self.witnesses.len() < WITNESSES_MAX {
            self.witnesses.insert(slot);
        }
    }

    pub(super) fn on_converge_check(&mut self) {
        let Some(since) = self.disturbance.since else { return };
        // Members that are out of reach for long are asked less often.
        let waited = self.now.since(self.disturbance.last_change);
        let again = if waited < self.params.seeds_interval() {
            self.params.gossip_interval() / 2
        } else {
            self.params.period
        };
        if self.has_seeds && self.members.live() == 0 {
            self.timers.set(Timer::Converge, self.now + again);
            return;
        }
        let others = self.members.live();
        if self.witnesses.len() < others.min(WITNESSES_MAX) {
            for slot in self.pick_live(ASKED_AT_ONCE, None) {
                if !self.witnesses.contains(&slot) {
                    self.probe(slot, Kind::Measure);
                }
            }
            self.timers.set(Timer::Converge, self.now + again);
            return;
        }
        let last_change = self.disturbance.last_change;
        let elapsed = last_change.since(since);
        let convergence =
            Convergence { members: others + 1, elapsed, periods: periods(elapsed, self.params.period) };
        self.disturbance.since = None;
        self.witnesses.clear();
        self.disturbance.converged = Some(convergence);
        self.membership_version += 1;
        self.event(Event::Converged(convergence));
    }
}

fn periods(elapsed: Duration, period: Duration) -> f64 {
    (elapsed.as_secs_f64() / period.as_secs_f64() * 100.0).round() / 100.0
}
