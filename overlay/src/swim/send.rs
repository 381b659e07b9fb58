//! What goes out: datagrams with as much news as fits, and the gossip rounds.

use std::net::SocketAddr;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::{Output, Phase, Swim, Timer};
use crate::config::{GOSSIP_FANOUT, Params};
use crate::members::{Members, Peer, Slot};
use crate::wire::{
    DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_SURE, Encoder, Head, Message, Subject, UPDATES_MAX, Update,
};
use crate::{DatagramKind, Identity, MemberState, NodeKey};

/// Most members picked at random at once.
const PICKED_MAX: usize = 16;

impl Swim {
    /// Sends `message` to `to`, with news. `receiver` is who is thought to be there.
    pub(super) fn send(&mut self, to: SocketAddr, receiver: Option<Slot>, message: &Message<'_>) {
        // News may get lost; what is part of a probe may not.
        let proven = receiver.is_some_and(|slot| self.is_proven(slot, to));
        let large = proven && matches!(message, Message::News);
        let bytes_max = if large { DATAGRAM_BYTES_MAX } else { DATAGRAM_BYTES_SURE };
        self.send_within(to, receiver, message, bytes_max, None);
    }

    /// The same, but no larger than `bytes_max` unless the bare message is, and with `first` as the first news.
    pub(super) fn send_within(
        &mut self,
        to: SocketAddr,
        receiver: Option<Slot>,
        message: &Message<'_>,
        bytes_max: usize,
        first: Option<NodeKey>,
    ) {
        let mut encoder = self.begin_to(to, receiver, self.version_for(receiver));
        encoder.message(message);
        if matches!(message, Message::Ping { .. })
            && let Some(within) = self.promise_for(receiver)
        {
            encoder.promise(within);
        }
        let carries_load = matches!(message, Message::Ping { .. } | Message::Ack { .. });
        if let Some((sample, taken)) = self.load.filter(|_| carries_load) {
            encoder.load(&sample, self.now.since(taken));
        }
        if matches!(message, Message::Ack { .. }) {
            encoder.coordinate(&self.coordinate);
        }
        encoder.limit(bytes_max.min(DATAGRAM_BYTES_MAX).saturating_sub(self.seal.trailer_bytes()));
        self.put_first_updates(&mut encoder, receiver, first);
        // Before all other news: they are few, and much news would leave no room for them.
        if carries_load {
            self.put_near_loads(&mut encoder, receiver);
            self.put_far_loads(&mut encoder, receiver);
        }
        self.put_updates(&mut encoder, receiver);
        self.finish(to, receiver, encoder);
    }

    /// The newest version that a member speaks, too. Who is none is answered in the version that it asked in.
    pub(super) fn version_for(&self, receiver: Option<Slot>) -> u8 {
        let mine = self.me.versions;
        let theirs = receiver.and_then(|slot| self.members.get(slot)).map(|peer| peer.identity.versions);
        theirs.map_or(self.asked_in, |theirs| mine.common(theirs)).unwrap_or(mine.oldest())
    }

