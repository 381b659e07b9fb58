//! `eta`: times by hand.

use std::time::{Duration, Instant};

use starling_overlay::{Load, LoadSample};

use crate::desk::Backlog;
use crate::policy::testing::{Decider, demand, identity, member, profile, sample, view_of};
use crate::policy::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);

/// This node in FRA with so many jobs on one worker, ten seconds each; and peers, of zone, RTT in milliseconds, and what they say.
fn decider(own_jobs: u16, peers: &[(&str, u64, LoadSample)], now: Instant) -> Decider {
    let peers = (2..).zip(peers).map(|(number, (zone, rtt, load))| {
        member(&format!("node{number}"), zone, Some(*rtt), Some(*load), now)
    });
    let view = view_of(now, member("node1", "FRA", Some(0), None, now), peers.collect());
    Decider::new(PolicyKind::Eta, view, now).own_jobs(own_jobs, 1, 10 * SECOND)
}

fn score(decider: &Decider, name: &str) -> f64 {
    let ranked = decider.rank();
    ranked.iter().find(|candidate| candidate.identity.name.as_str() == name).unwrap().score
}

#[test]
fn a_prediction_is_way_wait_work_and_way_back() {
    let now = start();
    // Twice as fast, with two jobs of 5 s each, one of them running: 2.5 s until its end, and 5 s for the other.
    let busy = decider(3, &[("IAD", 100, sample(2, 1, 5 * SECOND))], now);
    let ranked = busy.rank();
    let peer = ranked.iter().find(|candidate| !candidate.is_local()).unwrap();
    assert_eq!(peer.work, 5 * SECOND);
    // 100 ms for the offer, 7.5 s of waiting in which a megabyte goes there, 5 s of work, 50 ms and half a megabyte back.
    let expected = 0.1 + 7.5 + 5.0 + 0.05 + 0.5e6 / 12.5e6;
    let margin = 0.05 * 25.0;
    let most = expected * 1.05 + margin;
    assert!((expected + margin..=most).contains(&peer.score), "{} is not {expected} to {most}", peer.score);
    assert!((score(&busy, "node1") - 25.0).abs() < 1e-9, "three jobs of ten seconds, and its own");
    assert_eq!(busy.first(), "node2");
    // With a longer wait there the job would be done sooner here.
    let Patience::UpTo(bearable) = peer.patience else { panic!("{:?}", peer.patience) };
    assert!((bearable.as_secs_f64() - (25.0 - 0.1 - 5.0 - 0.05 - 0.04)).abs() < 1e-6, "{bearable:?}");
    let backlog = peer.backlog_max(busy.own.backlog).unwrap();
    assert_eq!(backlog.wait_ms, Some(bearable.as_millis() as u32));
    assert_eq!(backlog.jobs_per_worker_permille, 3000);
}

#[test]
fn the_way_counts_where_it_is_longer_than_the_wait() {
    let now = start();
    let mut far = decider(1, &[("IAD", 100, sample(0, 1, 10 * SECOND))], now);
    far.job.bytes = 125_000_000;
    // Ten seconds there and five back over what is thought of a way to another zone: it stays.
    assert_eq!(far.first(), "node1");
    let peer = identity("node2", "IAD");
    for direction in [Direction::There, Direction::Back] {
        far.experience.bandwidths.learn(now, &peer, direction, 125_000_000, SECOND);
    }
    far.own.backlog.wait_ms = Some(9_000);
    assert_eq!(far.first(), "node2", "the way was seen to be ten times as fast");
}

/// The sweep of the issue: the longer the work takes against its way, the farther a job goes, without a weight.
#[test]
fn short_jobs_stay_and_long_ones_go_where_it_is_idle() {
    let now = start();
    let goes = |work_ms: u32| {
        let service = Duration::from_millis(work_ms.into());
        let mut decider = decider(0, &[("BOM", 200, sample(0, 1, service))], now).own_jobs(2, 1, service);
        (decider.job.bytes, decider.job.work_pixels) = (10_000, None);
        decider.first() == "node2"
    };
    let crossing: Vec<bool> = [1, 10, 100, 200, 1_000, 10_000].map(goes).to_vec();
    assert_eq!(crossing, [false, false, false, false, true, true]);
}

