//! Who can reach whom.

use super::*;

#[test]
fn who_can_answer_refutes() {
    for seed in 0..20 {
        let mut world = settled(Topology::flat(MS), seed, 8);
        // Node 1 can't be heard by node 2, nor node 2 by node 1, but everyone else reaches both.
        world.block(0, 1);
        world.block(1, 0);
        world.run(60 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}");
        assert!(agreed(&world) || world.run_until(world.now() + 5 * SECOND, agreed), "seed {seed}");
    }
}

#[test]
fn a_partition_heals_by_itself() {
    for seed in 0..10 {
        let mut world = settled(Topology::flat(MS), seed, 20);
        world.partition(0..10);
        world.run(30 * SECOND);
        assert!((0..20).all(|index| world.node(index).unwrap().live() == 10), "seed {seed}: two halves");
        world.heal();
        let healed = world.now();
        assert!(world.run_until(healed + 20 * SECOND, agreed), "seed {seed}: did not merge");
    }
}

#[test]
fn a_partition_heals_even_after_the_dead_are_forgotten() {
    for seed in 0..3 {
        let mut world = settled(Topology::flat(MS), seed, 10);
        world.partition(0..5);
        world.run(16 * 60 * SECOND);
        let forgotten = (0..10).all(|index| world.node(index).unwrap().peers().count() == 4);
        assert!(forgotten, "seed {seed}: the other half is not even remembered");
        world.heal();
        assert!(world.run_until(world.now() + 30 * SECOND, agreed), "seed {seed}");
    }
}

#[test]
fn who_is_cut_off_from_all_blames_itself_first_and_then_knows_that_it_is_alone() {
    for (seed, loss) in (0..30).map(|seed| (seed, if seed % 2 == 0 { 0.0 } else { 0.3 })) {
        let mut world = settled(Topology::paper().with(|link| link.loss = loss), seed, 20);
        world.run(20 * SECOND);
        world.partition([4]);
        let cut = world.now();
        let alone = |world: &World| world.node(4).unwrap().live() == 1;
        // As long as it may be this node that is slow, it slanders nobody.
        assert!(!world.run_until(cut + 30 * SECOND, alone), "seed {seed}, loss {loss}: too soon");
        assert!(world.run_until(cut + 60 * SECOND, alone), "seed {seed}, loss {loss}: not after 60 s");
    }
}

fn number(name: &str) -> usize {
    name["node".len()..].parse::<usize>().unwrap() - 1
}

#[test]
fn two_halves_that_meet_in_one_member_are_one_cluster() {
    let mut wrong = 0;
    for seed in 0..20 {
        let mut world = settled(Topology::paper(), seed, 20);
        let mut checker = Checker::default();
        let half = |index: usize| if index == 0 { 0 } else { 1 + index % 2 };
        world.apply(&Fault::Bridge(0, (1..20).filter(|index| half(*index) == 1).collect()));
        watch(&mut world, &mut checker, 10 * SECOND);
        // It takes some tries to find out who reaches whom. Somebody may give up somebody of the other half meanwhile,
        // though only for a moment.
        let failed = failures(world.log());
        wrong += failed.len();
        assert!(failed.iter().all(|(at, name)| half(*at) != half(number(name))), "seed {seed}: {failed:?}");
        assert!(agreed(&world) || world.run_until(world.now() + 5 * SECOND, agreed), "seed {seed}");
        let seen = world.log().len();
        watch(&mut world, &mut checker, 90 * SECOND);
        assert_eq!(failures(&world.log()[seen..]), [], "seed {seed}");
        let last = doubted(&world.log()[seen..]).count();
        assert!(last <= 10 * 19, "seed {seed}: {last} words of suspicion, as of ten members in 90 s");
        assert!(
            doubted(world.log()).all(|(_, name)| number(name) != 0),
            "seed {seed}: nobody doubts the bridge"
        );
        assert!(world.fired().blocked > 1_000);
        world.apply(&Fault::Heal);
        comes_to_rest(&mut world, &mut checker);
    }
    assert!(wrong <= 10, "{wrong} of 3,600 views were wrong for a moment");
}

