//! Coming and going.

use std::net::SocketAddr;

use rand::seq::SliceRandom;

use super::strangers::MEETING_BYTES;
use super::{Output, Phase, Swim, Timer};
use crate::members::Peer;
use crate::pings::{Ping, Purpose};
use crate::wire::{DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_SURE, Encoder, Message};
use crate::{MemberState, NodeKey};

/// Most addresses that one look at the seeds tries.
const SEED_ADDRESSES_MAX: usize = 32;
/// Addresses of forgotten members that are remembered.
pub(super) const LOST_MAX: usize = 64;
/// Tries to reach one's own seeds although others are known by now: about 2 T in all. When all nodes start at once, each in
/// a ring knows who came to it before its own seed is up; without these tries the ring would be islands until the
/// next look at the seeds.
const KNOCKS_MAX: u32 = 9;
/// Datagrams of a welcome, so that it is no more than three times as large as the join (QUIC's rule, RFC 9000, 8.1).
const WELCOME_DATAGRAMS_MAX: usize = 3;
/// How often a leaving node tells [`LEAVE_FANOUT`] members.
const LEAVE_ROUNDS: u8 = 3;
const LEAVE_FANOUT: usize = 16;

impl Swim {
    pub(super) fn on_join_retry(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.outputs.push_back(Output::Resolve);
        if self.members.live() == 0 || self.join_tries < KNOCKS_MAX {
            self.timers.set(Timer::Join, self.now + self.params.join_retry(self.join_tries));
        }
        self.join_tries = self.join_tries.saturating_add(1);
    }

    pub(super) fn on_look_at_seeds(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        if self.has_seeds {
            self.outputs.push_back(Output::Resolve);
        }
        self.look_for_the_lost();
        if self.has_seeds || !self.lost.is_empty() {
            self.timers.set(Timer::Seeds, self.now + self.params.seeds_interval());
        }
    }

    /// Asks every seed that is not a live member yet to take this node in: to join, or to find the members that a
    /// partition has hidden for so long that they were forgotten. Of more than [`SEED_ADDRESSES_MAX`] so many at a time, in
    /// turn.
    pub(super) fn on_seeds(&mut self, addresses: &[SocketAddr], purpose: Purpose) {
        if self.phase != Phase::Running {
            return;
        }
        let turn = self.knocks;
        self.knocks = turn.wrapping_add(1);
        // Every other time small, for paths that take no large ones.
        let padded = (turn / self.me.versions.count()).is_multiple_of(2);
        let first = self.seeds_from % addresses.len().max(1);
        let mut strangers = 0;
        for (place, address) in addresses.iter().enumerate().cycle().skip(first).take(addresses.len()) {
            if *address == self.me.gossip || self.is_member_at(*address) {
                continue;
            }
            if strangers == SEED_ADDRESSES_MAX {
                self.seeds_from = place;
                break;
            }
            strangers += 1;
            self.ask_to_join(*address, turn, padded, purpose);
        }
        if strangers == 0 && !addresses.is_empty() && self.members.live() > 0 {
            self.stop_knocking();
        }
    }

    /// Sends a join, which is tried in each of this node's versions in turn.
    fn ask_to_join(&mut self, address: SocketAddr, turn: u32, padded: bool, purpose: Purpose) {
        let ping = Ping { target: NodeKey(0), to: address, sent: self.now, purpose };
        let seq = self.pings.add(ping);
        let me = self.me.clone();
        let version = me.versions.in_turn(turn);
        let mut encoder = match purpose {
            Purpose::Return => self.begin_to_former(version),
            _ => self.begin_to(address, None, version),
        };
        encoder.message(&Message::Join { seq, from: (&*me).into() });
        if padded {
            encoder.pad();
        }
        let (to_join, bytes) = (encoder.purpose(), encoder.finish(&self.seal));
        self.put_out(address, to_join, bytes);
    }

    /// A dead member is forgotten, but not where it was: behind a partition it may live on, and have forgotten this node,
    /// too.
    pub(super) fn lose(&mut self, address: SocketAddr) {
        self.lost.retain(|other| *other != address);
        if self.lost.len() == LOST_MAX {
            self.lost.pop_front();
        }
        self.lost.push_back(address);
        self.timers.set_by(Timer::Seeds, self.now + self.params.seeds_interval());
    }

    /// Asks the next one of the lost whether it is there again; whoever has come back is not lost.
    fn look_for_the_lost(&mut self) {
        for _ in 0..self.lost.len() {
            let Some(address) = self.lost.pop_front() else { return };
            if address != self.me.gossip && !self.is_member_at(address) {
                self.lost.push_back(address);
                let turn = self.knocks;
                self.knocks = turn.wrapping_add(1);
                return self.ask_to_join(address, turn, false, Purpose::Return);
            }
        }
    }

