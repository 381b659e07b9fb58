//! The simulated world: nodes, the network between them, and time.

use std::collections::BTreeSet;
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use siphasher::sip::SipHasher13;
use starling_netem::{Link, LinkProfile};

use super::queue::Queue;
use super::{Fired, Topology};
use crate::{BootEpoch, Config, Event, Identity, Input, NodeKey, Output, Swim, Time, Timing, Versions};

/// Something a node saw.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// Index of the node that saw it.
    pub node: usize,
    /// What.
    pub event: Event,
}

/// One simulated machine.
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) address: SocketAddr,
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
}

pub(super) enum What {
    Deliver { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Send { from: usize, to: SocketAddr, bytes: Vec<u8> },
    Timer(usize),
    Refused { node: usize, address: SocketAddr },
}

/// Maps that are looked up, never gone through: their order is no part of a run.
#[expect(clippy::disallowed_types, reason = "only looked up: no order of iteration gets into a run")]
type Lookup<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<SipHasher13>>;

/// Links whose state is kept before the idle ones among them are looked for.
pub(super) const LINKS_KEPT: usize = 1 << 16;

/// A simulation.
pub struct World {
    pub(super) now: Time,
    pub(super) rng: ChaCha8Rng,
    queue: Queue<What>,
    pub(super) topology: Topology,
    pub(super) nodes: Vec<Node>,
    pub(super) by_address: Lookup<SocketAddr, usize>,
    /// Directions in which nothing gets through.
    pub(super) blocked: BTreeSet<(usize, usize)>,
    /// State of the links that have any, by sender and receiver.
    pub(super) links: Lookup<(usize, usize), Link>,
    /// Links are swept out when there are so many.
    pub(super) links_swept_at: usize,
    /// Part of the datagrams that arrives damaged.
    pub(super) corrupt: f64,
    /// Machines whose node is down refuse its datagrams.
    pub(super) refuses: bool,
    pub(super) fired: Fired,
    /// Buffers of datagrams that have arrived, for those that are sent next.
    pub(super) spare: Vec<Vec<u8>>,
    log: Vec<Entry>,
}

impl World {
    /// An empty world.
    pub fn new(topology: Topology, seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: Queue::new(),
            topology,
            nodes: Vec::new(),
            by_address: Lookup::default(),
            blocked: BTreeSet::new(),
            links: Lookup::default(),
            links_swept_at: LINKS_KEPT,
            corrupt: 0.0,
            refuses: false,
            fired: Fired::default(),
            spare: Vec::new(),
            log: Vec::new(),
        }
    }

    /// A world of `count` nodes, spread over the zones in turn, each with the next one as its only seed (a ring). Seeds
    /// are names of machines, which are resolved to where the machine is at the time.
    pub fn ring(topology: Topology, seed: u64, count: usize, timing: Timing) -> Self {
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
            zone,
            swim: None,
            paused: Time::ZERO,
            held: Time::ZERO,
            timer: Time::NEVER,
            boots: 0,
            island: 0,
            slow: Duration::ZERO,
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
        let seed = self.rng.random();
        let node = &mut self.nodes[index];
        node.boots += 1;
        node.config.identity.gossip = node.address;
        node.swim = Some(Swim::new(&node.config, seed, self.now));
        node.timer = Time::NEVER;
        node.paused = Time::ZERO;
        node.held = Time::ZERO;
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
    pub fn warm(topology: Topology, seed: u64, count: usize, timing: Timing) -> Self {
        let mut world = Self::ring(topology, seed, count, timing);
        let mut identities: Vec<_> = (0..count)
            .map(|index| {
                let node = &mut world.nodes[index];
                node.boots = 1;
                node.config.identity.boot = BootEpoch(1_000_000);
                let identity = Arc::new(node.config.identity.clone());
                (NodeKey::of(&identity.name), identity)
            })
            .collect();
        identities.sort_unstable_by_key(|(key, _)| *key);
        let part = |(key, identity): &(NodeKey, Arc<Identity>)| key.live_part(identity.boot);
        let digest = identities.iter().map(part).fold(0, |digest, part| digest ^ part);
        for index in 0..count {
            let seed = world.rng.random();
            let mut swim = Swim::new(&world.nodes[index].config, seed, world.now);
            swim.know_all(&identities, digest);
            world.nodes[index].swim = Some(swim);
            world.act(index);
        }
        world
    }

    /// Kills a node: it is gone without a word.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].swim = None;
    }

