//! Newcomers, until they have shown that they are where they speak from.
//!
//! Anyone can send a datagram, in any name and from any source address. So what comes from an address that is not known to
//! be its sender's changes nothing. It is answered, within three times its bytes (RFC 9000, section 8.1), and a sender
//! that introduces itself is pinged where it spoke from. The answer bears the number of that ping, which nobody can know
//! that is not there. With it the newcomer is a member.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Swim;
use super::receive::alive;
use crate::pings::{Ping, Purpose};
use crate::wire::{Datagram, Head, Message, Record, Subject};
use crate::{BootEpoch, Identity, NodeKey, Time};

/// Most newcomers that were asked and have not answered yet; beyond it the oldest make room.
pub(super) const STRANGERS_MAX: usize = 512;
/// The same at one address, whatever the ports.
const STRANGERS_PER_HOST_MAX: usize = 128;
/// An answer that comes later than this comes from nobody.
const STRANGER_AGE_MAX: Duration = Duration::from_secs(5);
/// Kept free in what a newcomer may be sent, for the ping.
pub(super) const MEETING_BYTES: usize = 96;

/// A newcomer that was asked.
#[derive(Debug)]
struct Stranger {
    key: NodeKey,
    /// Where it spoke from and was asked.
    address: SocketAddr,
    /// What it says of itself.
    identity: Arc<Identity>,
    at: Time,
}

/// Newcomers that were asked to show that they are where they speak from, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Strangers(Vec<Stranger>);

impl Strangers {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, stranger: Stranger) {
        let same = |other: &Stranger| other.key == stranger.key && other.address == stranger.address;
        self.0.retain(|other| !same(other) && stranger.at.since(other.at) <= STRANGER_AGE_MAX);
        let host = |other: &Stranger| other.address.ip() == stranger.address.ip();
        if self.0.iter().filter(|other| host(other)).count() >= STRANGERS_PER_HOST_MAX
            && let Some(oldest) = self.0.iter().position(host)
        {
            self.0.remove(oldest);
        } else if self.0.len() >= STRANGERS_MAX {
            self.0.remove(0);
        }
        self.0.push(stranger);
    }

    /// Whether this was asked there less than `time` ago.
    pub fn asked_within(&self, identity: &Identity, address: SocketAddr, now: Time, time: Duration) -> bool {
        let same = |other: &Stranger| other.address == address && *other.identity == *identity;
        self.0.iter().any(|other| same(other) && now.since(other.at) < time)
    }

    /// The one that was asked there, in this boot.
    fn take(&mut self, key: NodeKey, address: SocketAddr, boot: BootEpoch) -> Option<Arc<Identity>> {
        let asked =
            |other: &Stranger| other.key == key && other.address == address && other.identity.boot == boot;
        let place = self.0.iter().position(asked)?;
        Some(self.0.remove(place).identity)
    }
}

impl Swim {
    /// A datagram from an address that is not known to be its sender's.
    pub(super) fn on_unproven(&mut self, from: SocketAddr, length: usize, datagram: &Datagram<'_>) {
        let head = &datagram.head;
        let same_boot =
            |slot: &u32| self.members.get(*slot).is_some_and(|peer| peer.identity.boot == head.boot());
        let slot = self.members.find(head.from()).filter(same_boot);
        let stranger = self.is_stranger(head);
        match datagram.message {
            // The pinger knew who was here before: it hears of the newer boot, and may say who it is.
            Message::Ping { seq, to, from: None } if to == self.key && stranger => {
                self.send_within(from, None, &Message::Who { seq }, length, Some(self.key));
            }
            Message::Ping { seq, to, from: ref record } if to == self.key => {
                // The sender may not be who is known by this name: an older boot, or another node. It must hear of that.
                let other = slot.is_none() || self.is_elsewhere(slot, record.as_ref());
                let first = if stranger { Some(self.key) } else { other.then_some(head.from()) };
                // The rest is for a ping of this node.
                self.send_within(from, slot, &Message::Ack { seq }, 2 * length, first);
            }
            Message::Join { seq, .. } if slot.is_some() || stranger => self.welcome(from, length, seq),
            // An older boot of a member's name: it must hear of the newer one, and outbid it or give way.
            Message::Join { seq, .. } => {
                self.send_within(from, None, &Message::Welcome { seq }, length, Some(head.from()));
            }
            _ => {}
        }
        let introduced = introduction(datagram).and_then(Record::identity);
        if let Some(slot) = slot {
            let moved = introduced.is_some_and(|said| self.ask_moved(slot, from, said, head.incarnation()));
            if !moved {
                self.look_at_source(slot, from, self.room_for_source());
            }
        } else if let Some(identity) = introduced.filter(|_| stranger) {
            self.ask_newcomer(from, identity);
        }
    }

