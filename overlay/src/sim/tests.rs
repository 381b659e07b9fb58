//! The protocol at work in the simulated network.

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::nodes::address_of;
use super::{Entry, Fired, Report, Topology, World, run_mixed};
use crate::wire::{Encoder, Head, Message, Seal, Subject, Update};
use crate::{Event, Incarnation, Input, KEY_BYTES, Keyring, MemberState, Output, Time, Timing, Versions};

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
            assert!(
                elapsed >= 500 * MS && elapsed <= 3 * SECOND,
                "seed {seed}: node {}: {elapsed:?}",
                entry.node
            );
        }
    }
}

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

fn knows_boot_of(world: &World, index: usize, of: usize) -> bool {
    let target = world.node(of).unwrap().identity();
    index == of || world.node(index).unwrap().peers().any(|peer| peer.identity == *target && peer.is_live())
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
fn heavy_loss_fails_nobody() {
    for seed in 0..4 {
        let mut world = settled(Topology::flat(MS), seed, 20);
        world.change_links(|link| link.loss = 0.4);
        world.run(60 * SECOND);
        assert_eq!(failures(world.log()), [], "seed {seed}");
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
fn any_mix_of_faults_keeps_the_rules_and_comes_to_rest() {
    let reports: Vec<Report> = (0..200).map(run_mixed).collect();
    let broken = |report: &&Report| !report.violations.is_empty();
    let failed: Vec<_> =
        reports.iter().filter(broken).map(|r| format!("seed {}: {:#?}", r.seed, r.violations)).collect();
    assert!(failed.is_empty(), "{} of 200 runs: {}", failed.len(), failed.join("\n"));
    for (what, count) in [
        ("lost", &(|f: &Fired| f.lost) as &dyn Fn(&Fired) -> u64),
        ("blocked", &|f| f.blocked),
        ("duplicated", &|f| f.duplicated),
        ("corrupted", &|f| f.corrupted),
        ("put off", &|f| f.put_off),
        ("killed", &|f| f.killed),
        ("restarted", &|f| f.restarted),
        ("left", &|f| f.left),
        ("clock steps", &|f| f.clock_steps),
        ("moved", &|f| f.moved),
    ] {
        assert!(reports.iter().any(|report| count(&report.fired) > 0), "nothing was {what}");
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
fn keys_are_changed_without_losing_a_member_even_in_a_partition() {
    let [old, new] = [1, 2].map(|byte| Keyring::line(&[byte; KEY_BYTES]));
    let ring = |keys: &[&str]| Keyring::parse(&keys.join("\n")).unwrap();
    for seed in 0..5 {
        let mut world = World::ring(Topology::flat(MS), seed, 10, Timing::Lan);
        for index in 0..10 {
            world.config_mut(index).keys = Some(ring(&[&old]));
        }
        world.start_all();
        assert!(world.run_until(at(10 * SECOND), agreed), "seed {seed}");
        for step in [ring(&[&old, &new]), ring(&[&new, &old]), ring(&[&new])] {
            for index in 0..10 {
                world.input(index, Input::Keys(&step));
                world.run(300 * MS);
            }
            world.run(3 * SECOND);
        }
        assert_eq!(failures(world.log()), [], "seed {seed}");
        // One half gets a newer key while it is cut off; both still open the one in use.
        let newest = Keyring::line(&[3; KEY_BYTES]);
        world.partition(0..5);
        world.run(20 * SECOND);
        for index in 0..5 {
            world.input(index, Input::Keys(&ring(&[&new, &newest])));
        }
        world.heal();
        assert!(world.run_until(world.now() + 5 * SECOND, agreed), "seed {seed}");
    }
}

#[test]
fn who_has_the_wrong_key_stays_outside() {
    let mut world = World::ring(Topology::flat(MS), 1, 4, Timing::Lan);
    for index in 0..4 {
        world.config_mut(index).keys = Some(Keyring::new([u8::from(index == 3); KEY_BYTES]));
    }
    world.start_all();
    world.run(10 * SECOND);
    assert_eq!((0..4).map(|index| world.node(index).unwrap().live()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    assert!(world.node(0).unwrap().stats().datagrams_rejected > 0);
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
        .filter(|entry| !matches!(entry.event, Event::NameConflict { .. } | Event::Converged(_)));
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
