//! Anti-entropy: range-based set reconciliation (Meyer 2022), and knocking at the doors of the dead.
//!
//! Members are ordered by key. A range of keys has a digest, the exclusive or of its live members' parts. Whoever
//! sees another digest than its own on a datagram sends the digests of its ranges; the other one answers for a range
//! that differs, with all that it knows there if that is little, else with the digests of smaller ranges. The last
//! answer is what the other one lacks. Every step is one bounded datagram for each range, and none of it needs state.

use std::ops::RangeInclusive;

use rand::Rng;
use rand::seq::{IteratorRandom, SliceRandom};

use super::receive::subject_of;
use super::{Phase, Swim, Timer};
use crate::members::{Peer, Slot};
use crate::pings::{Ping, Purpose};
use crate::precedence::Claim;
use crate::wire::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_SURE, Message, Range, Record, Update};
use crate::{MemberState, NodeKey};

/// Ranges that a node splits what it knows into.
const RANGES: usize = 16;
/// A range of at most so many members is sent as records: they fit one datagram, unless names are very long.
const RECORDS_MAX: usize = 24;
/// The same in a small datagram.
const RECORDS_SMALL_MAX: usize = 8;
/// Ranges that one datagram is answered for; the others wait for the next time.
const ANSWERS_MAX: usize = 4;
/// Dead members that are pinged at once after one of them has come back.
const REVIVED_AT_ONCE: usize = 8;

impl Swim {
    /// A member's live set differs from this node's. Gossip gets its time to settle that first.
    pub(super) fn on_other_digest(&mut self, slot: Slot) {
        let settling = self.now.since(self.disturbance.last_change()) < self.params.gossip_interval();
        if settling || self.now < self.sync_next || self.phase != Phase::Running {
            return;
        }
        let pause = self.params.period.mul_f64(self.rng.random_range(0.2..0.3));
        self.sync_next = self.now + pause;
        self.send_ranges(slot, 0..=u64::MAX);
    }

    /// Sends what this node knows in a range, or the digests of its parts.
    fn send_ranges(&mut self, slot: Slot, range: RangeInclusive<u64>) {
        let Some(to) = self.members.get(slot).map(Peer::address) else { return };
        let keys = self.live_keys(range.clone());
        let (bytes_max, records_max) = self.sync_size();
        if keys.len() <= records_max {
            self.send_records(slot, range, bytes_max);
            return;
        }
        // Cut where the members are, not where the numbers are.
        let mut ranges = Vec::with_capacity(RANGES);
        let mut first = *range.start();
        for part in 1..=RANGES {
            let last = if part == RANGES { *range.end() } else { keys[part * keys.len() / RANGES].0 - 1 };
            if first <= last {
                ranges.push(Range { first, last, digest: self.digest_of(first..=last) });
            }
            first = last.saturating_add(1);
        }
        self.send(to, Some(slot), &Message::Ranges(ranges));
    }

    /// The other one's digests: answer for some of the ranges that differ.
    pub(super) fn on_ranges(&mut self, slot: Slot, ranges: &[Range]) {
        let mut differing: Vec<Range> = ranges
            .iter()
            .copied()
            .filter(|range| self.digest_of(range.first..=range.last) != range.digest)
            .collect();
        differing.shuffle(&mut self.rng);
        for range in differing.into_iter().take(ANSWERS_MAX) {
            self.send_ranges(slot, range.first..=range.last);
        }
    }

    /// How large a datagram to send, and for how many members. Nobody answers for these datagrams, so it does not show
    /// whether the path takes large ones: half of them are small, by chance.
    fn sync_size(&mut self) -> (usize, usize) {
        if self.rng.random_bool(0.5) {
            (DATAGRAM_BYTES_MAX, RECORDS_MAX)
        } else {
            (DATAGRAM_BYTES_SURE, RECORDS_SMALL_MAX)
        }
    }

    fn send_records(&mut self, slot: Slot, range: RangeInclusive<u64>, bytes_max: usize) {
        let Some(to) = self.members.get(slot).map(Peer::address) else { return };
        let mut encoder = self.begin_to(to, Some(slot), self.version_for(Some(slot)));
        encoder.message(&Message::Records { first: *range.start(), last: *range.end() });
        encoder.limit(bytes_max - self.seal.trailer_bytes());
        let mut fits = true;
        for key in self.live_keys(range.clone()) {
            fits = fits && self.update_about(key, true).is_none_or(|update| encoder.update(&update));
        }
        for (_, peer) in self.members.range(range).filter(|(_, peer)| !peer.is_live()) {
            fits = fits && self.update_about(peer.key, false).is_none_or(|update| encoder.update(&update));
        }
        self.finish(to, Some(slot), encoder);
    }

