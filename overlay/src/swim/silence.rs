//! Whose silence is it? A node that hears nobody at all is more likely cut off, or too slow to read what waits for it,
//! than all the others are dead at once. While that lasts it passes no verdict, and calls the roll: if a few answer, and
//! in time, it is neither, and the silence is that of the others.

use rand::seq::IteratorRandom;

use super::{Phase, Swim, Timer};
use crate::Time;
use crate::members::Slot;
use crate::pings::Purpose;

/// In smaller clusters all the others may well be gone at once.
const OTHERS_MIN: usize = 3;
/// Members that were heard last and are remembered.
pub(super) const HEARD_LAST_MAX: usize = 32;
/// Members pinged at once in a roll call, and how many more every `T / 20`.
const ROLL_CALL_BURST: usize = 8;

/// Pings to all members, some at a time.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    /// The next place in the round-robin's list.
    next: usize,
    /// How many are still to be pinged before it is through.
    left: usize,
    /// Times that it has been gone through since anybody was heard.
    passes: u8,
}

impl Swim {
    /// A member has been heard.
    pub(super) fn heard_from(&mut self, slot: Slot) {
        self.heard_somebody();
        if self.heard_last.front() == Some(&slot) {
            return;
        }
        if let Some(place) = self.heard_last.iter().position(|other| *other == slot) {
            self.heard_last.remove(place);
        }
        self.heard_last.truncate(HEARD_LAST_MAX - 1);
        self.heard_last.push_front(slot);
    }

    /// Somebody has been heard, after `silence` perhaps: what was concluded from that does not count. The answers may be
    /// the next ones to come in.
    fn heard_somebody(&mut self) {
        let silence = self.now.since(self.heard);
        self.heard = self.now;
        if !self.parts.own_silence || silence <= self.params.silence() {
            return;
        }
        let least = self.now + self.params.suspicion_min(self.live());
        for suspicion in self.suspicions.values_mut() {
            suspicion.postpone(least);
        }
        let soon = self.now + self.params.probe_floor();
        for probe in &mut self.probes {
            probe.answered_late(self.now, soon);
        }
        self.watch.clear();
        self.health.worse(1);
    }

    /// Whether a live member was heard about as lately as anybody was.
    pub(super) fn is_heard_lately(&self, slot: Slot) -> bool {
        let peer = self.members.get(slot).filter(|peer| peer.is_live());
        let heard = peer.and_then(|peer| peer.known.as_ref()?.heard);
        heard.is_some_and(|(at, _)| self.heard.since(at) <= self.params.heard_lately())
    }

    /// Fills `picked` with random members that were heard lately, other than `but`, as far as there are any.
    pub(super) fn pick_heard_lately(&mut self, picked: &mut [Option<Slot>], but: [Option<Slot>; 2]) {
        let usable = |slot: &Slot| !but.contains(&Some(*slot)) && self.is_heard_lately(*slot);
        let usable: Vec<Slot> = self.heard_last.iter().copied().filter(usable).collect();
        usable.into_iter().map(Some).choose_multiple_fill(&mut self.rng, picked);
    }

    /// Whether a probe that began then, and asked others for help, brought no sign of life of anybody. As long as that may
    /// be the fault of this node it doubts nobody else: half-reachable members make the others flap.
    pub(super) fn is_deaf_since(&self, begin: Time) -> bool {
        let enough = self.parts.own_silence && self.members.live() >= OTHERS_MIN;
        enough && self.heard < begin && !self.is_cut_off()
    }

    /// Whether nobody has been heard for so long that it can't be the others. Not for ever: a node that stays alone has
    /// to say so.
    pub(super) fn is_deaf(&self) -> bool {
        let silence = self.now.since(self.heard);
        self.parts.own_silence
            && self.members.live() >= OTHERS_MIN
            && (self.params.silence()..self.params.cut_off(self.live())).contains(&silence)
    }

    /// A period begins: if nobody is heard before the next one the roll may have to be called.
    pub(super) fn plan_roll_call(&mut self) {
        let at = self.heard + self.params.silence();
        if self.parts.own_silence
            && self.timers.at(Timer::RollCall) == Time::NEVER
            && at < self.now + self.params.period
        {
            self.roll_call = RollCall { next: self.round_next, ..RollCall::default() };
            self.timers.set(Timer::RollCall, at.max(self.now));
        }
    }

    /// Pings some more members, as long as nobody is heard. Between one pass and the next lies twice as much time as the
    /// last time: who is slow must not flood the others when it wakes.
    pub(super) fn on_roll_call(&mut self) {
        if self.phase != Phase::Running || !self.is_deaf() || self.round.is_empty() {
            return;
        }
        if self.roll_call.left == 0 {
            self.roll_call.left = self.round.len();
            self.roll_call.passes = self.roll_call.passes.saturating_add(1);
        }
        for _ in 0..ROLL_CALL_BURST.min(self.roll_call.left) {
            self.roll_call.left -= 1;
            self.roll_call.next = (self.roll_call.next + 1) % self.round.len();
            let slot = self.round[self.roll_call.next];
            let Some(key) = self.members.get(slot).filter(|peer| peer.is_live()).map(|peer| peer.key) else {
                continue;
            };
            if let Some(to) = self.address_for(slot, self.roll_call.passes) {
                self.ping(slot, key, to, Purpose::RollCall);
            }
        }
        let wait = if self.roll_call.left > 0 {
            self.params.period / 20
        } else {
            self.params.period * 2u32.saturating_pow(u32::from(self.roll_call.passes.min(3)))
        };
        self.timers.set(Timer::RollCall, self.now + wait);
    }

    /// A member answers when the roll is called. If that took no longer than it does, this node is well.
    pub(super) fn on_roll_call_answered(&mut self, slot: Slot, sent: Time) {
        if self.now.since(sent) <= self.timeout_of(slot) {
            self.health.better();
        }
        self.on_probe_answered(slot, None);
    }
}
