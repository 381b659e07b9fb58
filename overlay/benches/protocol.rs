//! What a datagram costs a node that knows 1,000 members, in time and in allocations.

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

/// A node of a cluster at rest, and a ping that it got.
fn pinged() -> (Swim, Time, SocketAddr, Vec<u8>) {
    let mut world = World::warm(Topology::flat(Duration::from_millis(1)), 1, MEMBERS, Timing::Lan);
    world.run(Duration::from_secs(20));
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
#[divan::bench]
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
#[divan::bench]
fn damaged(bencher: Bencher) {
    let (mut swim, now, from, mut ping) = pinged();
    let last = ping.len() - 1;
    ping[last] ^= 1;
    bencher.bench_local(|| swim.handle(now, Input::Datagram { from, bytes: &mut ping }));
}

/// A period begins: choose a member, build and encode the ping.
#[divan::bench]
fn period(bencher: Bencher) {
    let (mut swim, mut now, ..) = pinged();
    bencher.bench_local(|| {
        now = now + Timing::Lan.period();
        swim.handle(now, Input::Timeout);
        while let Output::Send { bytes, .. } = swim.poll() {
            swim.recycle(bytes);
        }
    });
}