    /// Whether nothing is known of this boot of a member, and of none after it.
    fn is_stranger(&self, head: &Head) -> bool {
        self.members.by_key(head.from()).is_none_or(|peer| peer.identity.boot < head.boot())
    }

    /// Pings a newcomer where it spoke from, or where others say that it is.
    pub(super) fn ask_newcomer(&mut self, at: SocketAddr, identity: Identity) {
        let key = NodeKey::of(&identity.name);
        let ping = Ping { target: key, to: at, sent: self.now, purpose: Purpose::Meet };
        let seq = self.pings.add(ping);
        let spoken = self.me.versions.common(identity.versions).unwrap_or(self.me.versions.oldest());
        let mut encoder = self.begin_to(at, None, spoken);
        encoder.message(&Message::Ping { seq, to: key, from: None });
        self.strangers.add(Stranger { key, address: at, identity: Arc::new(identity), at: self.now });
        self.finish(at, None, encoder);
    }

    /// A newcomer has answered, whatever: it is where it spoke from, and so it is a member.
    pub(super) fn on_newcomer_answered(&mut self, seq: u32, head: &Head) {
        let asked = |ping: &Ping| ping.purpose == Purpose::Meet && ping.target == head.from();
        let Some(ping) = self.pings.get(seq).filter(asked) else { return };
        let Some(identity) = self.strangers.take(ping.target, ping.to, head.boot()) else { return };
        self.pings.take(seq);
        if !self.hosts.admits(ping.to.ip(), self.now, self.params.period) {
            return;
        }
        self.learn_move(&identity, head);
        self.learn(&alive(Subject::Full(Record::from(&*identity)), head), true);
        let Some(slot) = self.members.find(ping.target) else { return };
        if self.members.get(slot).is_none_or(|peer| peer.identity.boot != head.boot()) {
            return;
        }
        self.proved(slot, ping.to);
        self.measured_by(slot, &ping);
    }
}

/// What the sender of a datagram says of itself, if it does.
pub(super) fn introduction<'a, 'b>(datagram: &'b Datagram<'a>) -> Option<&'b Record<'a>> {
    let head = &datagram.head;
    let said = match &datagram.message {
        Message::Ping { from: Some(record), .. } | Message::Join { from: record, .. } => Some(record),
        _ => None,
    };
    let live = datagram.lists.updates.iter().filter(|update| update.state.is_live());
    let told = live.filter_map(|update| match &update.subject {
        Subject::Full(record) => Some(record),
        Subject::Key(..) => None,
    });
    let mine = |record: &&Record<'_>| record.boot() == head.boot() && record.key() == head.from();
    said.into_iter().chain(told).find(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_few_from_one_address_and_from_all_and_forgotten_in_seconds() {
        let identity = Arc::new(crate::Identity {
            name: "a".parse().unwrap(),
            boot: BootEpoch(1),
            gossip: ([10, 0, 0, 1], 5000).into(),
            http_port: 5000,
            zone: "z".parse().unwrap(),
            capacity_jobs: 2,
            versions: crate::Versions::SPOKEN,
        });
        let at = |second: u64| Time::from_micros(second * 1_000_000);
        let stranger = |key: u64, host: u16, second: u64| {
            let [high, low] = host.to_be_bytes();
            let address = SocketAddr::from(([10, 0, high, low], 1000 + key as u16));
            Stranger { key: NodeKey(key), address, identity: identity.clone(), at: at(second) }
        };
        let mut strangers = Strangers::default();
        for key in 0..1_000 {
            strangers.add(stranger(key, 1, 0));
        }
        assert_eq!(strangers.len(), STRANGERS_PER_HOST_MAX);
        for host in 2..1_000 {
            strangers.add(stranger(1, host, 1));
        }
        assert_eq!(strangers.len(), STRANGERS_MAX);
        // The same again takes no more room.
        strangers.add(stranger(1, 999, 1));
        assert_eq!(strangers.len(), STRANGERS_MAX);
        let last = stranger(1, 999, 1).address;
        assert!(strangers.take(NodeKey(1), last, BootEpoch(2)).is_none(), "another boot was asked");
        assert!(strangers.take(NodeKey(1), last, BootEpoch(1)).is_some());
        assert!(strangers.take(NodeKey(1), last, BootEpoch(1)).is_none(), "once");
        strangers.add(stranger(1, 1, 7));
        assert_eq!(strangers.len(), 1);
    }
}
