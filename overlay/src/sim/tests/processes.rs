//! Processes that stop, starve, restart and move.

use super::*;

#[test]
fn a_short_stop_is_forgiven_and_a_long_one_is_not_held_against_the_others() {
    for seed in 0..20 {
        let mut world = settled(Topology::flat(MS), seed, 8);
        world.pause(2, SECOND);
        world.run(10 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}: stopped for 1 s");
        world.pause(2, 20 * SECOND);
        world.run(40 * SECOND);
        let failed = failures(world.log());
        assert!(failed.iter().all(|(node, name)| name == "node3" && *node != 2), "seed {seed}: {failed:?}");
        assert!(agreed(&world), "seed {seed}: it came back by itself");
    }
}

#[test]
fn a_node_may_come_back_with_another_address_even_that_of_another_node() {
    for seed in 0..10 {
        let mut world = settled(Topology::flat(MS), seed, 6);
        world.kill(1);
        world.kill(2);
        world.readdress(1, address_of(100));
        world.readdress(2, address_of(1));
        world.start(2);
        world.start(1);
        assert!(
            world.run_until(world.now() + 5 * SECOND, |world| agreed(world) && knows_boot_of(world, 4, 2)),
            "seed {seed}"
        );
        world.run(10 * SECOND);
        assert!(agreed(&world), "seed {seed}");
        assert_eq!(failures(world.log()), [], "seed {seed}");
    }
}

#[test]
fn a_process_that_was_stopped_blames_nobody() {
    for (seed, seconds) in (0..12).map(|seed| (seed, [1, 5, 20, 60][seed as usize % 4])) {
        let mut world = settled(Topology::flat(MS), seed, 8);
        let mut checker = Checker::default();
        world.apply(&Fault::Pause(2, seconds * SECOND));
        watch(&mut world, &mut checker, (seconds + 10) * SECOND);
        let failed = failures(world.log());
        assert!(failed.iter().all(|(at, name)| name == "node3" && *at != 2), "seed {seed}: {failed:?}");
        assert!(world.fired().put_off > 0);
        comes_to_rest(&mut world, &mut checker);
    }
}

#[test]
fn members_starved_of_cpu_fail_nobody_else() {
    for (seed, starved) in (0..2).flat_map(|seed| [1, 6, 16].map(|starved| (seed, starved))) {
        let mut world = settled(Topology::flat(MS), seed, 50);
        let mut checker = Checker::default();
        let nodes: Vec<usize> = (0..starved).map(|number| number * 3).collect();
        world.apply(&Fault::Starve(nodes.clone(), 8 * SECOND, 20 * MS));
        watch(&mut world, &mut checker, 40 * SECOND);
        let healthy =
            |(_, name): &(usize, String)| !nodes.contains(&(name[4..].parse::<usize>().unwrap() - 1));
        let failed: Vec<_> = failures(world.log()).into_iter().filter(healthy).collect();
        assert_eq!(failed, [], "seed {seed}: {starved} of 50 starve");
        assert!(world.fired().starved > 0);
        world.apply(&Fault::Heal);
        watch(&mut world, &mut checker, 10 * SECOND);
        comes_to_rest(&mut world, &mut checker);
    }
}

/// 100 nodes that started at once from a ring of single seeds a minute ago, with hardly the CPU time for what comes in.
#[test]
fn a_crowd_that_starts_at_once_with_little_cpu_sheds_its_work_before_it_accuses() {
    let mut without = (0, 0);
    for (seed, cost) in [(0, 8), (1, 15), (1, 25)] {
        let bare = crowd::look(&crowd::begin(seed, cost * MS, false));
        without = (without.0 + bare.suspicions, without.1 + bare.false_failures);
        let mut world = crowd::begin(seed, cost * MS, true);
        assert!(world.fired().backlogged > 10_000, "seed {seed}: more comes in than is read");
        let begun = crowd::look(&world);
        assert!(begun.suspicions <= 300, "seed {seed}, {cost} ms a datagram: {begun:?}");
        assert_eq!(begun.false_failures, 0, "seed {seed}, {cost} ms a datagram");
        // It is careful, not blind: a death is known, and few are taken for dead with it.
        let run = crowd::die(&mut world);
        println!("seed {seed}, {cost} ms a datagram: {run:?}");
        assert!(run.all.is_some_and(|time| time < 60 * SECOND), "seed {seed}, {cost} ms: {run:?}");
        assert!(run.false_failures < 300, "seed {seed}, {cost} ms: {run:?}");
        let shed = |of: fn(&crate::Stats) -> u64| -> u64 {
            (0..world.len()).filter_map(|index| world.node(index)).map(|swim| of(swim.stats())).sum()
        };
        assert!(shed(|stats| stats.turns_shed) > 0, "seed {seed}, {cost} ms: no turns were left out");
        assert!(
            cost == 8 || shed(|stats| stats.relays_shed) > 0,
            "seed {seed}, {cost} ms: no relay was spared"
        );
    }
    assert!(without.0 > 2_000 && without.1 > 100, "without shedding there is a storm: {without:?}");
}

#[test]
fn a_slow_receiver_with_punctual_timers_fails_nobody_else() {
    for seed in 0..10 {
        let mut world = settled(Topology::flat(MS), seed, 20);
        let mut checker = Checker::default();
        world.apply(&Fault::Slow(2, 3 * SECOND));
        watch(&mut world, &mut checker, 60 * SECOND);
        let others: Vec<_> = failures(world.log()).into_iter().filter(|(_, name)| name != "node3").collect();
        assert_eq!(others, [], "seed {seed}");
        assert!(world.fired().slowed > 0);
        world.apply(&Fault::Heal);
        watch(&mut world, &mut checker, 5 * SECOND);
        comes_to_rest(&mut world, &mut checker);
    }
}

#[test]
fn clocks_and_addresses_that_change_with_a_restart_fail_nobody() {
    for seed in 0..10 {
        for faults in [
            vec![Fault::ClockStep(2, -86_400_000)],
            vec![Fault::ClockStep(2, 3_600_000), Fault::Kill(2), Fault::Start(2)],
            vec![Fault::Move(2)],
            vec![Fault::Swap(2, 5)],
            vec![Fault::Swap(2, 5), Fault::Swap(5, 1), Fault::ClockStep(1, -10_000)],
        ] {
            let (world, _) = stands(settled(Topology::flat(MS), seed, 8), &faults, 20 * SECOND);
            assert!((0..8).all(|index| knows_boot_of(&world, index, 2)), "seed {seed}: {faults:?}");
        }
    }
}

#[test]
fn when_all_start_again_at_once_nobody_fails() {
    for seed in 0..10 {
        let faults: Vec<Fault> = (0..12).map(Fault::Kill).chain((0..12).map(Fault::Start)).collect();
        let (world, _) = stands(settled(Topology::paper(), seed, 12), &faults, 20 * SECOND);
        assert_eq!((world.fired().killed, world.fired().restarted), (12, 12));
    }
}
