//! The simulated machines: what can be done to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::World;
use super::cpu::Desk;
use super::world::What;
use crate::{BootEpoch, Config, Identity, Incarnation, Input, NodeKey, Swim, Time, Timing, Versions};

/// One simulated machine.
pub(super) struct Node {
    pub(super) config: Config,
    /// Where it says that it is.
    pub(super) address: SocketAddr,
    /// Where its datagrams come from: another port, if a NAT says so.
    pub(super) source: SocketAddr,
    pub(super) zone: usize,
    /// None while it is down.
    pub(super) swim: Option<Swim>,
    /// What comes in before this time waits until then: the process is stopped.
    pub(super) paused: Time,
    /// Until then it neither sends nor reads anything, though its timers run.
    pub(super) held: Time,
    /// The earliest timer in the queue.
    pub(super) timer: Time,
    pub(super) boots: u64,
    pub(super) island: u32,
    /// How long each datagram waits before it is looked at: a receiver that is slow, with punctual timers.
    pub(super) slow: Duration,
    /// Datagrams that its socket takes in this time.
    pub(super) buffer: Option<(u32, Duration)>,
    /// Those taken since this time.
    pub(super) taken: (Time, u32),
    /// Starved of CPU: for how long at most it is stopped, and for how long it then runs.
    pub(super) starved: Option<(Duration, Duration)>,
    /// CPU time that it takes for each datagram that it reads or sends; zero: none.
    pub(super) cost: Duration,
    pub(super) desk: Desk,
    /// The last that it said of itself.
    pub(super) word: (BootEpoch, Incarnation),
}

/// Address of the machine with this index.
pub(crate) fn address_of(index: usize) -> SocketAddr {
    let [_, a, b, c] = (index as u32 + 1).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), 5000)
}

fn name_of(index: usize) -> String {
    format!("node{}", index + 1)
}

/// Ports that a NAT gives.
const NAT_PORT_FIRST: u16 = 20_000;

impl World {
    /// A world of `count` nodes, spread over the zones in turn, each with the next one as its only seed (a ring). Seeds
    /// are names of machines, which are resolved to where the machine is at the time.
    pub fn ring(topology: super::Topology, seed: u64, count: usize, timing: Timing) -> Self {
        let mut world = Self::new(topology, seed);
        for index in 0..count {
            let seeds = if count > 1 { vec![name_of((index + 1) % count)] } else { Vec::new() };
            world.add(timing, seeds);
        }
        world
    }

    /// Adds a machine; its node is not running yet.
    pub fn add(&mut self, timing: Timing, seeds: Vec<String>) -> usize {
        let index = self.nodes.len();
        let zone = index % self.topology.zones.len();
        let address = address_of(index);
        let identity = Identity {
            name: name_of(index).parse().expect("a valid name"),
            boot: BootEpoch(0),
            gossip: address,
            http_port: address.port(),
            zone: self.topology.zones[zone].parse().expect("zones have valid names"),
            capacity_jobs: 2,
            versions: Versions::SPOKEN,
        };
        let mut config = Config::new(identity);
        config.timing = timing;
        config.seeds = seeds;
        self.by_address.insert(address, index);
        self.nodes.push(Node {
            config,
            address,
            source: address,
            zone,
            swim: None,
            paused: Time::ZERO,
            held: Time::ZERO,
            timer: Time::NEVER,
            boots: 0,
            island: 0,
            slow: Duration::ZERO,
            buffer: None,
            taken: (Time::ZERO, 0),
            starved: None,
            cost: Duration::ZERO,
            desk: Desk::default(),
            word: (BootEpoch(0), Incarnation(0)),
        });
        index
    }

