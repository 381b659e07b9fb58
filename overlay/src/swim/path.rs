//! Where a member's datagrams come from, if not from where it says that it is.
//!
//! A NAT gives a node another port while it runs, or the node has several addresses. What is sent to the address that it
//! told may then get lost, while its own datagrams arrive, and what is sent to where they come from would arrive there.
//! So this node pings that place, and if the member answers from there (RFC 9000, section 8.2, path validation) it is
//! spoken to there, until a datagram comes from elsewhere again. Each node finds that out for itself, and the member's
//! identity remains what it is.

use std::net::SocketAddr;

use super::{Event, Swim};
use crate::Time;
use crate::members::{Peer, Slot};
use crate::pings::{Ping, Purpose};
use crate::wire::{DATAGRAM_BYTES_SURE, Message};

/// What is known of a member's other address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    /// Where it has answered from.
    pub proven: Option<SocketAddr>,
    /// Where it was last asked for an answer, by which ping, and when.
    asked: Option<(SocketAddr, u32, Time)>,
}

impl Swim {
    /// A member's datagram of `length` bytes came from here. If that is not where it is spoken to, it is pinged there, once
    /// a period at most. What is said of it goes along, for it may have heard of that nowhere else.
    pub(super) fn look_at_source(&mut self, slot: Slot, from: SocketAddr, length: usize) {
        let (hosts, now, period) = (&self.hosts, self.now, self.params.period);
        // One that is known by hearsay alone, at a host that was sent so much that this node pings nobody there: now it may.
        let held_back = || !hosts.allows(from.ip(), DATAGRAM_BYTES_SURE, now, period);
        let asked = |peer: &&mut Peer| peer.address() != from || (!peer.met && held_back());
        let Some(peer) = self.members.get_mut(slot).filter(asked) else { return };
        let asked = peer.known.as_ref().and_then(|known| known.path.as_ref()?.asked);
        if asked.is_some_and(|(_, _, at)| now.since(at) < period) {
            return;
        }
        let key = peer.key;
        let seq = self.pings.add(Ping { target: key, to: from, sent: self.now, purpose: Purpose::Path });
        peer.known_mut().path.get_or_insert_default().asked = Some((from, seq, self.now));
        let mut encoder = self.begin_to(from, Some(slot), self.version_for(Some(slot)));
        encoder.message(&Message::Ping { seq, to: key, from: None });
        encoder.limit(length.min(DATAGRAM_BYTES_SURE).saturating_sub(self.seal.trailer_bytes()));
        self.put_first_updates(&mut encoder, Some(slot), None);
        self.put_updates(&mut encoder, Some(slot));
        self.finish(from, Some(slot), encoder);
    }

    /// A member has answered from an address that it was asked at.
    pub(super) fn on_path_answered(&mut self, slot: Slot, seq: u32, from: SocketAddr) {
        let Some(peer) = self.members.get_mut(slot) else { return };
        let told = peer.identity.gossip;
        let Some(path) = peer.known_mut().path.as_mut() else { return };
        if path.asked.is_some_and(|(address, ping, _)| (address, ping) == (from, seq)) {
            let before = std::mem::replace(&mut path.proven, (from != told).then_some(from));
            self.tell_elsewhere(slot, before);
        }
    }

    /// A member answers from elsewhere than it says, which is told unless it was before. A NAT that gives it one port after
    /// the other is told of once.
    pub(super) fn tell_elsewhere(&mut self, slot: Slot, before: Option<SocketAddr>) {
        let Some(peer) = self.members.get(slot) else { return };
        let heard_at = peer.address();
        let known = before.is_some_and(|before| before.ip() == heard_at.ip());
        if heard_at == peer.identity.gossip || known {
            return;
        }
        self.detail_version += 1;
        if let Some(member) = self.subject(slot) {
            self.event(Event::Elsewhere { member, heard_at });
        }
    }

    /// Where to send the next ping of a probe after so many that were not answered: now and then to where the member says
    /// that it is.
    pub(super) fn address_for(&self, slot: Slot, attempt: u8) -> Option<SocketAddr> {
        let peer = self.members.get(slot)?;
        Some(if attempt.is_multiple_of(3) { peer.identity.gossip } else { peer.address() })
    }
}
