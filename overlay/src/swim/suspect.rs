//! Suspicion: from the first doubt to a refutation or a verdict (Lifeguard, section IV-B and IV-C).

use std::time::Duration;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::probe::Kind;
use super::{Event, Swim};
use crate::config::{CONFIRMATIONS, VERIFIERS};
use crate::members::Slot;
use crate::{Incarnation, MemberState, NodeKey, Time};

/// A doubt about a member.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    since: Time,
    /// When silence becomes a verdict.
    pub deadline: Time,
    /// Whatever others confirm, it does not before this time.
    not_before: Time,
    /// Who has said so, the first one first; bounded by [`CONFIRMATIONS`] and one.
    by: Vec<NodeKey>,
    /// Confirmations that came without names.
    pub confirmations_beyond: usize,
    /// Others say that the member has left.
    pub farewell: bool,
    /// Another node has declared the member dead while this one doubted it. A node with time for its work believes that;
    /// an overloaded one looks into it first.
    pub verdict_told: bool,
}

impl Suspicion {
    /// Silence means nothing before this time.
    pub fn postpone(&mut self, to: Time) {
        self.not_before = self.not_before.max(to);
        self.deadline = self.deadline.max(to);
    }

    /// In whose name to pass the suspicion on: one's own if one has evidence, so that confirmations add up.
    pub fn spokesman(&self, me: NodeKey) -> Option<NodeKey> {
        self.by.iter().copied().find(|by| *by == me).or(self.by.last().copied())
    }

    fn confirmations(&self) -> usize {
        (self.by.len().saturating_sub(1) + self.confirmations_beyond).min(CONFIRMATIONS)
    }
}

/// Shortest time to refute at a node that is overloaded, in shortest times.
const OVERLOADED_FACTOR: u32 = 4;
/// Time to refute while this node hears of nobody, who could confirm either, in shortest times.
const CUT_OFF_FACTOR: u32 = 2;

impl Swim {
    /// Somebody (perhaps this node) doubts this member.
    pub(super) fn suspect(&mut self, slot: Slot, incarnation: Incarnation, by: Option<NodeKey>) {
        self.doubt(slot, incarnation, by, false);
        let name = by.and_then(|by| match self.members.by_key(by) {
            Some(peer) => Some(peer.identity.name.clone()),
            None => (by == self.key).then(|| self.me.name.clone()),
        });
        self.told(slot, None);
        if let Some(member) = self.subject(slot) {
            self.event(Event::Suspected { member, by: name });
        }
        // By those who can: suspects will hardly.
        let able = self.live().saturating_sub(self.suspected()).max(1);
        let chance = VERIFIERS as f64 / able as f64;
        if self.parts.hearsay_probes && !self.is_overloaded() && self.rng.random_bool(chance.min(1.0)) {
            self.verify(slot);
        }
    }

    /// Others say that this member has left. If it has, that is no failure, and nobody is alarmed; if it has not, it answers
    /// and says so.
    pub(super) fn doubt_farewell(&mut self, slot: Slot, incarnation: Incarnation) {
        self.doubt(slot, incarnation, None, true);
        self.told(slot, None);
        self.verify(slot);
    }

    fn doubt(&mut self, slot: Slot, incarnation: Incarnation, by: Option<NodeKey>, farewell: bool) {
        self.members.set(slot, MemberState::Suspect, incarnation, self.now);
        let since = self.now;
        let suspicion = Suspicion {
            since,
            deadline: since,
            not_before: since,
            by: by.into_iter().collect(),
            confirmations_beyond: 0,
            farewell,
            verdict_told: false,
        };
        self.suspicions.insert(slot, suspicion);
        self.reckon(slot);
    }

    /// Somebody else doubts it too.
    pub(super) fn confirm(&mut self, slot: Slot, by: Option<NodeKey>) {
        let (Some(by), Some(suspicion)) = (by, self.suspicions.get_mut(&slot)) else { return };
        if suspicion.by.contains(&by) || suspicion.by.len() > CONFIRMATIONS {
            return;
        }
        suspicion.by.push(by);
        self.reckon(slot);
        self.told(slot, None);
    }

    /// A probe of one's own: it tells the member of the suspicion, and it is told at first hand whether it lives.
    pub(super) fn verify(&mut self, slot: Slot) {
        self.probe(slot, Kind::Verify);
    }

    /// A suspected member answered, though without a refutation.
    pub(super) fn heard_alive(&mut self, slot: Slot) {
        let deadline = self.now + self.params.suspicion_min(self.live());
        if let Some(suspicion) = self.suspicions.get_mut(&slot) {
            suspicion.postpone(deadline);
        }
    }