    /// Starts a node, or starts it again, as a newer boot.
    pub fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.config.identity.boot = BootEpoch(1_000_000 + self.now.as_micros() / 1000 + node.boots);
        self.boot(index);
    }

    /// Starts a node with whatever boot epoch its configuration has.
    pub fn boot(&mut self, index: usize) {
        self.kill(index);
        let seed = self.rng.random();
        let node = &mut self.nodes[index];
        node.boots += 1;
        node.config.identity.gossip = node.address;
        node.swim = Some(Swim::new(&node.config, seed, self.now));
        node.timer = Time::NEVER;
        node.paused = Time::ZERO;
        node.held = Time::ZERO;
        node.desk = Desk::default();
        node.word = (BootEpoch(0), Incarnation(0));
        self.input(index, Input::Timeout);
    }

    /// Starts all nodes that are down.
    pub fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].swim.is_none() {
                self.start(index);
            }
        }
    }

    /// A world of `count` nodes that have all known each other for long.
    pub fn warm(topology: super::Topology, seed: u64, count: usize, timing: Timing) -> Self {
        let mut world = Self::ring(topology, seed, count, timing);
        world.start_warm();
        world
    }

    /// Starts all nodes of a new world as such that have all known each other for long.
    pub(super) fn start_warm(&mut self) {
        let mut identities: Vec<_> = self
            .nodes
            .iter_mut()
            .map(|node| {
                node.boots = 1;
                node.config.identity.boot = BootEpoch(1_000_000);
                let identity = Arc::new(node.config.identity.clone());
                (NodeKey::of(&identity.name), identity)
            })
            .collect();
        identities.sort_unstable_by_key(|(key, _)| *key);
        let part = |(key, identity): &(NodeKey, Arc<Identity>)| key.live_part(identity.boot);
        let digest = identities.iter().map(part).fold(0, |digest, part| digest ^ part);
        for index in 0..self.nodes.len() {
            let seed = self.rng.random();
            let mut swim = Swim::new(&self.nodes[index].config, seed, self.now);
            swim.know_all(&identities, digest);
            self.nodes[index].swim = Some(swim);
            self.note_word(index);
            self.act(index);
        }
    }

    /// Kills a node: it is gone without a word.
    pub fn kill(&mut self, index: usize) {
        if let Some(swim) = self.nodes[index].swim.take() {
            // It is kept on disk.
            self.nodes[index].config.cluster_identity = swim.cluster();
            self.truth.ended(swim.key(), self.nodes[index].word.0, self.now);
        }
    }

    /// Stops a node's process for a while (SIGSTOP); what arrives meanwhile waits in its socket.
    pub fn pause(&mut self, index: usize, time: Duration) {
        self.nodes[index].paused = self.now + time;
    }

    /// Starves a node of CPU: stops it for up to the first time, lets it run for the second, over and over.
    pub fn starve(&mut self, index: usize, stopped: Duration, free: Duration) {
        let already = self.nodes[index].starved.replace((stopped, free));
        if already.is_none() {
            self.schedule(self.now, What::Starve(index));
        }
    }

    pub(super) fn starve_again(&mut self, index: usize) {
        let Some((stopped, free)) = self.nodes[index].starved else { return };
        let stopped = stopped.mul_f64(self.rng.random_range(0.05..1.0));
        self.fired.starved += u64::from(self.is_up(index));
        self.pause(index, stopped);
        self.schedule(self.now + stopped + free, What::Starve(index));
    }

    /// Lets a node neither send nor read anything for a while, though its timers run: what it sends meanwhile goes out at
    /// the end, what comes in is read then (Lifeguard's anomaly).
    pub fn hold(&mut self, index: usize, time: Duration) {
        self.nodes[index].held = self.now + time;
    }

    /// Lets a node look at each datagram only after it has lain around for a while.
    pub fn slow_down(&mut self, index: usize, by: Duration) {
        self.nodes[index].slow = by;
    }

    /// Asks a node to leave.
    pub fn leave(&mut self, index: usize) {
        if let Some(swim) = &self.nodes[index].swim {
            self.truth.left(swim.key(), self.nodes[index].word.0);
        }
        self.input(index, Input::Leave);
    }

    /// Moves a machine to another address; its node must be down.
    pub fn readdress(&mut self, index: usize, address: SocketAddr) {
        self.bind_back(index);
        let old = std::mem::replace(&mut self.nodes[index].address, address);
        self.nodes[index].source = address;
        if self.by_address.get(&old) == Some(&index) {
            self.by_address.remove(&old);
        }
        self.by_address.insert(address, index);
    }

    /// The NAT before a machine lets its datagrams come from another port from now on.
    pub fn rebind(&mut self, index: usize, keeps_old: bool) {
        let old = self.nodes[index].source;
        let port = NAT_PORT_FIRST + self.network.nat_ports % 40_000;
        self.network.nat_ports += 1;
        let new = SocketAddr::new(old.ip(), port);
        self.nodes[index].source = new;
        self.by_address.insert(new, index);
        if !keeps_old {
            self.by_address.remove(&old);
            self.network.given_up.insert(old);
        }
    }

    /// A machine's datagrams come from its own port again, and arrive there.
    pub(super) fn bind_back(&mut self, index: usize) {
        let Self { by_address, network, nodes, .. } = self;
        let (address, source) = (nodes[index].address, nodes[index].source);
        if source == address {
            return;
        }
        by_address.retain(|_, machine| *machine != index);
        by_address.insert(address, index);
        network.given_up.remove(&address);
        network.given_up.insert(source);
        nodes[index].source = address;
    }

    /// How often a node was booted.
    pub fn boots(&self, index: usize) -> u64 {
        self.nodes[index].boots
    }

    /// Whether a node is running (or stopped, but not gone).
    pub fn is_up(&self, index: usize) -> bool {
        self.nodes[index].swim.is_some()
    }

    /// Whether a node's process is stopped now.
    pub fn is_paused(&self, index: usize) -> bool {
        self.nodes[index].paused > self.now
    }

    /// Whether a node has not the time for all that it wants to do.
    pub(super) fn is_held_up(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.paused.max(node.held) > self.now || node.starved.is_some() || !node.cost.is_zero()
    }

    /// A node's protocol period.
    pub(super) fn period(&self, index: usize) -> Duration {
        self.nodes[index].config.timing.period()
    }

    /// Settings of a node, for its next start.
    pub fn config_mut(&mut self, index: usize) -> &mut Config {
        &mut self.nodes[index].config
    }

    /// Takes a running node's state machine out of the world, to be driven alone.
    pub fn take(&mut self, index: usize) -> Option<Swim> {
        self.nodes[index].swim.take()
    }

    /// Puts it back.
    pub fn put(&mut self, index: usize, swim: Swim) {
        self.nodes[index].swim = Some(swim);
    }
}
