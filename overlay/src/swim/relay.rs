//! Pings for others (SWIM's ping-req), and their answers.

use super::Swim;
use crate::members::{Peer, Slot};
use crate::pings::Purpose;
use crate::wire::{Head, Message, Subject, Update};
use crate::{BootEpoch, Incarnation, MemberState, NodeKey, Time};

/// Most pings for others at once.
pub(super) const RELAYS_MAX: usize = 256;

/// A ping for another member that has not been answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    pub nack_at: Time,
    /// Number of this node's ping.
    ping: u32,
    origin: NodeKey,
    /// Number that the origin knows it by.
    seq: u32,
}

impl Swim {
    /// Only members are served, and only members are pinged for them.
    pub(super) fn on_ping_req(&mut self, sender: Option<Slot>, seq: u32, target: NodeKey) {
        let Some(from) = sender else { return };
        let Some((origin, back)) = self.members.get(from).map(|peer| (peer.key, peer.address())) else {
            return;
        };
        let Some(slot) = self.members.find(target) else { return };
        let Some(to) = self.members.get(slot).map(Peer::address) else { return };
        if self.is_overloaded() {
            // That it has no answer can be said at once: others may have time to look for one.
            self.stats.relays_shed += 1;
            self.send(back, Some(from), &Message::Nack { seq });
            return;
        }
        if self.relays.len() >= RELAYS_MAX {
            return;
        }
        let ping = self.ping(slot, target, to, Purpose::Relay { origin, seq });
        let nack_at = self.now + self.timeout_of(slot);
        let place = self.relays.partition_point(|relay| relay.nack_at <= nack_at);
        self.relays.insert(place, Relay { nack_at, ping, origin, seq });
    }

    /// What was ping `before` is `now` another one.
    pub(super) fn relays_ping_again(&mut self, before: u32, now: u32) {
        for relay in self.relays.iter_mut().filter(|relay| relay.ping == before) {
            relay.ping = now;
        }
    }

    pub(super) fn run_relays(&mut self) {
        while let Some(relay) = self.relays.front().copied().filter(|relay| relay.nack_at <= self.now) {
            self.relays.pop_front();
            let Some(origin) = self.members.find(relay.origin) else { continue };
            let Some(to) = self.members.get(origin).map(Peer::address) else { continue };
            if self.pings.get(relay.ping).is_some() {
                self.send(to, Some(origin), &Message::Nack { seq: relay.seq });
            }
        }
    }

    /// A member pinged for another one answered, in time or not.
    pub(super) fn pass_on_ack(&mut self, origin: NodeKey, seq: u32, head: &Head) {
        let Some(slot) = self.members.find(origin) else { return };
        let Some(to) = self.members.get(slot).map(Peer::address) else { return };
        let (target, boot, incarnation) = (head.from(), head.boot(), head.incarnation());
        self.send(to, Some(slot), &Message::Relayed { seq, target, boot, incarnation });
    }

    /// Someone that was asked to ping got an answer.
    pub(super) fn on_relayed(
        &mut self,
        via: NodeKey,
        seq: u32,
        target: NodeKey,
        boot: BootEpoch,
        incarnation: Incarnation,
    ) {
        let Some(asked) = self.pings.get(seq).filter(|ping| ping.target == target) else { return };
        if !matches!(asked.purpose, Purpose::Probe { .. }) {
            return;
        }
        let subject = Subject::Key(target, boot);
        self.learn(&Update { subject, incarnation, state: MemberState::Alive, by: None }, false);
        let Some(slot) = self.members.find(target) else { return };
        if self.members.get(slot).is_some_and(|peer| peer.identity.boot == boot) {
            self.members.meet(slot);
            let Some(peer) = self.members.get_mut(slot) else { return };
            let known = peer.known_mut();
            if known.heard.is_none_or(|(at, _)| at < asked.sent) {
                known.via = Some((via, self.now.since(asked.sent)));
                self.relayed_by = Some(via);
            }
            self.on_probe_answered(slot, None);
        }
    }

    pub(super) fn on_nack(&mut self, seq: u32) {
        if let Some(slot) = self.pings.get(seq).and_then(|ping| self.members.find(ping.target)) {
            self.on_nack_for(slot);
        }
    }
}
