//! Has the cluster come to rest?
//!
//! Every datagram carries a digest of its sender's live set. When this node's own set has not changed for a while
//! and the digests of the others equal its own, all of them hold the same set.

use std::time::Duration;

use super::probe::Kind;
use super::{Event, Phase, Swim, Timer};
use crate::members::{Peer, Slot};
use crate::{Convergence, NodeName, Time};

/// Up to so many members all have to agree; in larger clusters so many random ones.
const WITNESSES_MAX: usize = 32;
/// Members asked at once for their digest.
const ASKED_AT_ONCE: usize = 8;
/// Members of which nothing was heard that an event names.
const UNHEARD_NAMED_MAX: usize = 8;

/// A time of change.
#[derive(Clone, Debug)]
pub(super) struct Disturbance {
    since: Option<Time>,
    /// Whose doing the first sign of it was.
    about: Option<NodeName>,
    last_change: Time,
    converged: Option<Convergence>,
    /// When it was last said that it goes on.
    told: Option<Time>,
}

impl Disturbance {
    pub fn begun(now: Time) -> Self {
        Self { since: Some(now), about: None, last_change: now, converged: None, told: None }
    }

    /// It began at this time with this member, unless it began earlier.
    pub fn began(&mut self, at: Time, about: Option<&NodeName>) {
        if self.since.is_none_or(|since| at < since) {
            self.since = Some(at);
            self.about = about.cloned();
        }
    }

    /// When the live set last changed.
    pub fn last_change(&self) -> Time {
        self.last_change
    }

    /// None, as in a cluster long at rest.
    pub fn over() -> Self {
        Self { since: None, about: None, last_change: Time::ZERO, converged: None, told: None }
    }

    pub fn converged(&self) -> Option<Convergence> {
        self.converged.clone()
    }
}

impl Swim {
    /// The live set has changed by this member's coming or going.
    pub(super) fn disturbed_by(&mut self, slot: Slot) {
        let about = self.members.get(slot).map(|peer| &peer.identity.name);
        self.disturbance.began(self.now, about);
        self.disturbed();
    }

    /// The live set has changed.
    pub(super) fn disturbed(&mut self) {
        let now = self.now;
        self.disturbance.began(now, None);
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
            let asked = if self.is_overloaded() { 1 } else { ASKED_AT_ONCE };
            for slot in self.pick_live(asked, None) {
                if !self.witnesses.contains(&slot) {
                    self.probe(slot, Kind::Measure);
                }
            }
            self.timers.set(Timer::Converge, self.now + again);
            return;
        }
        let last_change = self.disturbance.last_change;
        let elapsed = last_change.since(since);
        let convergence = Convergence {
            members: others + 1,
            elapsed,
            periods: periods(elapsed, self.params.period),
            about: self.disturbance.about.take(),
        };
        self.disturbance.since = None;
        self.disturbance.told = None;
        self.witnesses.clear();
        self.disturbance.converged = Some(convergence.clone());
        self.membership_version += 1;
        self.event(Event::Converged(convergence));
    }
}

impl Swim {
    /// A period begins: if this node has not converged for long, or hears nobody, it says so now and then, and of whom
    /// nothing was heard meanwhile.
    pub(super) fn tell_of_unheard(&mut self) {
        let long = self.params.seeds_interval();
        let others = self.members.live();
        if others > 0 && self.disturbance.since.is_none() && self.now.since(self.heard) >= long {
            self.disturbance.began(self.heard, None);
            self.disturbed();
        }
        let since = self.disturbance.since.filter(|since| others > 0 && self.now.since(*since) >= long);
        let Some(since) = since else {
            self.note_unheard(0);
            return;
        };
        let is_unheard = |peer: &&Peer| {
            let heard = peer.known.as_ref().and_then(|known| known.heard);
            peer.is_live() && heard.is_none_or(|(at, _)| self.now.since(at) >= long)
        };
        let unheard = self.peers().filter(is_unheard).count();
        let names = self.peers().filter(is_unheard).take(UNHEARD_NAMED_MAX);
        let names = names.map(|peer| peer.identity.name.clone()).collect();
        self.note_unheard(unheard as u64);
        if self.disturbance.told.is_none_or(|told| self.now.since(told) >= 3 * long) {
            self.disturbance.told = Some(self.now);
            self.event(Event::NotConverged { time: self.now.since(since), unheard, names });
        }
    }

    fn note_unheard(&mut self, unheard: u64) {
        if self.stats.unheard_members != unheard {
            self.stats.unheard_members = unheard;
            self.detail_version += 1;
        }
    }
}

fn periods(elapsed: Duration, period: Duration) -> f64 {
    (elapsed.as_secs_f64() / period.as_secs_f64() * 100.0).round() / 100.0
}
