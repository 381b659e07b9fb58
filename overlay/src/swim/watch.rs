//! Promises: "you hear of me again within so long".
//!
//! Who may ping whom is random, so a dead member's next ping can be long in coming. A promise bounds that: each period
//! a member promises the one that it pings to be heard of again at its next period, and keeps it with one small
//! datagram that needs no answer. So at any moment somebody waits for each member, at most one period long; who waits
//! in vain probes. A broken promise proves nothing and costs one ping.

use std::time::Duration;

use super::{Swim, Timer};
use crate::members::{Peer, Slot};
use crate::wire::DATAGRAM_BYTES_SURE;
use crate::{MemberState, Time};

/// Most promises waited for; beyond it new ones are not.
pub(super) const WATCHED_MAX: usize = 64;

/// Promises received and given.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whom to doubt, and when, unless it is heard of before.
    pub(super) due: Vec<(Slot, Time)>,
    /// To whom this node has promised to be heard of at its next period.
    pub(super) promised_to: Option<Slot>,
}

impl Watch {
    pub fn next(&self) -> Time {
        self.due.iter().map(|(_, at)| *at).min().unwrap_or(Time::NEVER)
    }

    pub fn forget(&mut self, slot: Slot) {
        self.due.retain(|(other, _)| *other != slot);
        self.promised_to = self.promised_to.filter(|other| *other != slot);
    }

    pub fn clear(&mut self) {
        self.due.clear();
    }

    /// This node was held up: whatever it waits for may lie in its socket.
    pub fn put_off(&mut self, late: Duration) {
        for (_, at) in &mut self.due {
            *at = *at + late;
        }
    }
}

impl Swim {
    /// A member promises to be heard of again within this time, or (zero) keeps its promise.
    pub(super) fn on_promise(&mut self, slot: Slot, within: Duration) {
        self.watch.due.retain(|(other, _)| *other != slot);
        if within.is_zero() || within > self.params.promise_max() {
            return;
        }
        let jitter = self.members.get(slot).and_then(Peer::rtt).map(|rtt| 4 * rtt.jitter);
        let slack = self.params.promise_slack().max(jitter.unwrap_or_default().min(self.params.period / 2));
        let at = self.now + within + slack;
        if self.watch.due.len() < WATCHED_MAX {
            self.watch.due.push((slot, at));
        }
    }

    /// What to promise this receiver, if anything.
    pub(super) fn promise_for(&self, receiver: Option<Slot>) -> Option<Duration> {
        let promised = receiver.is_some() && receiver == self.watch.promised_to;
        promised.then(|| self.timers.at(Timer::Period).since(self.now))
    }

    /// A period begins: whoever was promised a sign of life gets it. With `again`, the promise is renewed.
    pub(super) fn keep_promise(&mut self, again: bool) {
        let Some(slot) = self.watch.promised_to else { return };
        let live = self.members.get(slot).filter(|peer| peer.is_live()).map(Peer::address);
        let Some(to) = live else {
            self.watch.promised_to = None;
            return;
        };
        let mut encoder = self.begin_to(to, Some(slot), self.version_for(Some(slot)));
        encoder.promise(if again { self.params.period } else { Duration::ZERO });
        encoder.limit(DATAGRAM_BYTES_SURE - self.seal.trailer_bytes());
        self.put_first_updates(&mut encoder, Some(slot), None);
        self.put_near_loads(&mut encoder, Some(slot));
        self.put_updates(&mut encoder, Some(slot));
        self.finish(to, Some(slot), encoder);
        if !again {
            self.watch.promised_to = None;
        }
    }

    /// Promises that were broken: look closer.
    pub(super) fn run_watch(&mut self) {
        let mut index = 0;
        while let Some((slot, at)) = self.watch.due.get(index).copied() {
            if at > self.now {
                index += 1;
                continue;
            }
            self.watch.due.swap_remove(index);
            if self.members.get(slot).is_some_and(|peer| peer.state == MemberState::Alive) {
                if self.is_deaf() {
                    continue;
                }
                self.stats.promises_broken += 1;
                self.probe_silent(slot);
            }
        }
    }
}
