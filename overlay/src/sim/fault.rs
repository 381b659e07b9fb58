//! What can go wrong, and random schedules of it.

use std::net::SocketAddr;
use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::World;
use crate::BootEpoch;

/// Counts of what faults did: a fault that was injected must show here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fired {
    /// Datagrams lost by chance.
    pub lost: u64,
    /// Datagrams that a partition or a blocked direction stopped.
    pub blocked: u64,
    /// Datagrams that arrived twice.
    pub duplicated: u64,
    /// Datagrams that arrived damaged.
    pub corrupted: u64,
    /// Datagrams that waited in the socket of a stopped process.
    pub put_off: u64,
    /// Messages that a node kept back, or left unread, because it was slow.
    pub held: u64,
    /// Nodes killed.
    pub killed: u64,
    /// Nodes started again.
    pub restarted: u64,
    /// Nodes that left.
    pub left: u64,
    /// Nodes started again with a clock that was set back.
    pub clock_steps: u64,
    /// Nodes started again at another address.
    pub moved: u64,
}

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
    /// Every link lets this part overtake.
    Reorder(f64),
    /// This part arrives damaged.
    Corrupt(f64),
    /// These nodes and the others can't hear each other.
    Partition(Vec<usize>),
    /// Nothing gets from the first to the second.
    OneWay(usize, usize),
    /// Nothing gets to this node, but it is heard.
    Deaf(usize),
    /// The network is as before.
    Heal,
    /// The node is gone without a word.
    Kill(usize),
    /// The node starts (again).
    Start(usize),
    /// The node starts again, with a boot epoch older than the last one.
    ClockStep(usize),
    /// The node starts again, at another address.
    Move(usize),
    /// The process is stopped for a while.
    Pause(usize, Duration),
    /// The node's receive path is slow.
    Slow(usize, Duration),
    /// The node leaves.
    Leave(usize),
}

impl World {
    /// Lets something go wrong, now.
    pub fn apply(&mut self, fault: &Fault) {
        match fault {
            Fault::Loss(part) => self.change_links(|link| (link.loss, link.loss_burst) = (*part, 1.0)),
            Fault::Bursts(part, burst) => {
                self.change_links(|link| (link.loss, link.loss_burst) = (*part, *burst));
            }
            Fault::Duplicate(part) => self.change_links(|link| link.duplicate = *part),
            Fault::Reorder(part) => self.change_links(|link| link.reorder = *part),
            Fault::Corrupt(part) => self.corrupt(*part),
            Fault::Partition(side) => self.partition(side.iter().copied()),
            Fault::OneWay(from, to) => self.block(*from, *to),
            Fault::Deaf(node) => (0..self.len()).for_each(|from| self.block(from, *node)),
            Fault::Heal => {
                self.heal();
                self.corrupt(0.0);
                self.change_links(|link| {
                    (link.loss, link.loss_burst, link.duplicate, link.reorder) = (0.0, 1.0, 0.0, 0.0);
                });
                (0..self.len()).for_each(|index| self.slow_down(index, Duration::ZERO));
            }
            Fault::Kill(node) => {
                self.fired_mut().killed += u64::from(self.is_up(*node));
                self.kill(*node);
            }
            Fault::Start(node) => {
                if !self.is_up(*node) {
                    self.fired_mut().restarted += 1;
                    self.start(*node);
                }
            }
            Fault::ClockStep(node) => {
                self.fired_mut().clock_steps += 1;
                let boot = &mut self.config_mut(*node).identity.boot;
                *boot = BootEpoch(boot.0.saturating_sub(1_000));
                self.boot(*node);
            }
            Fault::Move(node) => {
                self.fired_mut().moved += 1;
                self.kill(*node);
                let old = self.config_mut(*node).identity.gossip;
                self.readdress(*node, SocketAddr::new(old.ip(), old.port() + 1));
                self.start(*node);
            }
            Fault::Pause(node, time) => self.pause(*node, *time),
            Fault::Slow(node, by) => self.slow_down(*node, *by),
            Fault::Leave(node) => {
                self.fired_mut().left += u64::from(self.is_up(*node));
                self.leave(*node);
            }
        }
    }
}

/// A schedule of faults of all kinds for `nodes` nodes over `length`, by its seed, sorted by time. At the end the
/// network heals; nodes that are down stay down, unless they were started again before.
pub fn mixed_faults(seed: u64, nodes: usize, length: Duration) -> Vec<(Duration, Fault)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut schedule = Vec::new();
    let mut at = Duration::ZERO;
    while at < length {
        at += Duration::from_millis(rng.random_range(200..8_000));
        // Node 0 is never taken down, so that there is always somebody to come back to.
        let victim = rng.random_range(1..nodes);
        let back = at + Duration::from_millis(rng.random_range(0..20_000));
        match rng.random_range(0..16) {
            0 => schedule.push((at, Fault::Loss(rng.random_range(0.0..0.5)))),
            1 => schedule.push((at, Fault::Bursts(rng.random_range(0.05..0.3), rng.random_range(2.0..20.0)))),
            2 => schedule.push((at, Fault::Duplicate(rng.random_range(0.0..0.5)))),
            3 => schedule.push((at, Fault::Reorder(rng.random_range(0.0..0.5)))),
            4 => schedule.push((at, Fault::Corrupt(rng.random_range(0.0..0.3)))),
            5 => {
                let side = rng.random_range(1..=nodes / 2);
                schedule.push((at, Fault::Partition((0..nodes).choose_multiple(&mut rng, side))));
                schedule.push((back, Fault::Heal));
            }
            6 => {
                let other = (victim + rng.random_range(1..nodes)) % nodes;
                schedule.push((at, Fault::OneWay(victim, other)));
                schedule.push((back, Fault::Heal));
            }
            7 => {
                schedule.push((at, Fault::Deaf(victim)));
                schedule.push((back, Fault::Heal));
            }
            8 | 9 => {
                schedule.push((at, Fault::Kill(victim)));
                if rng.random_bool(0.8) {
                    schedule.push((back, Fault::Start(victim)));
                }
            }
            10 => schedule.push((at, Fault::ClockStep(victim))),
            11 => schedule.push((at, Fault::Move(victim))),
            12 => schedule
                .push((at, Fault::Pause(victim, Duration::from_millis(rng.random_range(100..30_000))))),
            13 => {
                schedule.push((at, Fault::Slow(victim, Duration::from_millis(rng.random_range(10..3_000)))));
            }
            14 => {
                schedule.push((at, Fault::Leave(victim)));
                schedule.push((back, Fault::Start(victim)));
            }
            _ => (0..nodes).for_each(|node| {
                schedule.push((at, Fault::Kill(node)));
                schedule.push((at + Duration::from_millis(500), Fault::Start(node)));
            }),
        }
    }
    schedule.push((schedule.iter().map(|(at, _)| *at).max().unwrap_or(at), Fault::Heal));
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}
