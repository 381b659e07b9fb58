//! What happens to datagrams between the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use starling_netem::{Fate, Link};

use super::World;
use super::nodes::Node;
use super::world::{LINKS_KEPT, Letter, Lookup, What};
use crate::{DATAGRAM_BYTES_MAX, Time};

/// What is wrong with the network, beyond what its links do.
#[derive(Default)]
pub(super) struct Network {
    /// Directions in which nothing gets through.
    pub blocked: BTreeSet<(usize, usize)>,
    /// Directions that are up for this long, then down for as long.
    pub flapping: BTreeMap<(usize, usize), Duration>,
    /// Directions in which larger datagrams vanish.
    pub holes: BTreeMap<(usize, usize), usize>,
    /// How much longer every datagram takes.
    pub delay: Duration,
    /// Part of the datagrams that is held back.
    pub late: f64,
    /// Part of the datagrams that arrives damaged.
    pub corrupt: f64,
    /// Part of the datagrams that is delivered again, much later.
    pub replay: f64,
    /// Ports that NATs have given so far.
    pub nat_ports: u16,
    /// Addresses that a NAT has given up.
    pub given_up: BTreeSet<SocketAddr>,
    /// By direction, when the datagram arrives that arrives last, while any may overtake.
    latest: Lookup<(usize, usize), Time>,
}

/// Datagrams held back wait for up to so long.
const LATE_MAX: Duration = Duration::from_millis(500);
/// Replays come after so many milliseconds.
const REPLAY_MS: std::ops::Range<u64> = 1_000..120_000;
/// Delays from here on are longer than any timeout of the `lan` timing.
const DELAYED_FROM: Duration = Duration::from_millis(500);
/// A share below this may well hit nothing.
const SHARE_SEEN: f64 = 0.02;

impl World {
    /// A machine whose node is down says so to whoever sent it a datagram.
    pub(super) fn refused(&mut self, by: usize, to: SocketAddr) {
        let Some(&node) = self.by_address.get(&to).filter(|_| self.refuses) else { return };
        let address = self.nodes[by].address;
        if let Fate::Arrives { at, .. } = self.travel(by, node, 64) {
            self.schedule(Time::ZERO + at, What::Refused { node, address });
        }
    }

    /// Puts a datagram off until its receiver runs again; gives it back if it does.
    pub(super) fn put_off(&mut self, to: usize, letter: Letter) -> Option<Letter> {
        let Node { paused, held, .. } = self.nodes[to];
        let resumed = paused.max(held);
        if resumed <= self.now {
            return Some(letter);
        }
        self.fired.put_off += u64::from(paused > self.now);
        self.fired.held += u64::from(held > self.now);
        self.schedule(resumed, What::Deliver { to, letter });
        None
    }

    /// Whether a receiver's socket has room for one more datagram; it has none if too many came at once.
    pub(super) fn takes_in(&mut self, to: usize) -> bool {
        let Some((most, every)) = self.nodes[to].buffer else { return true };
        let (since, taken) = &mut self.nodes[to].taken;
        if self.now.since(*since) >= every {
            (*since, *taken) = (self.now, 0);
        }
        *taken += 1;
        let fits = *taken <= most;
        self.met.overflowed += 1;
        self.fired.overflowed += u64::from(!fits);
        fits
    }

