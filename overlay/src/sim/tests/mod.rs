//! The protocol at work in the simulated network.

mod clusters;
mod keys;
mod kinds;
mod knowledge;
mod membership;
mod mixed;
mod names;
mod network;
mod pictures;
mod processes;
mod silence;
mod strangers;
mod topology;
mod upgrade;

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::nodes::address_of;
use super::{Checker, Entry, Fault, Fired, Topology, World, crowd};
use crate::wire::{Encoder, Head, Message, Seal, Subject, Update};
use crate::{
    Event, Incarnation, Input, KEY_BYTES, Keyring, MemberState, NodeKey, Output, Time, Timing, Versions,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn at(time: Duration) -> Time {
    Time::ZERO + time
}

/// Every running node believes exactly the running nodes to be alive.
fn agreed(world: &World) -> bool {
    let up: Vec<usize> = (0..world.len()).filter(|index| world.node(*index).is_some()).collect();
    up.iter().all(|index| {
        let swim = world.node(*index).unwrap();
        swim.live() == up.len()
            && swim.peers().all(|peer| !peer.is_live() || peer.state == MemberState::Alive)
    })
}

fn failures(log: &[Entry]) -> Vec<(usize, String)> {
    let failed = |entry: &Entry| match &entry.event {
        Event::Failed(member) => Some((entry.node, member.identity.name.to_string())),
        _ => None,
    };
    log.iter().filter_map(failed).collect()
}

fn settled(topology: Topology, seed: u64, count: usize) -> World {
    let mut world = World::ring(topology, seed, count, Timing::Lan);
    world.start_all();
    let end = world.now() + 10 * SECOND;
    assert!(world.run_until(end, agreed), "seed {seed}: no agreement after 10 s");
    world.run(3 * SECOND);
    world
}

/// Whom `by` suspected or failed by its own evidence, since this place in the log.
fn doubted(log: &[Entry]) -> impl Iterator<Item = (usize, &str)> {
    log.iter().filter_map(|entry| match &entry.event {
        Event::Failed(member) | Event::Suspected { member, .. } => {
            Some((entry.node, member.identity.name.as_str()))
        }
        _ => None,
    })
}

/// Lets the world run with all checkers on.
fn watch(world: &mut World, checker: &mut Checker, time: Duration) {
    let end = world.now() + time;
    while world.now() < end {
        world.run((100 * MS).min(end.since(world.now())));
        checker.safety(world);
    }
}

/// Applies faults to a cluster that stands, lets them go on for a while, and heals them. Nobody may fail meanwhile, all
/// must hold at any moment, and at the end everybody sees everybody. What to look at afterwards: the world, and where
/// its log was at the begin.
fn stands(mut world: World, faults: &[Fault], time: Duration) -> (World, usize) {
    let seen = world.log().len();
    let mut checker = Checker::default();
    for fault in faults {
        world.apply(fault);
    }
    watch(&mut world, &mut checker, time);
    assert_eq!(failures(&world.log()[seen..]), [], "{faults:?}");
    world.apply(&Fault::Heal);
    comes_to_rest(&mut world, &mut checker);
    (world, seen)
}

/// Everybody sees everybody within 10 s, and all the rules held.
fn comes_to_rest(world: &mut World, checker: &mut Checker) {
    let end = world.now() + 10 * SECOND;
    let known = |world: &World| {
        let up = |index: &usize| world.node(*index).is_some();
        let all = |of| (0..world.len()).filter(up).all(|index| knows_boot_of(world, index, of));
        agreed(world) && (0..world.len()).filter(up).all(all)
    };
    world.run_until(end, known);
    checker.liveness(world);
    checker.effect(world);
    assert_eq!(checker.violations(), []);
}

fn knows_boot_of(world: &World, index: usize, of: usize) -> bool {
    let target = world.node(of).unwrap().identity();
    index == of || world.node(index).unwrap().peers().any(|peer| peer.identity == *target && peer.is_live())
}