    /// The time to refute shrinks with each confirmation, down to its minimum (Lifeguard's formula).
    fn reckon(&mut self, slot: Slot) {
        let live = self.live();
        let (mut least, mut most) = (self.params.suspicion_min(live), self.params.suspicion_max(live));
        if !self.parts.short_suspicions {
            least = self.params.lifeguard_suspicion(live);
            most = least * 6;
        }
        if self.is_overloaded() {
            // Where this node is late, so may be the others, and what they say.
            least *= OVERLOADED_FACTOR;
            most = most.max(least);
        }
        if !self.parts.lha_suspicion {
            most = least;
        }
        // Who is suspected itself will hardly confirm.
        let able = live.saturating_sub(self.suspected() + 1).max(1);
        let expected = able.min(live.saturating_sub(2)).min(CONFIRMATIONS);
        let floor = self.params.probe_floor();
        if let Some(suspicion) = self.suspicions.get_mut(&slot) {
            if suspicion.farewell {
                suspicion.deadline = (suspicion.since + floor).max(suspicion.not_before).max(self.now);
                return;
            }
            let shrink = if expected == 0 {
                1.0
            } else {
                ((suspicion.confirmations() as f64 + 1.0).ln() / (expected as f64 + 1.0).ln()).min(1.0)
            };
            // A deadline that is past already is now: it was not this node that was late.
            let deadline = suspicion.since + least + most.saturating_sub(least).mul_f64(1.0 - shrink);
            suspicion.deadline = deadline.max(suspicion.not_before).max(self.now);
        }
    }

    /// Where many are suspected at once, few are left to confirm: less often than that changes, their times to refute are
    /// reckoned again.
    pub(super) fn reckon_if_many(&mut self) {
        if self.are_many_suspected() {
            let slots: Vec<Slot> = self.suspicions.keys().copied().collect();
            for slot in slots {
                self.reckon(slot);
            }
        }
    }

    /// How many members are suspected, so that they may be gone themselves.
    fn suspected(&self) -> usize {
        if self.parts.own_silence { self.suspicions.len() } else { 1 }
    }

    /// Whether more members are suspected than not.
    pub(super) fn are_many_suspected(&self) -> bool {
        self.suspected() * 2 > self.live()
    }

    /// Up to `picked.len()` random live members that nobody doubts.
    pub(super) fn pick_unsuspected(&mut self, picked: &mut [Option<Slot>]) {
        let slots = 0..self.members.slots();
        let alive =
            |slot: &Slot| self.members.get(*slot).is_some_and(|peer| peer.state == MemberState::Alive);
        slots.filter(alive).map(Some).choose_multiple_fill(&mut self.rng, picked);
    }

    /// This node has become cut off: its suspicions wait for no one.
    pub(super) fn hurry_suspicions(&mut self) {
        let time = self.params.suspicion_min(self.live()) * CUT_OFF_FACTOR;
        for suspicion in self.suspicions.values_mut() {
            suspicion.deadline = suspicion.deadline.min((suspicion.since + time).max(self.now));
        }
    }

    pub(super) fn run_suspicions(&mut self) {
        let due: Vec<Slot> =
            self.suspicions.iter().filter(|(_, s)| s.deadline <= self.now).map(|(slot, _)| *slot).collect();
        for slot in due {
            let Some(incarnation) = self.members.get(slot).map(|peer| peer.incarnation) else {
                self.suspicions.remove(&slot);
                continue;
            };
            if self.is_deaf() {
                let later = self.now + self.params.period / 4;
                if let Some(suspicion) = self.suspicions.get_mut(&slot) {
                    suspicion.deadline = later;
                }
                continue;
            }
            if !self.parts.hearsay_probes {
                self.bury(slot, incarnation);
                continue;
            }
            // No silence is a verdict on hearsay alone, nor after fewer unanswered pings than chance explains. Where another
            // node has found out by as many, or the member is said to have left, as many as raise a suspicion confirm it.
            let told = |suspicion: &Suspicion| suspicion.farewell || suspicion.verdict_told;
            let enough = if self.suspicions.get(&slot).is_some_and(told) {
                self.loss.attempts_to_suspect()
            } else {
                self.loss.attempts_to_verdict()
            };
            match self.attempts_since_answer(slot) {
                Some(attempts) if attempts >= enough => {
                    self.bury(slot, incarnation);
                    // Its place among the probes is free for one of those that nobody has doubted yet.
                    if !self.suspicions.is_empty() {
                        self.follow_failure();
                    }
                }
                probed => {
                    if probed.is_none() {
                        self.verify(slot);
                    }
                    let again = self.now + self.timeout_of(slot).max(Duration::from_millis(10));
                    if let Some(suspicion) = self.suspicions.get_mut(&slot) {
                        suspicion.deadline = again;
                    }
                }
            }
        }
    }

    /// When the doubts about this member began, as far as this node knows: with the first ping that it did not answer, or
    /// when this node heard of them.
    pub(super) fn doubted_since(&self, slot: Slot) -> Time {
        let suspected = self.suspicions.get(&slot).map(|suspicion| suspicion.since);
        let probed = self.probes.iter().find(|probe| probe.slot == slot).map(|probe| probe.started);
        suspected.into_iter().chain(probed).fold(self.now, Time::min)
    }

    /// Ends whatever was going on about this member.
    pub(super) fn forget_doubts(&mut self, slot: Slot) {
        self.suspicions.remove(&slot);
        self.stop_probing(slot);
    }
}