    /// Stops a node's process for a while (SIGSTOP); what arrives meanwhile waits in its socket.
    pub fn pause(&mut self, index: usize, time: Duration) {
        self.nodes[index].paused = self.now + time;
    }

    /// Lets a node neither send nor read anything for a while, though its timers run: what it sends meanwhile goes out at
    /// the end, what comes in is read then (Lifeguard's anomaly).
    pub fn hold(&mut self, index: usize, time: Duration) {
        self.nodes[index].held = self.now + time;
    }

    /// Asks a node to leave.
    pub fn leave(&mut self, index: usize) {
        self.input(index, Input::Leave);
    }

    /// Hands a node an input from outside the network.
    pub fn input(&mut self, index: usize, input: Input<'_>) {
        if let Some(swim) = &mut self.nodes[index].swim {
            swim.swap_spare(&mut self.spare);
            swim.handle(self.now, input);
            swim.swap_spare(&mut self.spare);
            self.act(index);
        }
    }

    /// Delivers any bytes to a node, as if `from` had sent them.
    pub fn inject(&mut self, index: usize, from: SocketAddr, bytes: &mut [u8]) {
        self.input(index, Input::Datagram { from, bytes });
    }

    /// Cuts the world in two: `side`, and everybody else.
    pub fn partition(&mut self, side: impl IntoIterator<Item = usize>) {
        for index in side {
            self.nodes[index].island = 1;
        }
    }

