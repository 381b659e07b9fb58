//! Who says what of whom.

use super::*;

/// A datagram that says something about a member in the name of `from`.
fn slander(world: &World, from: usize, of: usize, incarnation: u32, state: MemberState) -> Vec<u8> {
    let (from, of) = (world.node(from).unwrap(), world.node(of).unwrap());
    let seal = Seal::new("starling", None, Versions::SPOKEN);
    let head = Head::new(from.key(), from.identity().boot, from.incarnation(), 0);
    let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut ChaCha8Rng::seed_from_u64(1), &head);
    let subject = Subject::Key(of.key(), of.identity().boot);
    assert!(encoder.update(&Update {
        subject,
        incarnation: Incarnation(incarnation),
        state,
        by: Some(from.key())
    }));
    encoder.finish(&seal)
}

#[test]
fn the_highest_incarnation_evicts_nobody_for_good() {
    for state in [MemberState::Suspect, MemberState::Dead, MemberState::Left] {
        let mut world = settled(Topology::flat(MS), 5, 6);
        let bytes = slander(&world, 1, 0, u32::MAX, state);
        for index in 2..6 {
            world.inject(index, address_of(1), &mut bytes.clone());
        }
        assert!(
            world.run_until(world.now() + 10 * SECOND, |world| agreed(world) && knows_boot_of(world, 3, 0)),
            "{state}"
        );
        world.run(10 * SECOND);
        assert!(agreed(&world), "{state}");
    }
}

#[test]
fn two_nodes_with_one_name_do_not_make_the_cluster_flap() {
    for apart in [0, 1500] {
        two_nodes_with_one_name(apart * MS);
    }
}

fn two_nodes_with_one_name(apart: Duration) {
    let mut world = World::ring(Topology::flat(MS), 3, 6, Timing::Lan);
    world.config_mut(5).identity.name = "node1".parse().unwrap();
    (0..5).for_each(|index| world.start(index));
    world.run(apart);
    world.start(5);
    world.run(10 * SECOND);
    let conflicts = |world: &World| {
        let told = |entry: &&Entry| matches!(entry.event, Event::NameConflict { .. });
        world.log().iter().filter(told).map(|entry| entry.node).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(conflicts(&world), [0, 5].into(), "both say so, {apart:?}");
    let before = world.log().len();
    world.run(50 * SECOND);
    let flapping = world.log()[before..]
        .iter()
        // The two can't converge, and say so.
        .filter(|entry| {
            let stays = matches!(
                entry.event,
                Event::NameConflict { .. } | Event::Converged(_) | Event::NotConverged { .. }
            );
            !stays
        });
    assert_eq!(flapping.count(), 0, "{apart:?}");
}

#[test]
fn a_stranger_who_names_a_victim_gets_no_more_sent_there_than_three_times_what_it_sent() {
    let mut world = settled(Topology::flat(MS), 3, 20);
    let victim = address_of(77);
    let seal = Seal::new("starling", None, Versions::SPOKEN);
    let identity = crate::Identity {
        name: "evil".parse().unwrap(),
        gossip: victim,
        ..(**world.node(1).unwrap().identity()).clone()
    };
    let key = crate::NodeKey::of(&identity.name);
    let head = Head::new(key, identity.boot, Incarnation(0), 0);
    for (message, pad) in [
        (Message::Join { seq: 1, from: (&identity).into() }, false),
        (Message::Join { seq: 2, from: (&identity).into() }, true),
        (Message::Ping { seq: 3, to: world.node(0).unwrap().key(), from: Some((&identity).into()) }, false),
        (Message::Records { first: 0, last: u64::MAX }, false),
        (Message::PingReq { seq: 4, target: world.node(2).unwrap().key() }, false),
    ] {
        let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut ChaCha8Rng::seed_from_u64(1), &head);
        encoder.message(&message);
        if pad {
            encoder.pad();
        }
        let mut bytes = encoder.finish(&seal);
        let mut swim = world.take(0).unwrap();
        swim.handle(world.now(), Input::Datagram { from: victim, bytes: &mut bytes });
        let mut answered = 0;
        while let Output::Send { .. } | Output::Event(_) = swim_output(&mut swim, victim, &mut answered) {}
        assert!(answered <= 3 * bytes.len(), "{message:?}: {answered} bytes for {}", bytes.len());
        world.put(0, swim);
    }
}

fn swim_output(swim: &mut crate::Swim, victim: SocketAddr, answered: &mut usize) -> Output {
    let output = swim.poll();
    if let Output::Send { to, bytes } = &output
        && *to == victim
    {
        *answered += bytes.len();
    }
    output
}
