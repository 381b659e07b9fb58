//! The simulated world: nodes, the network between them, and time.

use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use siphasher::sip::SipHasher13;
use starling_netem::{Link, LinkProfile};

use super::contact::Contacts;
use super::network::Network;
use super::nodes::Node;
use super::queue::Queue;
use super::truth::Truth;
use super::watch::Watcher;
use super::{Fired, Topology};
use crate::{Event, Input, Output, Swim, Time};

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

pub(super) enum What {
    Deliver {
        to: usize,
        letter: Letter,
    },
    Send {
        from: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Timer(usize),
    /// A node that is starved of CPU is stopped once more.
    Starve(usize),
    /// A node that takes its time for each datagram has time for the next one.
    Work(usize),
    /// An old datagram is delivered again.
    Replay {
        to: SocketAddr,
        boots: u64,
        letter: Letter,
    },
    Refused {
        node: usize,
        address: SocketAddr,
    },
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Who sent it, and when.
    pub sender: usize,
    pub sent: Time,
    /// Where it seems to come from.
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

/// Maps that are looked up, never gone through: their order is no part of a run.
#[expect(clippy::disallowed_types, reason = "only looked up: no order of iteration gets into a run")]
pub(super) type Lookup<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<SipHasher13>>;

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
    /// The links as they were built, for when everything is well again.
    pub(super) built: Topology,
    pub(super) network: Network,
    pub(super) truth: Truth,
    /// Who has heard of whom, if that is kept.
    pub(super) contacts: Option<Contacts>,
    /// State of the links that have any, by sender and receiver.
    pub(super) links: Lookup<(usize, usize), Link>,
    /// Links are swept out when there are so many.
    pub(super) links_swept_at: usize,
    /// Machines whose node is down refuse its datagrams.
    pub(super) refuses: bool,
    pub(super) fired: Fired,
    /// What faults should have done.
    pub(super) met: Fired,
    /// Buffers of datagrams that have arrived, for those that are sent next.
    pub(super) spare: Vec<Vec<u8>>,
    log: Vec<Entry>,
    pub(super) watcher: Option<Watcher>,
}

impl World {
    /// An empty world.
    pub fn new(topology: Topology, seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: Queue::new(),
            built: topology.clone(),
            topology,
            nodes: Vec::new(),
            by_address: Lookup::default(),
            network: Network::default(),
            truth: Truth::default(),
            contacts: None,
            links: Lookup::default(),
            links_swept_at: LINKS_KEPT,
            refuses: false,
            fired: Fired::default(),
            met: Fired::default(),
            spare: Vec::new(),
            log: Vec::new(),
            watcher: None,
        }
    }

    /// Hands a node an input from outside the network.
    pub fn input(&mut self, index: usize, input: Input<'_>) {
        if let Some(swim) = &mut self.nodes[index].swim {
            swim.swap_spare(&mut self.spare);
            swim.handle(self.now, input);
            swim.swap_spare(&mut self.spare);
            self.note_word(index);
            self.act(index);
        }
    }

    /// Takes down what a node says of itself.
    pub(super) fn note_word(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(swim) = &node.swim else { return };
        let word = (swim.identity().boot, swim.incarnation());
        if word != node.word {
            self.truth.said(swim.key(), std::mem::replace(&mut node.word, word), word);
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
        self.network.blocked.insert((from, to));
    }

    /// Changes every link from now on.
    pub fn change_links(&mut self, change: impl Fn(&mut LinkProfile)) {
        for link in self.topology.links.iter_mut().flatten() {
            change(link);
        }
        self.links.clear();
    }

    /// Whether machines whose node is down say so (a killed process) or are silent (a dead machine; the default).
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Which faults did anything so far.
    pub fn fired(&self) -> Fired {
        self.fired
    }

    /// From now on it is kept who has heard of whom; for small worlds.
    pub fn keep_contacts(&mut self) {
        self.contacts = Some(Contacts::new(self.nodes.len(), self.now));
    }

    /// The last moment of another node of which any word has come to a node, directly or through others, if that is kept.
    pub(super) fn heard(&self, index: usize, other: usize) -> Option<Time> {
        self.contacts.as_ref().map(|contacts| contacts.last(index, other))
    }

    /// The machine at this address.
    pub fn at_address(&self, address: SocketAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// What faults should have done so far, by the datagrams that met them.
    pub(super) fn met(&self) -> Fired {
        self.met
    }

    pub(super) fn fired_mut(&mut self) -> &mut Fired {
        &mut self.fired
    }

    /// The round-trip time of the links between a node and the one at this address, without jitter.
    pub fn rtt_between(&self, index: usize, address: SocketAddr) -> Duration {
        let Some(other) = self.by_address.get(&address) else { return Duration::ZERO };
        let (a, b) = (self.nodes[index].zone, self.nodes[*other].zone);
        self.topology.links[a][b].delay + self.topology.links[b][a].delay
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
        self.passed();
        match what {
            What::Deliver { to, letter } => {
                let Some(letter) = self.put_off(to, letter) else { return };
                if !self.is_up(to) {
                    self.refused(to, letter.from);
                } else if !self.takes_in(to) {
                    self.spare.push(letter.bytes);
                } else if self.nodes[to].cost.is_zero() {
                    self.deliver(to, letter);
                } else {
                    self.queue_up(to, letter);
                }
            }
            What::Work(index) => self.work(index),
            What::Send { from, to, bytes } => self.send(from, to, bytes),
            What::Starve(index) => self.starve_again(index),
            What::Replay { to, boots, letter } => self.replay(to, boots, letter),
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
                if !self.waits_for_cpu(index) {
                    self.input(index, Input::Timeout);
                }
            }
        }
    }

    /// Hands a node a datagram.
    pub(super) fn deliver(&mut self, to: usize, letter: Letter) {
        let Letter { sender, sent, from, mut bytes } = letter;
        self.input(to, Input::Datagram { from, bytes: &mut bytes });
        self.spare.push(bytes);
        if let Some(contacts) = &mut self.contacts
            && self.nodes[to].swim.as_ref().is_some_and(|swim| swim.rejected().is_none())
        {
            contacts.heard(to, sender, sent);
        }
    }

    /// Where the machine of this name is now.
    fn resolve(&self, seed: &str) -> Option<SocketAddr> {
        let number: usize = seed.strip_prefix("node")?.parse().ok()?;
        self.nodes.get(number.checked_sub(1)?).map(|node| node.address)
    }

    /// Does what a node asks for.
    pub(super) fn act(&mut self, index: usize) {
        loop {
            let Node { swim: Some(swim), config, .. } = &mut self.nodes[index] else { return };
            match swim.poll() {
                Output::Send { to, bytes } => self.send(index, to, bytes),
                Output::Event(event) => self.log.push(Entry { at: self.now, node: index, event }),
                Output::Resolve => {
                    let (seeds, contacts) = (config.seeds.clone(), config.contacts.clone());
                    let addresses: Vec<SocketAddr> =
                        seeds.iter().filter_map(|seed| self.resolve(seed)).collect();
                    self.input(index, Input::Seeds(&addresses));
                    if !contacts.is_empty() && self.node(index).is_some_and(|swim| swim.live() == 1) {
                        self.input(index, Input::Contacts(&contacts));
                    }
                    return;
                }
                Output::Gone => {
                    self.kill(index);
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
