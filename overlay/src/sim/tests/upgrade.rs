//! Two versions of the wire format in one cluster, while it is upgraded.

use super::super::schedule::versions_of;
use super::*;

/// Takes every node of a cluster to other versions, one after the other, under load and loss.
fn roll(world: &mut World, checker: &mut Checker, versions: Versions, loads: &mut u32) {
    for index in 0..world.len() {
        world.apply(&Fault::Upgrade((index * 7) % world.len(), versions));
        *loads += 1;
        for node in 0..world.len() {
            let sample = crate::LoadSample { seq: *loads as u16, workers: 2, ..crate::LoadSample::default() };
            world.input(node, Input::Load(sample));
        }
        watch(world, checker, 400 * MS);
    }
}

#[test]
fn a_cluster_is_upgraded_node_by_node_under_loss_and_back_without_losing_a_member() {
    for seed in 0..6 {
        let topology = Topology::paper().with(|link| link.loss = 0.1);
        let mut world = World::ring(topology, seed, 15, Timing::Lan);
        if seed % 2 == 1 {
            (0..15).for_each(|index| world.config_mut(index).keys = Some(Keyring::new([7; KEY_BYTES])));
        }
        world.start_all();
        assert!(world.run_until(at(20 * SECOND), agreed), "seed {seed}");
        let (mut checker, mut loads) = (Checker::default(), 0);
        // A release that speaks one more version, then one that speaks one less; and a step back.
        for step in [1, 2, 3, 2, 3, 4] {
            roll(&mut world, &mut checker, versions_of(step), &mut loads);
            assert!(world.run_until(world.now() + 5 * SECOND, agreed), "seed {seed}, step {step}");
        }
        assert_eq!(failures(world.log()), [], "seed {seed}");
        assert_eq!(world.fired().upgraded, 6 * 15);
        comes_to_rest(&mut world, &mut checker);
        let spoken = world.node(0).unwrap().peers().all(|peer| peer.identity.versions == versions_of(4));
        assert!(spoken, "seed {seed}: everybody says what it speaks");
    }
}

/// The version of the first datagram that a node sends to another one.
fn speaks_to(world: &mut World, from: usize, to: usize) -> u8 {
    let mut swim = world.take(from).unwrap();
    let mut now = world.now();
    let end = now + 60 * SECOND;
    let mut version = None;
    while version.is_none() && now < end {
        match swim.poll() {
            Output::Send { to: address, bytes } if address == address_of(to) => version = Some(bytes[0]),
            Output::Timeout(at) => {
                now = at.max(now);
                swim.handle(now, Input::Timeout);
            }
            _ => {}
        }
    }
    version.expect("it is told something within a minute")
}

#[test]
fn each_pair_speaks_the_newest_version_that_both_know() {
    let versions = [(1, 2), (2, 3), (2, 2), (1, 3), (1, 2)].map(|(a, b)| Versions::new(a, b).unwrap());
    for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))).filter(|(a, b)| a != b) {
        let mut world = World::ring(Topology::flat(MS), 1, 5, Timing::Lan);
        (0..5).for_each(|index| world.config_mut(index).identity.versions = versions[index]);
        world.start_all();
        assert!(world.run_until(at(10 * SECOND), agreed));
        world.run(30 * SECOND);
        assert_eq!(failures(world.log()), []);
        let expected = versions[from].common(versions[to]).unwrap();
        assert_eq!(speaks_to(&mut world, from, to), expected, "node {from} to {to}");
    }
}

#[test]
fn who_shares_no_version_with_anybody_stays_outside() {
    let mut world = World::ring(Topology::flat(MS), 1, 4, Timing::Lan);
    world.config_mut(3).identity.versions = Versions::new(2, 3).unwrap();
    world.start_all();
    world.run(20 * SECOND);
    assert_eq!((0..4).map(|index| world.node(index).unwrap().live()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert!(world.node(0).unwrap().stats().rejected.total() > 0);
    assert_eq!(failures(world.log()), []);
}
