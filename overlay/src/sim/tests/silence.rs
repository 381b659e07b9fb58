//! Members of which nothing is heard.

use super::*;

/// What node 2 seems to say: that node 5 is alive, in this incarnation.
fn forged(world: &World, incarnation: u32) -> Vec<u8> {
    let [by, of] = [1, 4].map(|index| world.nodes[index].config.identity.clone());
    let seal = Seal::new("starling", None, Versions::SPOKEN);
    let head = Head::new(NodeKey::of(&by.name), by.boot, Incarnation(0), 0);
    let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut ChaCha8Rng::seed_from_u64(1), &head);
    let subject = Subject::Full(&of);
    let incarnation = Incarnation(incarnation);
    assert!(encoder.update(&Update { subject, incarnation, state: MemberState::Alive, by: None }));
    encoder.finish(&seal)
}

#[test]
fn a_belief_that_rests_on_nothing_heard_breaks_a_rule() {
    let mut world = settled(Topology::flat(MS), 1, 5);
    world.keep_contacts();
    let mut checker = Checker::default();
    world.kill(4);
    for second in 1..=120 {
        // The world's truth has it that node 5 lives and refutes: what is missing is any way to hear of that.
        let identity = world.nodes[4].config.identity.clone();
        let word = |second: u32| (identity.boot, Incarnation(second));
        world.truth.said(NodeKey::of(&identity.name), word(second - 1), word(second));
        let mut bytes = forged(&world, second);
        world.inject(0, address_of(1), &mut bytes);
        watch(&mut world, &mut checker, SECOND);
    }
    let unheard =
        |violation: &&crate::sim::Violation| violation.what.contains("has not been able to hear for");
    assert!(checker.violations().iter().any(|violation| unheard(&violation)), "{:?}", checker.violations());
}

#[test]
fn a_few_survivors_stay_together_and_each_one_that_is_alone_knows_that_it_is() {
    for (seed, survivors) in (0..12).map(|seed| (seed, 1 + seed as usize % 4)) {
        let mut world = settled(Topology::paper(), seed, 40);
        world.keep_contacts();
        let mut checker = Checker::default();
        let left: Vec<usize> = (0..survivors).map(|number| number * 7).collect();
        world.apply(&Fault::MassDeath(left.clone(), seed % 2 == 0));
        watch(&mut world, &mut checker, 80 * SECOND);
        assert!(agreed(&world), "seed {seed}: {survivors} of 40");
        let wrong = failures(world.log()).into_iter().find(|(_, name)| left.contains(&number_of(name)));
        assert_eq!(wrong, None, "seed {seed}");
        assert_eq!(world.fired().mass_killed, 40 - survivors as u64);
        world.start_all();
        comes_to_rest(&mut world, &mut checker);
    }
}

#[test]
fn a_few_on_the_small_side_of_a_split_stay_together_too() {
    for seed in 0..6 {
        let mut world = settled(Topology::paper(), seed, 40);
        let mut checker = Checker::default();
        world.apply(&Fault::Partition(vec![3, 30]));
        watch(&mut world, &mut checker, 30 * SECOND);
        let live: Vec<usize> = (0..40).map(|index| world.node(index).unwrap().live()).collect();
        assert!(
            (0..40).all(|index| live[index] == if [3, 30].contains(&index) { 2 } else { 38 }),
            "{live:?}"
        );
        world.apply(&Fault::Heal);
        comes_to_rest(&mut world, &mut checker);
    }
}

#[test]
fn a_node_that_hears_nobody_calls_the_roll_in_bounds() {
    for seed in 0..4 {
        let mut world = settled(Topology::flat(MS), seed, 100);
        world.partition([4]);
        let sent = |world: &World| world.node(4).unwrap().stats().datagrams_sent;
        world.run(3 * SECOND);
        let before = sent(&world);
        world.run(37 * SECOND);
        let per_second = (sent(&world) - before) as f64 / 37.0;
        assert!(per_second < 300.0, "seed {seed}: {per_second} datagrams a second");
        assert_eq!(world.node(4).unwrap().live(), 100, "seed {seed}: it doubts itself, not the others");
    }
}

fn number_of(name: &str) -> usize {
    name["node".len()..].parse::<usize>().unwrap() - 1
}
