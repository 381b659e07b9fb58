//! Joining, dying, coming back, leaving.

use super::*;

#[test]
fn five_nodes_in_the_papers_zones_find_each_other_from_a_ring_of_single_seeds() {
    for seed in 0..50 {
        let mut world = World::ring(Topology::paper(), seed, 5, Timing::Lan);
        // They come up one after the other, within 100 ms.
        for index in 0..5 {
            world.start(index);
            world.run(25 * MS);
        }
        assert!(world.run_until(at(SECOND), agreed), "seed {seed}: took more than 1 s");
        world.run(2 * SECOND);
        let converged = |entry: &&Entry| matches!(&entry.event, Event::Converged(c) if c.members == 5);
        let told: Vec<usize> = world.log().iter().filter(converged).map(|entry| entry.node).collect();
        for node in 0..5 {
            assert_eq!(
                told.iter().filter(|n| **n == node).count(),
                1,
                "seed {seed}: node {node} says it once"
            );
        }
        for index in 0..5 {
            let swim = world.node(index).unwrap();
            assert!(swim.peers().all(|peer| peer.rtt().is_some()), "seed {seed}: every RTT is measured");
        }
        assert_eq!(failures(world.log()), [], "seed {seed}");
    }
}

#[test]
fn measured_rtts_are_those_of_the_links() {
    let mut world = settled(Topology::paper(), 7, 5);
    world.run(20 * SECOND);
    let rtt = |from: usize, to: &str| {
        let swim = world.node(from).unwrap();
        let peer = swim.peers().find(|peer| peer.identity.name.as_str() == to).unwrap();
        peer.rtt().unwrap().mean.as_secs_f64() * 1e3
    };
    for (from, to, expected) in
        [(0, "node2", 90.0), (0, "node3", 200.0), (1, "node3", 250.0), (0, "node4", 10.0)]
    {
        let got = rtt(from, to);
        assert!((got - expected).abs() < expected * 0.1, "node{} to {to}: {got} ms", from + 1);
    }
}

#[test]
fn twenty_nodes_join_through_a_ring() {
    for seed in 0..20 {
        let mut world = World::ring(Topology::flat(MS), seed, 20, Timing::Lan);
        world.start_all();
        assert!(world.run_until(at(SECOND), agreed), "seed {seed}");
    }
}

#[test]
fn a_dead_node_is_found_out_by_all() {
    for seed in 0..30 {
        let mut world = settled(Topology::flat(MS), seed, 20);
        let killed = world.now();
        world.kill(3);
        assert!(world.run_until(killed + 10 * SECOND, agreed), "seed {seed}: not known after 10 s");
        assert!(failures(world.log()).iter().all(|(_, name)| name == "node4"), "seed {seed}");
        assert_eq!(failures(world.log()).len(), 19, "seed {seed}: everyone says it once");
    }
}

#[test]
fn a_silent_death_is_known_to_all_within_three_seconds() {
    for seed in 0..100 {
        let mut world = settled(Topology::paper(), seed, 20);
        let killed = world.now();
        world.kill(seed as usize % 20);
        assert!(world.run_until(killed + 3 * SECOND, agreed), "seed {seed}: not known after 3 s");
        assert_eq!(failures(world.log()).len(), 19, "seed {seed}: everyone says it once");
        world.run(5 * SECOND);
        for entry in world.log().iter().filter(|entry| entry.at > killed) {
            let Event::Converged(convergence) = &entry.event else { continue };
            let elapsed = convergence.elapsed;
            let about = format!("node{}", seed % 20 + 1);
            assert_eq!(convergence.about.as_ref().map(crate::NodeName::as_str), Some(&*about), "seed {seed}");
            assert!(
                elapsed >= 500 * MS && elapsed <= 3 * SECOND,
                "seed {seed}: node {}: {elapsed:?}",
                entry.node
            );
        }
    }
}