#[test]
fn pairs_that_do_not_reach_each_other_fail_nobody_and_leave_the_others_alone() {
    for seed in 0..10 {
        // Of twelve nodes, some pairs among the first eight.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pairs: Vec<(usize, usize)> = (0..8)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .filter(|_| rand::Rng::random_bool(&mut rng, 0.3))
            .collect();
        let (world, seen) = stands(
            settled(Topology::flat(MS), seed, 12),
            &[Fault::NonTransitive(pairs.clone())],
            60 * SECOND,
        );
        let blocked = |index: usize| pairs.iter().any(|(a, b)| *a == index || *b == index);
        let unrelated = doubted(&world.log()[seen..]).find(|(_, name)| !blocked(number(name)));
        assert_eq!(unrelated, None, "seed {seed}");
        assert!(world.fired().blocked > 0);
    }
}

#[test]
fn a_node_that_is_half_reachable_makes_no_other_one_flap() {
    let others = || (0..20).filter(|other| *other != 3);
    for seed in 0..10 {
        // Nothing reaches node 3, or nothing that it sends arrives, or half of the others don't reach it at all.
        let to = others().map(|other| Fault::OneWay(other, 3)).collect();
        let from = others().map(|other| Fault::OneWay(3, other)).collect();
        let half = vec![Fault::NonTransitive((10..20).map(|other| (3, other)).collect())];
        for (faults, related) in [(to, 3..4), (from, 3..4), (half, 10..20)] {
            let mut world = settled(Topology::flat(MS), seed, 20);
            let mut checker = Checker::default();
            for fault in &faults {
                world.apply(fault);
            }
            watch(&mut world, &mut checker, 120 * SECOND);
            let unrelated = doubted(world.log()).filter(|(at, _)| *at != 3);
            let unrelated: Vec<_> =
                unrelated.filter(|(_, name)| number(name) != 3 && !related.contains(&number(name))).collect();
            assert_eq!(unrelated, [], "seed {seed}: {:?}", faults[0]);
            let others: Vec<_> =
                failures(world.log()).into_iter().filter(|(at, name)| *at != 3 && name != "node4").collect();
            assert_eq!(others, [], "seed {seed}: {:?}", faults[0]);
            assert!(world.fired().blocked > 0);
            world.apply(&Fault::Heal);
            comes_to_rest(&mut world, &mut checker);
        }
    }
}

#[test]
fn links_that_come_and_go_fail_nobody() {
    for (seed, time) in (0..10).map(|seed| (seed, [200, 1_000, 5_000][seed as usize % 3])) {
        let pairs = (1..20).map(|index| (index, (index + 7) % 20)).collect();
        let (world, _) =
            stands(settled(Topology::flat(MS), seed, 20), &[Fault::Flap(pairs, time * MS)], 60 * SECOND);
        assert!(world.fired().flapped > 0);
        // All links of one node, down for no longer than it takes to refute.
        let all = (0..20).filter(|other| *other != 3).map(|other| (3, other)).collect();
        let (world, _) =
            stands(settled(Topology::flat(MS), seed, 20), &[Fault::Flap(all, 700 * MS)], 60 * SECOND);
        assert!(world.fired().flapped > 0);
    }
}

#[test]
fn islands_that_have_forgotten_each_other_and_whose_seeds_are_dead_find_each_other() {
    for seed in 0..3 {
        let mut world = World::ring(Topology::flat(MS), seed, 6, Timing::Local);
        // All joined through two nodes that do not live to see the end.
        for node in 0..6 {
            world.config_mut(node).seeds = vec!["node1".into(), "node4".into()];
        }
        world.start_all();
        assert!(world.run_until(at(10 * SECOND), agreed), "seed {seed}");
        world.run(SECOND);
        world.apply(&Fault::Kill(0));
        world.apply(&Fault::Kill(3));
        world.apply(&Fault::Partition(vec![1, 2]));
        // The dead are forgotten after 120 s.
        world.run(150 * SECOND);
        assert_eq!(world.node(1).unwrap().peers().count(), 1, "seed {seed}: the rest is forgotten");
        world.apply(&Fault::Heal);
        let end = world.now() + 20 * SECOND;
        assert!(world.run_until(end, agreed), "seed {seed}: still islands");
    }
}
