//! What comes in.

use std::net::SocketAddr;

use rand::Rng;

use super::strangers::introduction;
use super::{Phase, Swim};
use crate::members::{Peer, Slot};
use crate::pings::{Ping, Purpose};
use crate::wire::{DATAGRAM_BYTES_SURE, Datagram, Head, Message, Record, Subject, Update, decode};
use crate::{BootEpoch, DecodeError, MemberState, NodeKey, Rejection};

impl Swim {
    pub(super) fn on_datagram(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let length = bytes.len();
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += length as u64;
        let lists = std::mem::take(&mut self.lists).emptied();
        self.rejected = None;
        let datagram = match decode(&self.seal, bytes, lists) {
            Ok(datagram) => datagram,
            Err(error) => {
                self.stats.rejected.count(error.into());
                self.rejected = Some(error);
                return;
            }
        };
        self.stats.received.count(datagram.message.purpose(), length);
        self.asked_in = Some(datagram.version);
        self.source = Some((from, ANSWERED_TIMES * length));
        self.on_decoded(from, length, &datagram);
        (self.asked_in, self.source) = (None, None);
        self.cluster_identity.told = false;
        self.lists = datagram.lists.emptied();
    }

    fn on_decoded(&mut self, from: SocketAddr, length: usize, datagram: &Datagram<'_>) {
        if self.phase == Phase::Gone {
            return;
        }
        if self.is_beyond_belief(datagram.head.boot(), datagram.head.incarnation()) {
            self.stats.rejected.count(Rejection::Ahead);
            self.rejected = Some(DecodeError::Ahead);
            return;
        }
        let asked = answered(&datagram.message).and_then(|seq| self.pings.get(seq));
        if self.refuses(from, length, datagram, asked) {
            return;
        }
        if datagram.head.from() == self.key {
            if datagram.head.boot() == self.me.boot {
                self.stats.rejected.count(Rejection::Echo);
            }
            self.on_namesake(from, datagram);
            return;
        }
        if let Some(seq) = answered(&datagram.message) {
            self.on_newcomer_answered(seq, &datagram.head);
        }
        if !self.is_proven_sender(from, datagram) {
            self.on_unproven(from, length, datagram);
            return;
        }
        let sender = self.meet(from, datagram);
        if let Some(slot) = sender {
            self.heard_from(slot);
        }
        self.note_cluster(sender, asked, datagram);
        self.note_timing(sender, datagram);
        if let (Some(slot), Some(within)) = (sender, datagram.promise) {
            self.on_promise(slot, within);
        }
        // Who is held dead has to come back before its doubts about others count.
        let credible = sender.and_then(|slot| self.members.get(slot)).is_none_or(Peer::is_live);
        let credible = credible || !self.parts.own_silence;
        for update in &datagram.lists.updates {
            let doubts = matches!(update.state, MemberState::Suspect | MemberState::Dead);
            let (of, boot) = subject_of(update);
            if credible || !doubts || of == self.key {
                // A node speaks for itself as what it is now: what it says of another boot of its own is hearsay.
                self.learn(update, (of, boot) == (datagram.head.from(), datagram.head.boot()));
            }
        }
        if let Some(peer) = sender.and_then(|slot| self.members.get_mut(slot))
            && datagram.coordinate.is_some()
        {
            peer.known_mut().coordinate = datagram.coordinate;
        }
        if let (Some(slot), Some((sample, age))) = (sender, datagram.load) {
            self.on_load(slot, sample, age);
        }
        for entry in &datagram.lists.loads {
            self.on_load_entry(entry);
        }
        self.on_message(from, length, sender, datagram);
        if let Some(slot) = sender
            && !matches!(datagram.message, Message::Join { .. })
        {
            self.look_at_source(slot, from, self.room_for_source());
        }
    }

    /// Takes note of the sender: it speaks for itself, so it lives. None if it is a stranger, or an older boot.
    fn meet(&mut self, from: SocketAddr, datagram: &Datagram<'_>) -> Option<Slot> {
        let head = &datagram.head;
        // What it says of itself comes before its incarnation, or the one would never be heard for the other.
        if let Some(record) = introduction(datagram) {
            self.settle_move(from, record, head);
            self.learn(&alive(Subject::Full(record.clone()), head), true);
        } else if !self.may_have_moved(from, head) {
            self.learn(&alive(Subject::Key(head.from(), head.boot()), head), true);
        }
        let slot = self.members.find(head.from())?;
        let now = self.now;
        let peer = self.members.get_mut(slot).filter(|peer| peer.identity.boot == head.boot())?;
        peer.known_mut().heard = Some((now, head.live()));
        let (answered, live) = (peer.is_proven(peer.address()), peer.is_live());
        if live && head.live() == self.live_digest() {
            self.agrees(slot);
        } else if live && answered {
            self.on_other_digest(slot);
        }
        Some(slot)
    }