    /// All that the other one knows in a range (it has been learned already): send back what it lacks.
    pub(super) fn on_records(
        &mut self,
        slot: Slot,
        range: RangeInclusive<u64>,
        updates: &[Update<Record<'_>>],
    ) {
        let Some(to) = self.members.get(slot).map(Peer::address) else { return };
        let known = |key: NodeKey| {
            let update = updates.iter().find(|update| subject_of(update).0 == key)?;
            Some(Claim::new(subject_of(update).1, update.incarnation, update.state))
        };
        let mut lacking: Vec<NodeKey> = self
            .live_keys(range)
            .into_iter()
            .filter(|key| {
                known(*key).is_none_or(|known| self.claim_of(*key).is_some_and(|mine| mine > known))
            })
            .collect();
        if lacking.is_empty() {
            return;
        }
        lacking.shuffle(&mut self.rng);
        lacking.sort_by_key(|key| self.members.by_key(*key).is_none_or(|peer| peer.met));
        let (bytes_max, _) = self.sync_size();
        let mut encoder = self.begin_to(to, Some(slot), self.version_for(Some(slot)));
        encoder.limit(bytes_max - self.seal.trailer_bytes());
        self.put_members(&mut encoder, &mut lacking);
        self.finish(to, Some(slot), encoder);
    }

    fn claim_of(&self, key: NodeKey) -> Option<Claim> {
        if key == self.key {
            return Some(Claim::new(self.me.boot, self.incarnation, MemberState::Alive));
        }
        self.members.by_key(key).map(Peer::claim)
    }

    /// Live members with keys in this range, this node among them, in order.
    fn live_keys(&self, range: RangeInclusive<u64>) -> Vec<NodeKey> {
        let live = self.members.range(range.clone()).filter(|(_, peer)| peer.is_live());
        let mut keys: Vec<NodeKey> = live.map(|(_, peer)| peer.key).collect();
        if range.contains(&self.key.0) && self.phase == Phase::Running {
            keys.insert(keys.partition_point(|key| *key < self.key), self.key);
        }
        keys
    }

    fn digest_of(&self, range: RangeInclusive<u64>) -> u64 {
        let mine = if range.contains(&self.key.0) { self.own_part() } else { 0 };
        let live = self.members.range(range).filter(|(_, peer)| peer.is_live());
        live.fold(mine, |digest, (_, peer)| digest ^ peer.key.live_part(peer.identity.boot))
    }

    /// A dead member has answered: a partition has healed, and others are probably back as well.
    pub(super) fn revived(&mut self) {
        self.timers.set_by(Timer::Revive, self.now + self.params.gossip_interval_min());
    }

    pub(super) fn on_revive(&mut self) {
        self.knock(REVIVED_AT_ONCE);
    }

    /// Asks some random dead members whether they are back, and tells them nothing: at the address of one of them there may
    /// be another cluster's node by now. One that answers is told what is thought of it ([`Self::tell_revived`]).
    pub(super) fn knock(&mut self, count: usize) {
        if self.members.live() == self.members.len() || self.phase != Phase::Running {
            return;
        }
        let dead = self.members.gone().filter(|(_, peer)| peer.state == MemberState::Dead);
        for slot in dead.map(|(slot, _)| slot).choose_multiple(&mut self.rng, count) {
            let Some((key, to)) = self.members.get(slot).map(|peer| (peer.key, peer.address())) else {
                continue;
            };
            let seq = self.pings.add(Ping { target: key, to, sent: self.now, purpose: Purpose::Knock });
            let mut encoder = self.begin_to_former(self.version_for(Some(slot)));
            encoder.message(&Message::Ping { seq, to: key, from: None });
            self.finish(to, Some(slot), encoder);
        }
    }

    /// A dead member is there: it hears that it is thought dead, and can refute that.
    pub(super) fn tell_revived(&mut self, slot: Slot) {
        if let Some((key, to)) =
            self.members.get(slot).filter(|peer| !peer.is_live()).map(|peer| (peer.key, peer.address()))
        {
            self.ping(slot, key, to, Purpose::Revive);
        }
    }
}
