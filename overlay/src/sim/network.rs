//! What happens to datagrams between the nodes.

use std::net::SocketAddr;

use rand::Rng;
use starling_netem::{Fate, Link};

use super::World;
use super::world::{LINKS_KEPT, Node, What};
use crate::Time;

impl World {
    /// A machine whose node is down says so to whoever sent it a datagram.
    pub(super) fn refused(&mut self, by: usize, to: SocketAddr) {
        let Some(&node) = self.by_address.get(&to).filter(|_| self.refuses) else { return };
        let address = self.nodes[by].address;
        if let Fate::Arrives { at, .. } = self.travel(by, node, 64) {
            self.schedule(Time::ZERO + at, What::Refused { node, address });
        }
    }

    /// Puts a datagram off until its receiver runs again.
    pub(super) fn put_off(
        &mut self,
        to: usize,
        what: impl FnOnce(Vec<u8>) -> What,
        bytes: &mut Vec<u8>,
    ) -> bool {
        let Node { paused, held, .. } = self.nodes[to];
        let resumed = paused.max(held);
        if resumed <= self.now {
            return false;
        }
        self.fired.put_off += u64::from(paused > self.now);
        self.fired.held += u64::from(held > self.now);
        let what = what(std::mem::take(bytes));
        self.schedule(resumed, what);
        true
    }

    pub(super) fn send(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        if self.nodes[from].held > self.now {
            self.fired.held += 1;
            self.schedule(self.nodes[from].held, What::Send { from, to, bytes });
            return;
        }
        let Some(&target) = self.by_address.get(&to) else { return };
        let cut =
            self.nodes[from].island != self.nodes[target].island || self.blocked.contains(&(from, target));
        self.fired.blocked += u64::from(cut);
        let fate = if cut { Fate::Lost } else { self.travel(from, target, bytes.len()) };
        let Fate::Arrives { at, twice } = fate else {
            self.fired.lost += u64::from(!cut);
            self.spare.push(bytes);
            return;
        };
        let source = self.nodes[from].address;
        let at = Time::ZERO + at + self.nodes[target].slow;
        if twice {
            self.fired.duplicated += 1;
            self.schedule(at, What::Deliver { to: target, from: source, bytes: bytes.clone() });
        }
        let damaged = self.corrupt > 0.0 && self.rng.random_bool(self.corrupt);
        let bytes = if damaged { self.damage(bytes) } else { bytes };
        self.schedule(at, What::Deliver { to: target, from: source, bytes });
    }

    fn travel(&mut self, from: usize, to: usize, length: usize) -> Fate {
        let profile = self.topology.links[self.nodes[from].zone][self.nodes[to].zone];
        let now = self.now.since(Time::ZERO);
        // Most links have no memory: nothing is kept of them, so that 10^8 of them fit.
        let keeps_order = !profile.jitter.is_zero() || profile.rate.is_some() || profile.bursts();
        if keeps_order {
            if self.links.len() >= self.links_swept_at {
                self.links.retain(|_, link| !link.is_idle(now));
                self.links_swept_at = (self.links.len() * 2).max(LINKS_KEPT);
            }
            let link = self.links.entry((from, to)).or_insert_with(|| Link::new(profile));
            link.send(now, length as u32, &mut self.rng)
        } else {
            Link::new(profile).send(now, length as u32, &mut self.rng)
        }
    }

    fn damage(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        self.fired.corrupted += 1;
        let place = self.rng.random_range(0..bytes.len());
        if self.rng.random_bool(0.5) {
            bytes[place] ^= 1 << self.rng.random_range(0..8);
        } else {
            bytes.truncate(place);
        }
        bytes
    }
}