/// The load sample of this node has the place that the job itself holds.
#[test]
fn before_anything_was_learned_a_job_does_not_wait_for_itself() {
    let now = start();
    let mut decider = decider(0, &[("FRA", 1, sample(0, 1, 5 * SECOND))], now);
    let wait = |decider: &mut Decider, jobs_before: u32, wait_ms| {
        let load = LoadSample { running_jobs: 1, queued_jobs: 1, workers: 2, ..LoadSample::default() };
        let backlog = Backlog { jobs_per_worker_permille: jobs_before * 500, wait_ms };
        decider.own = OwnDesk { load: LoadSample { backlog_ms: 2_500, ..load }, backlog, service: None };
        let ranked = decider.rank();
        let here = ranked.iter().find(|candidate| candidate.is_local()).unwrap();
        here.forecast.unwrap().wait
    };
    assert_eq!(wait(&mut decider, 1, Some(0)), Duration::ZERO, "a worker is free");
    assert_eq!(wait(&mut decider, 1, None), Duration::ZERO, "as an older port has it");
    // A job that runs is half done, and one waits: 5 s each, on two workers.
    assert_eq!(wait(&mut decider, 2, None), Duration::from_millis(2_500 + 5_000) / 2);
}

#[test]
fn it_stays_here_unless_a_peer_is_sooner_by_a_margin() {
    let now = start();
    // The peer is idle and next door; here a job waits so long.
    let first = |wait_ms| {
        let mut decider = decider(0, &[("FRA", 1, sample(0, 1, 10 * SECOND))], now);
        decider.own.backlog.wait_ms = Some(wait_ms);
        (0..50).filter(|seed| Decider { seed: *seed, ..clone(&decider) }.first() == "node2").count()
    };
    assert_eq!((first(0), first(100), first(400)), (0, 0, 0), "a little sooner, perhaps, is not enough");
    assert_eq!(first(1_200), 50, "by a margin, and whatever was drawn");
}

fn clone(decider: &Decider) -> Decider {
    Decider {
        policy: decider.policy,
        view: decider.view.clone(),
        job: demand(),
        own: decider.own,
        experience: decider.experience.clone(),
        avoided: decider.avoided.clone(),
        ..*decider
    }
}

#[test]
fn own_hand_offs_count_before_gossip_shows_them() {
    let now = start();
    let idle = sample(0, 1, 10 * SECOND);
    let mut decider = decider(2, &[("FRA", 1, idle), ("FRA", 2, idle), ("FRA", 3, idle)], now);
    let mut got = Vec::new();
    for _ in 0..3 {
        let first = decider.rank().swap_remove(0);
        got.push(first.identity.name.to_string());
        let (peer, boot) = (first.identity.name.clone(), first.identity.boot);
        let handing = Handing { peer, boot, profile: profile().clone(), bytes: 1_000_000, work: first.work };
        decider.experience.ledger.begin(now, handing);
    }
    got.sort();
    assert_eq!(got, ["node2", "node3", "node4"], "each gets one");
    assert_eq!(decider.rank()[0].work, 10 * SECOND);
}

/// Many nodes see the same samples, and choose by themselves at the same moment.
#[test]
fn nodes_with_one_view_do_not_all_choose_the_same_peer() {
    let now = start();
    let idle = sample(0, 1, 10 * SECOND);
    let peers: Vec<_> = (0..10).map(|number| ("FRA", 1 + number, idle)).collect();
    let age = Duration::from_secs(2);
    let mut decider = decider(4, &peers, now);
    decider.now += age;
    let mut chosen = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..1_000 {
        *chosen.entry(Decider { seed, ..clone(&decider) }.first()).or_default() += 1;
    }
    assert_eq!(chosen.len(), 10);
    assert!(chosen.values().all(|count| *count < 200), "{chosen:?}");
    // One that is clearly better is taken by all, however old its sample is.
    decider.view.peers[3].load = Some(Load { sample: sample(0, 1, 2 * SECOND), taken: now });
    assert!((0..50).all(|seed| Decider { seed, ..clone(&decider) }.first() == "node5"));
}

