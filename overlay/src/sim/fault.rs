//! What can go wrong.

use std::net::SocketAddr;
use std::time::Duration;

use super::World;
use crate::{BootEpoch, Input, Keyring, Versions};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Every link loses this part.
    Loss(f64),
    /// Losses come in bursts of this many datagrams.
    Bursts(f64, f64),
    /// Every link delivers this part twice.
    Duplicate(f64),
    /// Every link holds this part back for up to half a second, so that later ones overtake.
    Reorder(f64),
    /// Every link takes so much longer.
    Delay(Duration),
    /// This part arrives damaged.
    Corrupt(f64),
    /// This part is delivered again, 1 s to 2 min later, to whoever is at that address then.
    Replay(f64),
    /// Datagrams of more than so many bytes vanish in these directions: an MTU black hole.
    BlackHole(Vec<(usize, usize)>, usize),
    /// The node's socket takes so many datagrams in this time and drops the rest.
    FullBuffer(usize, u32, Duration),
    /// The NAT before this node gives it another port. Whether datagrams to the old one still arrive.
    Rebind(usize, bool),
    /// These nodes and the others can't hear each other.
    Partition(Vec<usize>),
    /// Nothing gets from the first to the second.
    OneWay(usize, usize),
    /// Nothing gets to this node, but it is heard.
    Deaf(usize),
    /// The second ones and the others reach each other only through the first one.
    Bridge(usize, Vec<usize>),
    /// These pairs can't reach each other; everybody else reaches both.
    NonTransitive(Vec<(usize, usize)>),
    /// These links are up for this long, then down for as long, and so on.
    Flap(Vec<(usize, usize)>, Duration),
    /// The network is as before.
    Heal,
    /// The node is gone without a word.
    Kill(usize),
    /// The node starts (again).
    Start(usize),
    /// The node starts again, its clock set by so many milliseconds.
    ClockStep(usize, i64),
    /// The node starts again, at another address.
    Move(usize),
    /// The two start again, each at the address of the other.
    Swap(usize, usize),
    /// The process is stopped for a while (SIGSTOP).
    Pause(usize, Duration),
    /// These are starved of CPU: stopped for up to the first time, running for the second, over and over.
    Starve(Vec<usize>, Duration, Duration),
    /// These take so much CPU time for each datagram that they read or send: more than comes in waits in their sockets.
    Busy(Vec<usize>, Duration),
    /// All but these are gone at once; their machines say so (refused ports), or are silent.
    MassDeath(Vec<usize>, bool),
    /// The node's receive path is slow, its timers are punctual.
    Slow(usize, Duration),
    /// The node leaves.
    Leave(usize),
    /// The node starts again as a release that speaks these versions of the wire format.
    Upgrade(usize, Versions),
    /// The node gets another keyring.
    Rekey(usize, Keyring),
}

impl World {
    /// Lets something go wrong, now.
    pub fn apply(&mut self, fault: &Fault) {
        self.look(Some(fault));
        match fault {
            Fault::Loss(part) => self.change_links(|link| (link.loss, link.loss_burst) = (*part, 1.0)),
            Fault::Bursts(part, burst) => {
                self.change_links(|link| (link.loss, link.loss_burst) = (*part, *burst));
            }
            Fault::Duplicate(part) => self.change_links(|link| link.duplicate = *part),
            Fault::Reorder(part) => self.network.late = *part,
            Fault::Delay(by) => self.network.delay = *by,
            Fault::Corrupt(part) => self.network.corrupt = *part,
            Fault::Replay(part) => self.network.replay = *part,
            Fault::BlackHole(directions, bytes) => {
                self.network.holes.extend(directions.iter().map(|direction| (*direction, *bytes)));
            }
            Fault::FullBuffer(node, datagrams, every) => {
                self.nodes[*node].buffer = Some((*datagrams, *every));
            }
            Fault::Rebind(node, keeps_old) => self.rebind(*node, *keeps_old),
            Fault::Partition(side) => self.partition(side.iter().copied()),
            Fault::OneWay(from, to) => self.block(*from, *to),
            Fault::Deaf(node) => (0..self.len()).for_each(|from| self.block(from, *node)),
            Fault::Bridge(bridge, side) => {
                let other = (0..self.len()).filter(|index| index != bridge && !side.contains(index));
                for other in other.collect::<Vec<_>>() {
                    side.iter().filter(|index| *index != bridge).for_each(|index| {
                        self.block(*index, other);
                        self.block(other, *index);
                    });
                }
            }
            Fault::NonTransitive(pairs) => {
                for (a, b) in pairs {
                    self.block(*a, *b);
                    self.block(*b, *a);
                }
            }
            Fault::Flap(pairs, time) => {
                let both = pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
                self.network.flapping.extend(both.map(|direction| (direction, *time)));
            }
            Fault::Heal => self.heal_all(),
            Fault::Pause(node, time) => self.pause(*node, *time),
            Fault::Starve(nodes, stopped, free) => {
                for node in nodes {
                    self.starve(*node, *stopped, *free);
                }
            }
            Fault::Slow(node, by) => self.slow_down(*node, *by),
            Fault::Busy(nodes, cost) => nodes.iter().for_each(|node| self.nodes[*node].cost = *cost),
            process => self.apply_to_process(process),
        }
    }