    fn on_message(&mut self, from: SocketAddr, length: usize, sender: Option<Slot>, datagram: &Datagram<'_>) {
        match datagram.message {
            Message::News => {}
            Message::Ping { seq, to, from: ref record } => {
                if to == self.key {
                    let room = self.room_for_answer(sender, from, length);
                    let first = self.is_elsewhere(sender, record.as_ref()).then_some(datagram.head.from());
                    self.send_within(from, sender, &Message::Ack { seq }, room, first);
                }
            }
            Message::Who { seq } => self.on_who(seq, &datagram.head),
            Message::Ack { seq } | Message::Welcome { seq } => self.on_ack(seq, from, &datagram.head),
            Message::PingReq { seq, target } => self.on_ping_req(sender, seq, target),
            Message::Relayed { seq, target, boot, incarnation } => {
                if sender.is_some() {
                    self.on_relayed(datagram.head.from(), seq, target, boot, incarnation);
                }
            }
            Message::Nack { seq } => {
                if sender.is_some() {
                    self.on_nack(seq);
                }
            }
            Message::Ranges(ref ranges) => {
                if let Some(slot) = sender.filter(|slot| self.is_proven(*slot, from)) {
                    self.on_ranges(slot, ranges);
                }
            }
            Message::Records { first, last } => {
                if let Some(slot) = sender.filter(|slot| self.is_proven(*slot, from)) {
                    self.on_records(slot, first..=last, &datagram.lists.updates);
                }
            }
            Message::Join { seq, .. } => self.welcome(from, length, seq),
        }
    }

    /// Whether what a datagram says counts. It comes from where a member is known to be, or it bears a number that only who
    /// has received a datagram of this node can know.
    fn is_proven_sender(&self, from: SocketAddr, datagram: &Datagram<'_>) -> bool {
        let head = &datagram.head;
        let answers = |ping: Ping| match ping.purpose {
            Purpose::Join | Purpose::Return | Purpose::Joined => true,
            Purpose::Meet => false,
            _ => ping.target == head.from(),
        };
        let is_there = |peer: &Peer| {
            peer.identity.boot == head.boot() && (from == peer.identity.gossip || from == peer.address())
        };
        answered(&datagram.message).and_then(|seq| self.pings.get(seq)).is_some_and(answers)
            || self.members.by_key(head.from()).is_some_and(is_there)
    }

    /// Whether a member is known at another address than it says itself: two nodes may share a name and a boot.
    pub(super) fn is_elsewhere(&self, slot: Option<Slot>, record: Option<&Record<'_>>) -> bool {
        let known = slot.and_then(|slot| self.members.get(slot)).map(|peer| peer.identity.gossip);
        record.is_some_and(|record| known.is_some_and(|known| known != record.gossip()))
    }

    /// A member that does not know this node (any more): ping it again, with all that there is to say. If it has been told
    /// all already it can't take this node in, because it knows too many; but it lives.
    fn on_who(&mut self, seq: u32, head: &Head) {
        let Some(ping) = self.pings.get(seq).filter(|ping| ping.target == head.from()) else { return };
        let Some(slot) = self.members.find(ping.target) else { return };
        let Some(peer) = self.members.get_mut(slot) else { return };
        let to = peer.address();
        if peer.known_mut().introduced.take() == Some(self.me.boot) {
            let again = self.ping(slot, ping.target, to, ping.purpose);
            self.relays_ping_again(seq, again);
        } else if ping.purpose == Purpose::Knock {
            self.pings.take(seq);
            self.tell_revived(slot);
        } else if matches!(ping.purpose, Purpose::Probe { .. } | Purpose::Path) {
            self.pings.take(seq);
            self.on_probe_answered(slot, None);
        }
    }

    /// No answer to an address that has not yet shown to be its owner's is larger than three times the question (the
    /// rule of QUIC, RFC 9000, section 8.1).
    fn room_for_answer(&self, sender: Option<Slot>, from: SocketAddr, length: usize) -> usize {
        match sender {
            // What was asked in a small datagram is not answered in one that may be too large for the path.
            Some(slot) if self.is_proven(slot, from) => length.max(DATAGRAM_BYTES_SURE),
            // The rest is for a ping of this node (look_at_source).
            _ => (ANSWERED_TIMES - 1) * length,
        }
    }

    /// Whether this member has answered from this address before, so that the address is its own.
    pub(super) fn is_proven(&self, slot: Slot, address: SocketAddr) -> bool {
        self.members.get(slot).is_some_and(|peer| peer.is_proven(address))
    }