    /// Lets nothing through from one node to another.
    pub fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((from, to));
    }

    /// Mends all partitions and blocked directions.
    pub fn heal(&mut self) {
        self.blocked.clear();
        for node in &mut self.nodes {
            node.island = 0;
        }
    }

    /// Changes every link from now on.
    pub fn change_links(&mut self, change: impl Fn(&mut LinkProfile)) {
        for link in self.topology.links.iter_mut().flatten() {
            change(link);
        }
        self.links.clear();
    }

    /// Damages this part of all datagrams from now on.
    pub fn corrupt(&mut self, part: f64) {
        self.corrupt = part;
    }

    /// Whether machines whose node is down say so (a killed process) or are silent (a dead machine; the default).
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Lets a node look at each datagram only after it has lain around for a while.
    pub fn slow_down(&mut self, index: usize, by: Duration) {
        self.nodes[index].slow = by;
    }

    /// Which faults did anything so far.
    pub fn fired(&self) -> Fired {
        self.fired
    }

    /// Takes a running node's state machine out of the world, to be driven alone.
    pub fn take(&mut self, index: usize) -> Option<Swim> {
        self.nodes[index].swim.take()
    }

    /// The machine at this address.
    pub fn at_address(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// Puts it back.
    pub fn put(&mut self, index: usize, swim: Swim) {
        self.nodes[index].swim = Some(swim);
    }

    pub(super) fn fired_mut(&mut self) -> &mut Fired {
        &mut self.fired
    }

    /// How often a node was booted.
    pub fn boots(&self, index: usize) -> u64 {
        self.nodes[index].boots
    }

    /// The round-trip time of the links between a node and the one at this address, without jitter.
    pub fn rtt_between(&self, index: usize, address: SocketAddr) -> Duration {
        let Some(other) = self.by_address.get(&address) else { return Duration::ZERO };
        let (a, b) = (self.nodes[index].zone, self.nodes[*other].zone);
        self.topology.links[a][b].delay + self.topology.links[b][a].delay
    }

    /// Whether a node is running (or stopped, but not gone).
    pub fn is_up(&self, index: usize) -> bool {
        self.nodes[index].swim.is_some()
    }

    /// Whether a node's process is stopped now.
    pub fn is_paused(&self, index: usize) -> bool {
        self.nodes[index].paused > self.now
    }

    /// Settings of a node, for its next start.
    pub fn config_mut(&mut self, index: usize) -> &mut Config {
        &mut self.nodes[index].config
    }

    /// Moves a machine to another address; its node must be down.
    pub fn readdress(&mut self, index: usize, address: SocketAddr) {
        let old = std::mem::replace(&mut self.nodes[index].address, address);
        if self.by_address.get(&old) == Some(&index) {
            self.by_address.remove(&old);
        }
        self.by_address.insert(address, index);
    }

    /// The state machine of a node; none while it is down.
    pub fn node(&self, index: usize) -> Option<&Swim> {
        self.nodes[index].swim.as_ref()
    }

    /// How many machines there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What the nodes saw so far.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Lets the world run for `time`.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Lets the world run until `done` (looked at after each event) or until `end`; whether it was done.
    pub fn run_until(&mut self, end: Time, mut done: impl FnMut(&Self) -> bool) -> bool {
        while let Some(next) = self.queue.next() {
            if next > end {
                break;
            }
            self.step();
            if done(self) {
                return true;
            }
        }
        self.now = self.now.max(end);
        false
    }

    /// Lets the next thing happen.
    fn step(&mut self) {
        let Some((at, what)) = self.queue.pop() else { return };
        self.now = self.now.max(at);
        match what {
            What::Deliver { to, from, mut bytes } => {
                if self.put_off(to, |bytes| What::Deliver { to, from, bytes }, &mut bytes) {
                    return;
                }
                if !self.is_up(to) {
                    self.refused(to, from);
                    return;
                }
                self.input(to, Input::Datagram { from, bytes: &mut bytes });
                self.spare.push(bytes);
            }
            What::Send { from, to, bytes } => self.send(from, to, bytes),
            What::Refused { node, address } => self.input(node, Input::Refused(address)),
            What::Timer(index) => {
                if self.nodes[index].timer != at {
                    return; // An earlier one took its place.
                }
                if self.nodes[index].paused > self.now {
                    // After the datagrams that wait: the driver, too, reads them first.
                    let resumed = self.nodes[index].paused + Duration::from_micros(1);
                    self.nodes[index].timer = resumed;
                    self.schedule(resumed, What::Timer(index));
                    return;
                }
                self.nodes[index].timer = Time::NEVER;
                self.input(index, Input::Timeout);
            }
        }
    }

    /// Where the machine of this name is now.
    fn resolve(&self, seed: &str) -> Option<SocketAddr> {
        let number: usize = seed.strip_prefix("node")?.parse().ok()?;
        self.nodes.get(number.checked_sub(1)?).map(|node| node.address)
    }

    /// Does what a node asks for.
    fn act(&mut self, index: usize) {
        loop {
            let Node { swim: Some(swim), config, .. } = &mut self.nodes[index] else { return };
            match swim.poll() {
                Output::Send { to, bytes } => self.send(index, to, bytes),
                Output::Event(event) => self.log.push(Entry { at: self.now, node: index, event }),
                Output::Resolve => {
                    let seeds = config.seeds.clone();
                    let addresses: Vec<SocketAddr> =
                        seeds.iter().filter_map(|seed| self.resolve(seed)).collect();
                    self.input(index, Input::Seeds(&addresses));
                    return;
                }
                Output::Gone => {
                    self.nodes[index].swim = None;
                    return;
                }
                Output::Timeout(at) => {
                    let at = at.max(self.now);
                    if at < self.nodes[index].timer {
                        self.nodes[index].timer = at;
                        self.schedule(at, What::Timer(index));
                    }
                    return;
                }
            }
        }
    }

    pub(super) fn schedule(&mut self, at: Time, what: What) {
        self.queue.push(at, what);
    }
}

/// Address of the machine with this index.
pub(crate) fn address_of(index: usize) -> SocketAddr {
    let [_, a, b, c] = (index as u32 + 1).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), 5000)
}

fn name_of(index: usize) -> String {
    format!("node{}", index + 1)
}