    fn apply_to_process(&mut self, fault: &Fault) {
        match fault {
            Fault::Kill(node) => {
                self.fired_mut().killed += u64::from(self.is_up(*node));
                self.kill(*node);
            }
            Fault::MassDeath(survivors, refused) => {
                self.refuses = *refused;
                for node in (0..self.len()).filter(|node| !survivors.contains(node)) {
                    let dies = u64::from(self.is_up(node));
                    self.fired_mut().killed += dies;
                    self.fired_mut().mass_killed += dies;
                    self.kill(node);
                }
            }
            Fault::Start(node) if self.is_up(*node) => {}
            Fault::Start(node) => {
                self.fired_mut().restarted += 1;
                self.start(*node);
            }
            Fault::ClockStep(node, by_ms) => {
                self.fired_mut().clock_steps += 1;
                let boot = &mut self.config_mut(*node).identity.boot;
                // No clock stands at the epoch itself.
                *boot = BootEpoch(boot.0.saturating_add_signed(*by_ms).max(1));
                self.boot(*node);
            }
            Fault::Move(node) => {
                self.fired_mut().moved += 1;
                self.kill(*node);
                let old = self.config_mut(*node).identity.gossip;
                self.readdress(*node, SocketAddr::new(old.ip(), old.port() + 1));
                self.start(*node);
            }
            Fault::Swap(a, b) => {
                self.fired_mut().swapped += 2;
                self.kill(*a);
                self.kill(*b);
                // Or the second one's own port would take the first one's new place.
                self.bind_back(*a);
                self.bind_back(*b);
                let (of_a, of_b) = (self.nodes[*a].address, self.nodes[*b].address);
                self.readdress(*a, of_b);
                self.readdress(*b, of_a);
                self.start(*a);
                self.start(*b);
            }
            Fault::Leave(node) => {
                self.fired_mut().left += u64::from(self.is_up(*node));
                self.leave(*node);
            }
            Fault::Upgrade(node, versions) => {
                self.config_mut(*node).identity.versions = *versions;
                if self.is_up(*node) {
                    self.fired_mut().upgraded += 1;
                    self.kill(*node);
                    self.start(*node);
                }
            }
            Fault::Rekey(node, keyring) => {
                self.fired_mut().rekeyed += 1;
                self.config_mut(*node).keys = Some(keyring.clone());
                self.input(*node, Input::Keys(keyring));
            }
            _ => {}
        }
    }

    /// Ends whatever goes wrong with the network, or slows nodes down.
    fn heal_all(&mut self) {
        self.heal();
        self.calm();
        self.refuses = false;
        for index in 0..self.len() {
            self.slow_down(index, Duration::ZERO);
            self.nodes[index].buffer = None;
            self.nodes[index].starved = None;
            self.nodes[index].cost = Duration::ZERO;
            self.drain(index);
            self.bind_back(index);
        }
    }
}