    /// Begins a datagram.
    pub(super) fn begin(&mut self, version: u8) -> Encoder {
        let live = self.live_digest();
        let head = Head::new(self.key, self.me.boot, self.incarnation, live);
        let bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(DATAGRAM_BYTES_MAX));
        Encoder::new(bytes, &self.seal, version, &mut self.rng, &head)
    }

    /// Sends a datagram to whoever is thought to be there, if it may be: an address that has not shown to be a member's
    /// gets three times the bytes that came from it (RFC 9000, section 8.1), and of its own accord this node sends it little.
    pub(super) fn finish(&mut self, to: SocketAddr, receiver: Option<Slot>, encoder: Encoder) {
        let purpose = encoder.purpose();
        let bytes = encoder.finish(&self.seal);
        let proven = receiver.is_some_and(|slot| self.is_proven(slot, to));
        let allowed = proven
            || match &mut self.source {
                Some((from, room)) if *from == to => {
                    let left = room.checked_sub(bytes.len());
                    *room = left.unwrap_or(*room);
                    left.is_some()
                }
                _ => self.hosts.take(to.ip(), bytes.len(), self.now, self.params.period),
            };
        if allowed {
            self.put_out(to, purpose, bytes);
        } else {
            self.stats.datagrams_held_back += 1;
            self.recycle(bytes);
        }
    }

    /// How many bytes may still be sent to where the datagram in hand came from.
    pub(super) fn room_for_source(&self) -> usize {
        self.source.map_or(0, |(_, room)| room)
    }

    /// Sends a datagram, whoever may be there.
    pub(super) fn put_out(&mut self, to: SocketAddr, purpose: DatagramKind, bytes: Vec<u8>) {
        debug_assert!(bytes.len() <= DATAGRAM_BYTES_MAX, "a datagram is never larger than the limit");
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += bytes.len() as u64;
        self.stats.sent.count(purpose, bytes.len());
        self.outputs.push_back(Output::Send { to, bytes });
    }

    /// Digest of the live set, this node included: the lower half, which is enough to see whether two sets differ.
    pub(super) fn live_digest(&self) -> u32 {
        (self.members.digest() ^ self.own_part()) as u32
    }

    /// This node's part in it.
    pub(super) fn own_part(&self) -> u64 {
        match self.own_part.get() {
            Some((boot, part)) if boot == self.me.boot => part,
            _ => {
                let part = self.key.live_part(self.me.boot);
                self.own_part.set(Some((self.me.boot, part)));
                part
            }
        }
    }

    /// Whoever is doubted hears it first, so that it can refute.
    pub(super) fn put_first_updates(
        &self,
        encoder: &mut Encoder,
        receiver: Option<Slot>,
        first: Option<NodeKey>,
    ) {
        let buddy = receiver.and_then(|slot| self.members.get(slot)).filter(|_| self.parts.buddy);
        let doubted = buddy.filter(|peer| peer.state != MemberState::Alive).map(|peer| peer.key);
        // A node that leaves says so to all that ask.
        let farewell = (self.phase != Phase::Running).then_some(self.key);
        for key in [farewell, doubted, first].into_iter().flatten() {
            if let Some(update) = self.update_about(key, first.is_some())
                && !encoder.update(&update)
            {
                return;
            }
        }
    }

    /// The news, what was sent least first.
    pub(super) fn put_updates(&mut self, encoder: &mut Encoder, receiver: Option<Slot>) {
        if self.gossip.is_empty() {
            return;
        }
        let receiver = receiver.and_then(|slot| self.members.get(slot)).map(|peer| peer.key);
        let limit = Params::transmissions(self.live());
        let (mut told, mut kept) = (std::mem::take(&mut self.told), [None; 2]);
        for _ in 0..UPDATES_MAX {
            let Some(news) = self.gossip.take() else { break };
            if Some(news.key) == receiver {
                kept[0] = Some(news);
                continue;
            }
            let Some(update) = self.update_about(news.key, false) else {
                self.gossip.remove(news.key);
                continue;
            };
            if !encoder.update(&update) {
                kept[1] = Some(news);
                break;
            }
            told.push(news);
        }
        for news in told.drain(..) {
            self.gossip.told(news, limit);
        }
        for news in kept.into_iter().flatten() {
            self.gossip.kept(news);
        }
        self.told = told;
    }

    /// The newest there is to say of a member; in full if it is live or if asked.
    pub(super) fn update_about(&self, key: NodeKey, full: bool) -> Option<Update<&Identity>> {
        if key == self.key {
            let state = if self.phase == Phase::Running { MemberState::Alive } else { MemberState::Left };
            let subject = Subject::Full(&*self.me);
            return Some(Update { subject, incarnation: self.incarnation, state, by: None });
        }
        let slot = self.members.find(key)?;
        let peer = self.members.get(slot)?;
        let subject = if full || peer.state == MemberState::Alive {
            Subject::Full(&*peer.identity)
        } else {
            Subject::Key(key, peer.identity.boot)
        };
        let suspicion = self.suspicions.get(&slot);
        let farewell = suspicion.is_some_and(|suspicion| suspicion.farewell);
        let state = if farewell { MemberState::Left } else { peer.state };
        let by = suspicion.filter(|_| !farewell).and_then(|suspicion| suspicion.spokesman(self.key));
        Some(Update { subject, incarnation: peer.incarnation, state, by })
    }

    /// There is news about a member: it goes out at once, and again each round while its count lasts.
    pub(super) fn spread(&mut self, key: NodeKey) {
        self.gossip.push(key);
        let soon = self.now.max(self.gossiped + self.params.gossip_interval_min());
        self.timers.set_by(Timer::Gossip, soon);
    }

    pub(super) fn on_gossip_round(&mut self) {
        self.gossiped = self.now;
        let mut to = [None; GOSSIP_FANOUT];
        let fanout = if self.is_overloaded() { 1 } else { GOSSIP_FANOUT };
        let to = &mut to[..fanout];
        // Suspects are told what concerns them by those who probe them.
        if self.are_many_suspected() {
            self.pick_unsuspected(to);
        }
        if to[0].is_none() {
            self.pick(to, None);
        }
        self.prefer_met(to);
        for slot in to.iter().flatten().copied() {
            if self.gossip.is_empty() {
                break;
            }
            let Some(to) = self.members.get(slot).map(Peer::address) else { continue };
            self.send(to, Some(slot), &Message::News);
        }
        if !self.gossip.is_empty() && self.members.live() > 0 {
            self.timers.set_by(Timer::Gossip, self.now + self.params.gossip_interval());
        }
    }

    /// Leaves at most one member among those picked that is known by hearsay alone, as far as there are others: one member may
    /// have invented many of those.
    fn prefer_met(&mut self, picked: &mut [Option<Slot>]) {
        let met = |members: &Members, slot: Slot| members.get(slot).is_some_and(|peer| peer.met);
        if picked.iter().flatten().filter(|slot| !met(&self.members, **slot)).count() < 2 {
            return;
        }
        let usable = |slot: &Slot| {
            let alive = self.members.get(*slot).is_some_and(|peer| peer.state == MemberState::Alive);
            alive && met(&self.members, *slot) && !picked.contains(&Some(*slot))
        };
        let mut others =
            (0..self.members.slots()).filter(usable).choose_multiple(&mut self.rng, picked.len() - 1);
        let by_hearsay =
            picked.iter_mut().filter(|place| place.is_some_and(|slot| !met(&self.members, slot)));
        for place in by_hearsay.skip(1) {
            *place = others.pop().or(*place);
        }
    }

    /// Up to `count` (of at most [`PICKED_MAX`]) random live members, other than `but`.
    pub(super) fn pick_live(
        &mut self,
        count: usize,
        but: Option<Slot>,
    ) -> impl Iterator<Item = Slot> + use<> {
        let mut picked = [None; PICKED_MAX];
        self.pick(&mut picked[..count], but);
        picked.into_iter().flatten()
    }

    fn pick(&mut self, picked: &mut [Option<Slot>], but: Option<Slot>) {
        let usable =
            |members: &Members, slot: Slot| Some(slot) != but && members.get(slot).is_some_and(Peer::is_live);
        let others = self.members.live();
        if others > 4 * picked.len() {
            // Most slots are usable: drawing is cheaper than looking at all of them.
            let slots = self.members.slots();
            let mut count = 0;
            for _ in 0..picked.len() * 16 {
                if count == picked.len() {
                    break;
                }
                let slot = self.rng.random_range(0..slots);
                if usable(&self.members, slot) && !picked.contains(&Some(slot)) {
                    picked[count] = Some(slot);
                    count += 1;
                }
            }
            return;
        }
        let slots = (0..self.members.slots()).filter(|slot| usable(&self.members, *slot));
        slots.map(Some).choose_multiple_fill(&mut self.rng, picked);
    }
}
