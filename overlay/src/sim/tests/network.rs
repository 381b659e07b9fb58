//! What a network does to datagrams.

use super::*;

#[test]
fn heavy_loss_fails_nobody() {
    for seed in 0..4 {
        let mut world = settled(Topology::flat(MS), seed, 20);
        world.change_links(|link| link.loss = 0.4);
        world.run(60 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}");
    }
}

#[test]
fn what_a_network_does_to_datagrams_fails_nobody() {
    type Counter = fn(&Fired) -> u64;
    let faults: [(Fault, Counter); 6] = [
        (Fault::Bursts(0.2, 10.0), |fired| fired.lost),
        (Fault::Duplicate(0.5), |fired| fired.duplicated),
        (Fault::Reorder(0.5), |fired| fired.reordered),
        (Fault::Corrupt(0.3), |fired| fired.corrupted),
        (Fault::Replay(0.5), |fired| fired.replayed),
        (Fault::Delay(400 * MS), |fired| fired.delayed),
    ];
    for (fault, counter) in faults {
        for seed in 0..4 {
            let (world, _) =
                stands(settled(Topology::paper(), seed, 20), std::slice::from_ref(&fault), 60 * SECOND);
            let takes_long = fault != Fault::Delay(400 * MS);
            assert_eq!(counter(&world.fired()) > 0, takes_long, "seed {seed}: {fault:?} did fire");
        }
    }
}

#[test]
fn delays_beyond_all_timeouts_keep_the_rules_and_are_over_when_they_are_over() {
    for (seed, delay) in (0..6).map(|seed| (seed, [700, 1_500, 3_000][seed as usize % 3])) {
        let mut world = settled(Topology::flat(MS), seed, 12);
        let mut checker = Checker::default();
        world.apply(&Fault::Delay(delay * MS));
        watch(&mut world, &mut checker, 60 * SECOND);
        assert!(world.fired().delayed > 1_000);
        world.apply(&Fault::Heal);
        // The last that was delayed is still on its way.
        watch(&mut world, &mut checker, 3 * SECOND);
        comes_to_rest(&mut world, &mut checker);
    }
}

#[test]
fn half_of_all_datagrams_lost_breaks_no_rule_and_is_over_when_it_is_over() {
    for (seed, fault) in (0..4).map(|seed| (seed, [Fault::Loss(0.5), Fault::Bursts(0.5, 10.0)])) {
        let mut world = settled(Topology::paper(), seed, 12);
        let mut checker = Checker::default();
        world.apply(&fault[seed as usize % 2]);
        watch(&mut world, &mut checker, 40 * SECOND);
        assert!(world.fired().lost > 1_000, "seed {seed}: {}", world.fired().lost);
        world.apply(&Fault::Heal);
        comes_to_rest(&mut world, &mut checker);
    }
}

/// Every direction of these nodes.
fn all_links_of(nodes: &[usize], count: usize) -> Vec<(usize, usize)> {
    let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    pairs.filter(|(a, b)| a != b && (nodes.contains(a) || nodes.contains(b))).collect()
}

#[test]
fn where_large_datagrams_vanish_members_still_find_each_other() {
    for (seed, bytes) in (0..12).map(|seed| (seed, [600, 1_200][seed as usize % 2])) {
        // One node behind a tunnel, and then a whole cluster of such.
        for behind in [vec![3], (0..20).collect()] {
            let mut world = settled(Topology::flat(MS), seed, 20);
            let mut checker = Checker::default();
            world.apply(&Fault::BlackHole(all_links_of(&behind, 20), bytes));
            watch(&mut world, &mut checker, 20 * SECOND);
            // Many come at once, so that datagrams are full; those behind the tunnel have all to learn.
            let again: Vec<usize> =
                (2..16).chain(behind.iter().copied().filter(|node| *node >= 16)).collect();
            for node in &again {
                world.apply(&Fault::Kill(*node));
            }
            watch(&mut world, &mut checker, SECOND / 2);
            for node in &again {
                world.apply(&Fault::Start(*node));
            }
            let end = world.now() + 10 * SECOND;
            assert!(world.run_until(end, agreed), "seed {seed}: {} behind {bytes} bytes", behind.len());
            watch(&mut world, &mut checker, 20 * SECOND);
            assert_eq!(failures(world.log()), [], "seed {seed}: {} behind {bytes} bytes", behind.len());
            assert!(world.fired().swallowed > 0, "seed {seed}: the hole was met");
            checker.liveness(&world);
            assert_eq!(checker.violations(), [], "seed {seed}");
        }
    }
}

#[test]
fn full_sockets_fail_nobody() {
    for seed in 0..10 {
        // All of them take little, and then half of them start again; or some take next to nothing, when half of the others start again.
        let (full, most) = if seed % 2 == 0 { (0..20, 5) } else { (0..3, 3) };
        let full = full.map(|node| Fault::FullBuffer(node, most, 100 * MS));
        let restarts = (10..20).flat_map(|node| [Fault::Kill(node), Fault::Start(node)]);
        let faults: Vec<Fault> = full.chain(restarts).collect();
        let (world, _) = stands(settled(Topology::flat(MS), seed, 20), &faults, 60 * SECOND);
        assert!(world.fired().overflowed > 0, "seed {seed}");
    }
}

#[test]
fn a_nat_that_rebinds_a_port_fails_nobody_and_nothing_flaps() {
    for (seed, keeps_old) in (0..20).map(|seed| (seed, seed % 2 == 0)) {
        let topology = if seed % 4 < 2 { Topology::paper() } else { Topology::flat(MS) };
        let mut world = settled(topology, seed, 20);
        let mut checker = Checker::default();
        for node in [3, 4, 11] {
            world.apply(&Fault::Rebind(node, keeps_old));
        }
        watch(&mut world, &mut checker, 60 * SECOND);
        let seen = world.log().len();
        // By now each has heard of each other one at its new port. And again.
        watch(&mut world, &mut checker, 60 * SECOND);
        assert_eq!(doubted(&world.log()[seen..]).count(), 0, "seed {seed}, {keeps_old}");
        world.apply(&Fault::Rebind(3, keeps_old));
        watch(&mut world, &mut checker, 60 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}, {keeps_old}");
        assert!(world.fired().rebound > 0);
        assert_eq!(world.fired().misdirected > 0, !keeps_old);
        comes_to_rest(&mut world, &mut checker);
        // A real death behind the NAT is found out as any other.
        world.apply(&Fault::Kill(4));
        assert!(world.run_until(world.now() + 10 * SECOND, agreed), "seed {seed}, {keeps_old}");
    }
}

#[test]
fn old_datagrams_say_nothing_new() {
    for seed in 0..6 {
        let mut world = settled(Topology::flat(MS), seed, 12);
        let mut checker = Checker::default();
        world.apply(&Fault::Replay(0.5));
        watch(&mut world, &mut checker, 20 * SECOND);
        // One is gone, one comes back as another boot, one has refuted a suspicion.
        world.kill(3);
        world.apply(&Fault::Kill(4));
        world.apply(&Fault::Start(4));
        world.apply(&Fault::Pause(5, 2 * SECOND));
        watch(&mut world, &mut checker, 20 * SECOND);
        let seen = world.log().len();
        watch(&mut world, &mut checker, 120 * SECOND);
        let told = world.log()[seen..].iter().filter(|entry| !matches!(entry.event, Event::Converged(_)));
        assert_eq!(told.count(), 0, "seed {seed}: nobody comes back, nobody fails");
        assert!(world.fired().replayed_after_restart > 0, "seed {seed}");
        comes_to_rest(&mut world, &mut checker);
    }
}