    /// An ack has come back: the member lives, and this is the RTT to it.
    fn on_ack(&mut self, seq: u32, from: SocketAddr, head: &Head) {
        let Some(ping) = self.pings.get(seq) else { return };
        match ping.purpose {
            Purpose::Joined => return,
            Purpose::Join | Purpose::Return => self.pings.joined(seq),
            _ if ping.target != head.from() => return,
            _ => drop(self.pings.take(seq)),
        }
        let Some(slot) = self.members.find(head.from()) else { return };
        let Some(peer) = self.members.get_mut(slot).filter(|peer| peer.identity.boot == head.boot()) else {
            return;
        };
        let known = peer.known_mut();
        known.via = None;
        known.introduced = Some(self.me.boot);
        self.members.meet(slot);
        // One that answers from elsewhere may have claimed an address that is not its own.
        if from == ping.to {
            self.answered_from(slot, from);
        }
        self.measured_by(slot, &ping);
        match ping.purpose {
            Purpose::Probe { attempt } => {
                self.count_ping(slot, true);
                self.on_probe_answered(slot, Some(attempt));
            }
            Purpose::Join | Purpose::Return => self.on_probe_answered(slot, None),
            Purpose::Relay { origin, seq } => self.pass_on_ack(origin, seq, head),
            Purpose::Path => {
                self.on_path_answered(slot, seq, from);
                self.on_probe_answered(slot, None);
            }
            Purpose::RollCall => self.on_roll_call_answered(slot, ping.sent),
            Purpose::Knock => self.tell_revived(slot),
            Purpose::Conflict | Purpose::Meet | Purpose::Joined | Purpose::Revive | Purpose::Cluster => {}
        }
    }

    /// A member has answered from where it was asked; if that is where it says that it is, it may be sent anything there.
    fn answered_from(&mut self, slot: Slot, from: SocketAddr) {
        if let Some(peer) = self.members.get_mut(slot)
            && peer.identity.gossip == from
            && !peer.answered
        {
            peer.answered = true;
            self.hosts.answered(from.ip());
        }
    }

    /// A newcomer has answered from where it was asked, which may be another address than it says.
    pub(super) fn proved(&mut self, slot: Slot, from: SocketAddr) {
        self.members.meet(slot);
        self.answered_from(slot, from);
        if let Some(peer) = self.members.get_mut(slot).filter(|peer| peer.identity.gossip != from) {
            let before = peer.known_mut().path.get_or_insert_default().proven.replace(from);
            self.tell_elsewhere(slot, before);
        }
    }

    /// The answer to this ping has come: that was the RTT.
    pub(super) fn measured_by(&mut self, slot: Slot, ping: &Ping) {
        let Some(peer) = self.members.get_mut(slot).filter(|_| ping.sent >= self.thawed) else { return };
        peer.known_mut().rtt.update(self.now, self.now.since(ping.sent));
        self.detail_version += 1;
        self.move_by(slot);
    }

    /// Moves this node's coordinate by the RTT just measured to a member, and again by some of those measured before it:
    /// what they taught is soon undone by the next ones, and costs no datagram to repeat.
    fn move_by(&mut self, slot: Slot) {
        for _ in 0..REPEATS {
            if self.measured.is_empty() {
                break;
            }
            let again = self.measured[self.rng.random_range(0..self.measured.len())];
            self.move_towards(again);
        }
        self.move_towards(slot);
        if self.measured.len() >= MEASURED_MAX {
            self.measured.pop_front();
        }
        self.measured.push_back(slot);
    }

    fn move_towards(&mut self, slot: Slot) {
        let known = self.members.get(slot).and_then(|peer| peer.known.as_ref());
        if let Some((there, rtt)) = known.and_then(|known| Some((known.coordinate?, known.rtt.get()?))) {
            self.coordinate.update(&there, rtt.mean, &mut self.rng);
        }
    }
}

/// The number of this node's datagram that a message answers.
fn answered(message: &Message<'_>) -> Option<u32> {
    match message {
        Message::Ack { seq } | Message::Welcome { seq } | Message::Who { seq } => Some(*seq),
        _ => None,
    }
}

/// An address that has not shown to be its sender's is sent so many times the bytes that came from it (RFC 9000, section 8.1).
const ANSWERED_TIMES: usize = 3;
/// Members whose measured RTTs this node's coordinate is moved by again and again.
const MEASURED_MAX: usize = 8;
/// How many of them with each new measurement.
const REPEATS: usize = 3;

pub(super) fn alive<'a>(subject: Subject<Record<'a>>, head: &Head) -> Update<Record<'a>> {
    Update { subject, incarnation: head.incarnation(), state: MemberState::Alive, by: None }
}

/// Used by [`Swim::learn`] to name whom an update is about.
pub(super) fn subject_of(update: &Update<Record<'_>>) -> (NodeKey, BootEpoch) {
    match &update.subject {
        Subject::Full(record) => (record.key(), record.boot()),
        Subject::Key(key, boot) => (*key, *boot),
    }
}
