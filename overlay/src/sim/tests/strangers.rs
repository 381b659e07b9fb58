//! A cluster without a key, and those who are not of it.

use super::*;
use crate::{BootEpoch, DATAGRAM_BYTES_MAX, Identity, NodeKey};

/// What a node of this name, boot and incarnation would send.
fn datagram(name: &str, boot: u64, incarnation: u32, say: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let seal = Seal::new("starling", None, Versions::SPOKEN);
    let head = Head::new(NodeKey::of(&name.parse().unwrap()), BootEpoch(boot), Incarnation(incarnation), 0);
    let mut encoder = Encoder::new(Vec::new(), &seal, 1, &mut ChaCha8Rng::seed_from_u64(1), &head);
    say(&mut encoder);
    encoder.finish(&seal)
}

fn about(subject: &Identity, incarnation: u32, state: MemberState) -> Update<&Identity> {
    Update { subject: Subject::Full(subject), incarnation: Incarnation(incarnation), state, by: None }
}

fn fake(number: usize) -> Identity {
    let [_, a, b, c] = (number as u32).to_be_bytes();
    Identity {
        name: format!("fake{number}").parse().unwrap(),
        boot: BootEpoch(1_000_000),
        gossip: ([11, a, b, c], 9).into(),
        http_port: 9,
        zone: "z".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }
}

/// As many inventions as fit one datagram.
fn inventions(by: &str, numbers: &mut std::ops::RangeFrom<usize>) -> Vec<u8> {
    datagram(by, 1_000_000, 0, |say| {
        while say.update(&about(&fake(numbers.next().unwrap()), 0, MemberState::Alive)) {}
    })
}

#[test]
fn a_flood_of_invented_members_is_nothing_to_a_cluster_and_newcomers_are_let_in_meanwhile() {
    let mut world = settled(Topology::flat(MS), 1, 5);
    let mut numbers = 0..;
    let newcomer = world.add(Timing::Lan, vec!["node1".into()]);
    world.start(newcomer);
    let seen = world.log().len();
    for round in 0..500 {
        for index in 0..5 {
            let mut bytes = inventions("nobody", &mut numbers);
            world.inject(index, ([11, 0, 0, 1], 7).into(), &mut bytes);
        }
        if round == 250 {
            assert!(agreed(&world), "the newcomer is a member in the middle of it");
        }
        world.run(4 * MS);
    }
    world.run(5 * SECOND);
    assert!(agreed(&world));
    let of_members = |entry: &Entry| match &entry.event {
        Event::Joined(member) => member.identity.name.as_str() == "node6" || entry.node == newcomer,
        Event::Converged(_) => true,
        _ => false,
    };
    let strange: Vec<_> = world.log()[seen..].iter().filter(|entry| !of_members(entry)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn a_member_that_invents_others_does_not_stop_the_cluster() {
    let mut world = settled(Topology::flat(MS), 2, 5);
    let (boot, address) = {
        let me = world.node(0).unwrap().identity();
        (me.boot.0, me.gossip)
    };
    // It speaks in the name of the first member, and from there.
    let mut numbers = 0..;
    for _ in 0..200 {
        for index in 1..5 {
            let mut bytes = datagram("node1", boot, 0, |say| {
                while say.update(&about(&fake(numbers.next().unwrap()), 0, MemberState::Alive)) {}
            });
            world.inject(index, address, &mut bytes);
        }
        world.run(4 * MS);
    }
    let newcomer = world.add(Timing::Lan, vec!["node2".into()]);
    world.start(newcomer);
    world.run(5 * SECOND);
    for index in 0..6 {
        let swim = world.node(index).unwrap();
        let members = swim.peers().count();
        assert!(members <= 5 + 64 * 6, "node{} knows {members}", index + 1);
        let real =
            |name: &str| swim.peers().any(|peer| peer.identity.name.as_str() == name && peer.is_live());
        let missed: Vec<_> = (0..6)
            .map(|other| format!("node{}", other + 1))
            .filter(|name| *name != format!("node{}", index + 1) && !real(name))
            .collect();
        assert!(missed.is_empty(), "node{} misses {missed:?}", index + 1);
    }
}

#[test]
fn no_one_else_can_say_that_a_member_is_gone_for_good() {
    for (seed, state) in [MemberState::Left, MemberState::Dead, MemberState::Suspect].into_iter().enumerate()
    {
        for (boot, incarnation) in [
            (0, 0),
            (0, u32::MAX),
            (0, u32::MAX / 2),
            (BootEpoch::MAX.0, u32::MAX),
            (86_000_000, u32::MAX / 2),
        ] {
            let mut world = settled(Topology::flat(MS), seed as u64, 5);
            let victim = Identity { ..(**world.node(1).unwrap().identity()).clone() };
            let claimed = Identity { boot: victim.boot.max(BootEpoch(boot)), ..victim.clone() };
            let (boot_of_first, first) = {
                let me = world.node(0).unwrap().identity();
                (me.boot.0, me.gossip)
            };
            // A stranger, and a member that lies: it speaks from where the first one is.
            for (name, boot, from) in
                [("nobody", 1_000_000, SocketAddr::from(([11, 0, 0, 1], 7))), ("node1", boot_of_first, first)]
            {
                for index in 2..5 {
                    let mut bytes = datagram(name, boot, 0, |say| {
                        assert!(say.update(&about(&claimed, incarnation, state)));
                    });
                    assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
                    world.inject(index, from, &mut bytes);
                }
                world.run(5 * SECOND);
                let gone = |entry: &Entry| matches!(&entry.event, Event::Failed(_) | Event::Left(_));
                assert!(agreed(&world), "{name} says {state} of {boot}, {incarnation}");
                assert!(!world.log().iter().any(gone), "{name} says {state} of {boot}, {incarnation}");
            }
            // And after a restart.
            world.kill(1);
            world.run(SECOND);
            world.config_mut(1).identity.boot = BootEpoch(claimed.boot.0.min(90_000_000) + 100);
            world.boot(1);
            world.run(10 * SECOND);
            assert!(agreed(&world), "{state} of {boot}, {incarnation}, restarted");
        }
    }
}

#[test]
fn a_farewell_is_known_to_all_as_one_whoever_was_told() {
    for (seed, count) in [(1, 5), (2, 20), (3, 100), (4, 200)] {
        let mut world = World::warm(Topology::flat(MS), seed, count, Timing::Lan);
        world.run(3 * SECOND);
        let left = world.now();
        world.leave(1);
        let end = left + 3 * SECOND;
        assert!(world.run_until(end, agreed), "{count} nodes: not known after 3 s");
        println!("{count} nodes: {:?}", world.now().since(left));
        world.run(10 * SECOND);
        assert_eq!(failures(world.log()), [], "{count} nodes");
        let told = world.log().iter().filter(|entry| matches!(entry.event, Event::Left(_))).count();
        assert_eq!(told, count - 1, "{count} nodes: everyone says it once");
    }
}