    pub(super) fn stop_knocking(&mut self) {
        self.timers.clear(Timer::Join);
        self.join_tries = 0;
    }

    /// Whether a live member has this address. Seeds are looked at often and members are many: who was found there last
    /// is remembered.
    fn is_member_at(&mut self, address: SocketAddr) -> bool {
        let lives_there = |peer: &Peer| peer.is_live() && peer.identity.gossip == address;
        let last = self.seen_at.get(&address).and_then(|key| self.members.by_key(*key));
        if last.is_some_and(lives_there) {
            return true;
        }
        let found = self.peers().find(|peer| lives_there(peer)).map(|peer| peer.key);
        if let Some(key) = found {
            if self.seen_at.len() >= SEED_ADDRESSES_MAX {
                self.seen_at.clear();
            }
            self.seen_at.insert(address, key);
        }
        found.is_some()
    }

    /// Someone is known: look now and then whether a seed is still a stranger.
    pub(super) fn joined(&mut self) {
        self.in_company();
        if self.has_seeds {
            self.timers.set_by(Timer::Seeds, self.now + self.params.seeds_interval());
        }
    }

    /// The last other member is gone.
    pub(super) fn alone_again(&mut self) {
        if self.members.live() == 0 {
            self.timers.clear(Timer::Settle);
        }
        if self.members.live() == 0 && self.has_seeds {
            self.join_tries = 0;
            self.timers.set_by(Timer::Join, self.now + self.params.join_retry(0));
        }
    }

    /// Takes a node in: sends it the live members, itself first.
    pub(super) fn welcome(&mut self, to: SocketAddr, length: usize, seq: u32) {
        let mut keys: Vec<NodeKey> =
            self.peers().filter(|peer| peer.is_live()).map(|peer| peer.key).collect();
        keys.shuffle(&mut self.rng);
        // They are taken from the end: this node, then those that it has met.
        keys.sort_by_key(|key| self.members.by_key(*key).is_none_or(|peer| peer.met));
        keys.push(self.key);
        let (datagrams, room) = if length >= DATAGRAM_BYTES_MAX {
            (WELCOME_DATAGRAMS_MAX, length)
        } else {
            (1, (WELCOME_DATAGRAMS_MAX * length).min(DATAGRAM_BYTES_SURE))
        };
        for datagram in 0..datagrams {
            if datagram > 0 && keys.is_empty() {
                break;
            }
            let room = room.min(self.room_for_source().saturating_sub(MEETING_BYTES));
            let mut encoder = self.begin_to(to, None, self.version_for(None));
            encoder.message(&Message::Welcome { seq });
            encoder.limit(room.saturating_sub(self.seal.trailer_bytes()));
            self.put_members(&mut encoder, &mut keys);
            self.finish(to, None, encoder);
        }
    }

    /// Takes members off the end of `keys` for as long as they fit.
    pub(super) fn put_members(&self, encoder: &mut Encoder, keys: &mut Vec<NodeKey>) {
        while let Some(key) = keys.last() {
            if let Some(update) = self.update_about(*key, true)
                && !encoder.update(&update)
            {
                break;
            }
            keys.pop();
        }
    }

    pub(super) fn leave(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Leaving { rounds: LEAVE_ROUNDS };
        self.probes.clear();
        self.suspicions.clear();
        self.gossip.push(self.key);
        self.timers.set(Timer::Leave, self.now);
        for timer in [Timer::Join, Timer::Seeds, Timer::Measure, Timer::Converge, Timer::Conflict] {
            self.timers.clear(timer);
        }
    }

    pub(super) fn on_leave_round(&mut self) {
        let Phase::Leaving { rounds } = self.phase else { return };
        if rounds == 0 || self.members.live() == 0 {
            self.phase = Phase::Gone;
            self.outputs.push_back(Output::Gone);
            return;
        }
        self.gossip.push(self.key);
        for slot in self.pick_live(LEAVE_FANOUT, None) {
            let Some(to) = self.members.get(slot).map(Peer::address) else { continue };
            self.send(to, Some(slot), &Message::News);
        }
        self.phase = Phase::Leaving { rounds: rounds - 1 };
        self.timers.set(Timer::Leave, self.now + self.params.gossip_interval() / 2);
    }

    /// What this node is in the eyes of the cluster.
    pub fn state(&self) -> MemberState {
        if self.phase == Phase::Running { MemberState::Alive } else { MemberState::Left }
    }
}