    pub(super) fn send(&mut self, from: usize, to: SocketAddr, bytes: Vec<u8>) {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            self.truth.oversized();
        }
        if self.nodes[from].held > self.now {
            self.fired.held += 1;
            self.schedule(self.nodes[from].held, What::Send { from, to, bytes });
            return;
        }
        let Some(&target) = self.by_address.get(&to) else {
            self.fired.misdirected += u64::from(self.network.given_up.contains(&to));
            self.spare.push(bytes);
            return;
        };
        self.meet(from, target, bytes.len());
        let stopped = self.is_stopped(from, target, bytes.len());
        let is_rebound = self.nodes[from].source != self.nodes[from].address;
        self.met.rebound += u64::from(is_rebound && !stopped);
        let fate = if stopped { Fate::Lost } else { self.travel(from, target, bytes.len()) };
        let Fate::Arrives { at, twice } = fate else {
            self.fired.lost += u64::from(!stopped);
            self.spare.push(bytes);
            return;
        };
        let mut letter = Letter { sender: from, sent: self.now, from: self.nodes[from].source, bytes };
        self.fired.rebound += u64::from(is_rebound);
        let at = self.arrival(from, target, Time::ZERO + at);
        self.fired.slowed += u64::from(!self.nodes[target].slow.is_zero());
        if twice {
            self.fired.duplicated += 1;
            self.schedule(at, What::Deliver { to: target, letter: letter.clone() });
        }
        if self.network.replay > 0.0 && self.rng.random_bool(self.network.replay) {
            let later = at + Duration::from_millis(self.rng.random_range(REPLAY_MS));
            let boots = self.nodes[target].boots;
            self.schedule(later, What::Replay { to, boots, letter: letter.clone() });
        }
        let damaged = self.network.corrupt > 0.0 && self.rng.random_bool(self.network.corrupt);
        if damaged {
            letter.bytes = self.damage(letter.bytes);
        }
        self.schedule(at, What::Deliver { to: target, letter });
    }

    /// Counts which faults this datagram meets, by what they are meant to do.
    fn meet(&mut self, from: usize, to: usize, bytes: usize) {
        let link = self.topology.links[self.nodes[from].zone][self.nodes[to].zone];
        let (met, network) = (&mut self.met, &self.network);
        met.lost += u64::from(link.loss >= SHARE_SEEN);
        met.duplicated += u64::from(link.duplicate >= SHARE_SEEN);
        met.blocked += u64::from(
            self.nodes[from].island != self.nodes[to].island || network.blocked.contains(&(from, to)),
        );
        met.delayed += u64::from(network.delay >= DELAYED_FROM);
        met.corrupted += u64::from(network.corrupt >= SHARE_SEEN);
        met.swallowed += u64::from(network.holes.get(&(from, to)).is_some_and(|most| bytes > *most));
        met.flapped += u64::from(network.flapping.contains_key(&(from, to)));
        met.slowed += u64::from(!self.nodes[to].slow.is_zero());
        met.put_off += u64::from(self.nodes[to].paused > self.now && self.nodes[to].swim.is_some());
    }

    /// Whether something lets nothing, or nothing so large, through in this direction now.
    fn is_stopped(&mut self, from: usize, to: usize, bytes: usize) -> bool {
        let direction = (from, to);
        if self.nodes[from].island != self.nodes[to].island || self.network.blocked.contains(&direction) {
            self.fired.blocked += 1;
            return true;
        }
        let elapsed = self.now.since(Time::ZERO).as_micros();
        let is_down = |time: &Duration| !(elapsed / time.as_micros().max(1)).is_multiple_of(2);
        if self.network.flapping.get(&direction).is_some_and(is_down) {
            self.fired.flapped += 1;
            return true;
        }
        if self.network.holes.get(&direction).is_some_and(|most| bytes > *most) {
            self.fired.swallowed += 1;
            return true;
        }
        false
    }

    /// When a datagram arrives that a link alone would deliver `at` this time.
    fn arrival(&mut self, from: usize, to: usize, at: Time) -> Time {
        let mut at = at + self.nodes[to].slow + self.network.delay;
        self.fired.delayed += u64::from(self.network.delay >= DELAYED_FROM);
        let overtaking = self.topology.links[self.nodes[from].zone][self.nodes[to].zone].reorder > 0.0;
        if self.network.late <= 0.0 && !overtaking {
            return at;
        }
        if self.network.late > 0.0 && self.rng.random_bool(self.network.late) {
            at = at + LATE_MAX.mul_f64(self.rng.random_range(0.0..1.0));
        }
        let latest = self.network.latest.entry((from, to)).or_insert(Time::ZERO);
        self.met.reordered += 1;
        self.fired.reordered += u64::from(at < *latest);
        *latest = at.max(*latest);
        at
    }

    /// Delivers an old datagram to whoever is at its address now.
    pub(super) fn replay(&mut self, to: SocketAddr, boots: u64, letter: Letter) {
        let Some(&target) = self.by_address.get(&to) else { return };
        if self.is_stopped(letter.sender, target, letter.bytes.len()) || !self.is_up(target) {
            return;
        }
        self.fired.replayed += 1;
        self.fired.replayed_after_restart += u64::from(self.nodes[target].boots != boots);
        self.schedule(self.now, What::Deliver { to: target, letter });
    }

    /// Mends all partitions and directions in which nothing gets through.
    pub fn heal(&mut self) {
        self.network.blocked.clear();
        for node in &mut self.nodes {
            node.island = 0;
        }
    }

    /// The network is as it was built.
    pub(super) fn calm(&mut self) {
        let before = std::mem::take(&mut self.network);
        self.network.nat_ports = before.nat_ports;
        self.network.given_up = before.given_up;
        self.topology = self.built.clone();
        self.links.clear();
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