#[test]
fn a_refused_port_is_evidence_but_no_verdict() {
    let detect = |refuses: bool, seed: u64| {
        let mut world = settled(Topology::flat(MS), seed, 20);
        world.refuse(refuses);
        let killed = world.now();
        world.kill(3);
        let suspected = |world: &World| {
            world
                .log()
                .iter()
                .any(|entry| entry.at >= killed && matches!(entry.event, Event::Suspected { .. }))
        };
        assert!(world.run_until(killed + 20 * SECOND, suspected), "seed {seed}");
        world.now().since(killed)
    };
    for seed in 0..10 {
        assert!(detect(true, seed) < detect(false, seed), "seed {seed}: suspected earlier");
    }
    for seed in 0..10 {
        // Down only for a moment: no one may call it failed.
        let mut world = settled(Topology::flat(MS), seed, 20);
        world.refuse(true);
        world.kill(3);
        world.run(700 * MS);
        world.start(3);
        world.run(10 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}");
        assert!(agreed(&world), "seed {seed}");
    }
}

#[test]
fn a_restarted_node_replaces_its_old_self_at_once() {
    for seed in 0..20 {
        let mut world = settled(Topology::flat(MS), seed, 5);
        world.kill(1);
        world.start(1);
        let restarted = world.now();
        world.run_until(restarted + SECOND, |world| {
            (0..5).all(|index| world.node(index).unwrap().live() == 5 && knows_boot_of(world, index, 1))
        });
        assert!((0..5).all(|index| knows_boot_of(&world, index, 1)), "seed {seed}");
        world.run(5 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}");
        assert!(agreed(&world), "seed {seed}");
    }
}

#[test]
fn who_leaves_has_not_failed() {
    for seed in 0..20 {
        let mut world = settled(Topology::flat(MS), seed, 10);
        world.leave(4);
        world.run(5 * SECOND);
        assert!(agreed(&world), "seed {seed}");
        assert_eq!(failures(world.log()), [], "seed {seed}");
        let left = |entry: &&Entry| matches!(&entry.event, Event::Left(member) if member.identity.name.as_str() == "node5");
        assert_eq!(world.log().iter().filter(left).count(), 9, "seed {seed}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let run = |seed| {
        let mut world = World::ring(Topology::paper().with(|link| link.loss = 0.2), seed, 9, Timing::Lan);
        world.start_all();
        world.run(20 * SECOND);
        world.kill(2);
        world.run(20 * SECOND);
        format!("{:?} {:?}", world.log(), world.node(0).unwrap().stats())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn islands_that_know_of_each_other_only_by_their_seeds_become_one_cluster() {
    for seed in 0..10 {
        let mut world = World::ring(Topology::flat(MS), seed, 10, Timing::Lan);
        world.partition(0..5);
        world.start_all();
        world.run(20 * SECOND);
        assert!((0..10).all(|index| world.node(index).unwrap().live() == 5), "seed {seed}: two islands");
        world.heal();
        assert!(world.run_until(world.now() + 20 * SECOND, agreed), "seed {seed}");
    }
}

#[test]
fn a_member_that_fails_again_and_again_gets_no_work_for_longer_and_longer() {
    let mut world = settled(Topology::flat(MS), 1, 8);
    let damped = |world: &World, by: usize| {
        let swim = world.node(by).unwrap();
        let peer = swim.peers().find(|peer| peer.identity.name.as_str() == "node4").unwrap();
        swim.damping(peer).map_or(0, |(_, until)| until.since(world.now()).as_secs())
    };
    let mut seen = Vec::new();
    for failure in 0..6 {
        world.kill(3);
        // Now and then it is back before anybody has noticed.
        world.run(if failure % 2 == 0 { 3 * SECOND } else { 100 * MS });
        world.start(3);
        world.run(SECOND);
        assert!(agreed(&world), "it is a member each time");
        seen.push(damped(&world, 0));
    }
    assert_eq!(seen[..2], [0, 0]);
    assert!(seen[2] >= 3 && seen[2..].windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert!((0..8).filter(|by| *by != 3).all(|by| damped(&world, by) > 0), "each finds that out for itself");
    world.run(60 * SECOND);
    assert!((0..8).filter(|by| *by != 3).all(|by| damped(&world, by) == 0), "until it has stayed");
}