#[test]
fn a_peer_at_which_jobs_fail_is_penalized_until_that_is_forgotten() {
    let now = start();
    let idle = sample(0, 1, 10 * SECOND);
    let mut decider = decider(3, &[("FRA", 1, idle), ("IAD", 90, idle)], now);
    decider.seed = 1;
    for _ in 0..2 {
        decider.experience.reliability.learn(now, &"node2".parse().unwrap(), true);
    }
    assert_eq!(decider.order(), "node3 node2 node1");
    for _ in 0..20 {
        decider.experience.reliability.learn(now, &"node2".parse().unwrap(), true);
    }
    assert_eq!(decider.order(), "node3 node1 node2");
    let later = Duration::from_secs(600);
    decider.now += later;
    for peer in &mut decider.view.peers {
        peer.load.as_mut().unwrap().taken += later;
    }
    let firsts: Vec<_> = (0..40).map(|seed| Decider { seed, ..clone(&decider) }.first()).collect();
    assert!(firsts.iter().any(|first| first == "node2"), "{firsts:?}");
}

/// What a peer says when it refuses is newer than its sample.
#[test]
fn a_peer_that_refused_is_believed_until_its_next_sample() {
    let now = start();
    let idle = sample(0, 1, 10 * SECOND);
    let mut decider = decider(1, &[("FRA", 1, idle)], now);
    assert_eq!(decider.first(), "node2");
    let handing = Handing {
        peer: "node2".parse().unwrap(),
        boot: starling_overlay::BootEpoch(1),
        profile: profile().clone(),
        bytes: 1,
        work: SECOND,
    };
    let ledger = &mut decider.experience.ledger;
    let id = ledger.begin(now, handing);
    ledger.refused(now, id, Some(8 * SECOND));
    assert_eq!(decider.first(), "node1");
    decider.view.peers[0].load.as_mut().unwrap().taken = now + SECOND;
    decider.now += SECOND;
    assert_eq!(decider.first(), "node2");
}

#[test]
fn work_of_others_makes_a_node_slower() {
    let now = start();
    let with = |cpu_permille, running| LoadSample { cpu_permille, ..sample(running, 2, 10 * SECOND) };
    let work = |load: LoadSample| {
        let ranked = decider(2, &[("FRA", 1, load)], now).rank();
        ranked.into_iter().find(|candidate| !candidate.is_local()).unwrap().work
    };
    assert_eq!(work(with(0, 0)), 10 * SECOND);
    assert_eq!(work(with(200, 0)), 10 * SECOND * 5 / 4, "four fifths of the cores are left");
    assert_eq!(work(with(500, 1)), 10 * SECOND, "what its own job takes is its own");
    assert_eq!(work(with(600, 1)), 10 * SECOND * 5 / 4, "of the free worker's half a fifth is gone");
    assert_eq!(work(with(1000, 0)), 20 * SECOND, "half of the cores at the least");
    assert_eq!(
        work(with(1000, 2)),
        10 * SECOND,
        "whose the cores are is not known where all workers are busy"
    );
    // So of two that idle the one that has its cores for itself is asked first, and this node counts in the same way.
    let mut three = decider(0, &[("FRA", 1, with(700, 0)), ("FRA", 2, with(100, 0))], now);
    three.own.load.cpu_permille = 700;
    assert_eq!(three.order(), "node3 node1 node2");
    three.own.load.cpu_permille = 0;
    assert_eq!(three.first(), "node1");
}
