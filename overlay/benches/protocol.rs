//! What a datagram costs a node that knows 1,000 members, in time and in allocations.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use divan::Bencher;
use starling_overlay::sim::{Topology, World};
use starling_overlay::{Input, Output, Swim, Time, Timing};

#[global_allocator]
static ALLOC: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

const MEMBERS: usize = 1_000;

/// A cluster at rest.
fn at_rest() -> World {
    let mut world = World::warm(Topology::flat(Duration::from_millis(1)), 1, MEMBERS, Timing::Lan);
    world.run(Duration::from_secs(20));
    world
}

/// A node of a cluster at rest, and a ping that it got.
fn pinged() -> (Swim, Time, SocketAddr, Vec<u8>) {
    let mut world = at_rest();
    let now = world.now();
    let mut pinger = world.take(0).expect("it runs");
    let from = pinger.identity().gossip;
    loop {
        match pinger.poll() {
            Output::Send { to, bytes } => {
                let target = world.at_address(to).and_then(|index| world.take(index));
                return (target.expect("it runs"), now, from, bytes);
            }
            Output::Timeout(at) => pinger.handle(at, Input::Timeout),
            _ => {}
        }
    }
}

/// Decode a ping, note its sender, build and encode the ack.
#[divan::bench(sample_size = 200)]
fn ping_to_ack(bencher: Bencher) {
    let (mut swim, now, from, ping) = pinged();
    let mut buffer = ping.clone();
    bencher.bench_local(|| {
        buffer.copy_from_slice(&ping);
        swim.handle(now, Input::Datagram { from, bytes: &mut buffer });
        while let Output::Send { bytes, .. } = swim.poll() {
            swim.recycle(bytes);
        }
    });
}

/// Turn away a datagram that is damaged.
#[divan::bench(sample_size = 1_000)]
fn damaged(bencher: Bencher) {
    let (mut swim, now, from, mut ping) = pinged();
    let last = ping.len() - 1;
    ping[last] ^= 1;
    bencher.bench_local(|| swim.handle(now, Input::Datagram { from, bytes: &mut ping }));
}

/// A node whose pings are all answered, as at rest: else it would have to ask what the silence means.
struct Answered {
    swim: Swim,
    now: Time,
    world: World,
    others: BTreeMap<usize, Swim>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Answered {
    fn new() -> Self {
        let mut world = at_rest();
        let (now, swim) = (world.now(), world.take(0).expect("it runs"));
        Self { swim, now, world, others: BTreeMap::new(), sent: Vec::with_capacity(64) }
    }

    /// Brings what was sent to where it goes, and the answers back, until there are none; then to where the node has something
    /// to do again.
    fn answer(&mut self) {
        let me = self.swim.identity().gossip;
        while let Some((to, mut bytes)) = self.sent.pop() {
            let index = self.world.at_address(to).expect("a member's address");
            let other = self.others.entry(index).or_insert_with(|| self.world.take(index).expect("it runs"));
            other.handle(self.now, Input::Datagram { from: me, bytes: &mut bytes });
            self.swim.recycle(bytes);
            loop {
                match other.poll() {
                    Output::Send { to: back, bytes: mut answer } if back == me => {
                        self.swim.handle(self.now, Input::Datagram { from: to, bytes: &mut answer });
                    }
                    Output::Timeout(_) => break,
                    _ => {}
                }
            }
            self.work();
        }
    }

    /// Whatever the node has to do, at the time when it has to do it.
    fn work(&mut self) {
        loop {
            match self.swim.poll() {
                Output::Send { to, bytes } => self.sent.push((to, bytes)),
                Output::Timeout(at) => {
                    self.now = self.now.max(at);
                    return;
                }
                _ => {}
            }
        }
    }
}

/// What a node that is at rest does by itself: choose a member, build and encode the ping, and look what is due.
#[divan::bench(sample_size = 1, sample_count = 2_000)]
fn period(bencher: Bencher) {
    let node = RefCell::new(Answered::new());
    bencher.with_inputs(|| node.borrow_mut().answer()).bench_local_values(|()| {
        let node = &mut *node.borrow_mut();
        node.swim.handle(node.now, Input::Timeout);
        node.work();
    });
}
