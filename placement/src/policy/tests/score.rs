//! The paper's numbers, worked by hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Load, LoadSample, MemberState, View};

use crate::desk::Backlog;
use crate::policy::score::{normalized_load, normalized_rtt};
use crate::policy::testing::{Decider, member, names, view_of};
use crate::policy::*;
use crate::testing::start;

/// Bits of [`LoadSample::hardware`].
const H264: u8 = 1;
const VP9: u8 = 2;

fn load(cpu_percent: u16, memory_percent: u16, queued: u16) -> LoadSample {
    LoadSample {
        cpu_permille: cpu_percent * 10,
        memory_permille: memory_percent * 10,
        queued_jobs: queued,
        queue_capacity_jobs: 100,
        ..LoadSample::default()
    }
}

/// A node in FRA with one peer in each zone of the paper, all at rest.
fn view(now: Instant) -> View {
    let idle = Some(load(0, 0, 0));
    let peers = vec![
        member("node2", "IAD", Some(90), idle, now),
        member("node3", "BOM", Some(200), idle, now),
        member("node4", "FRA", Some(10), idle, now),
    ];
    view_of(now, member("node1", "FRA", Some(0), None, now), peers)
}

fn rank(policy: PolicyKind, view: &View, own_load: LoadSample, now: Instant) -> Vec<Candidate> {
    let own = OwnDesk { load: own_load, ..OwnDesk::default() };
    Decider { own, ..Decider::new(policy, view.clone(), now) }.rank()
}

fn weighted(weights: ScoreWeights, view: &View, own_load: LoadSample, now: Instant) -> Vec<Candidate> {
    let (policy, own) =
        (Policy { kind: PolicyKind::Score, weights }, OwnDesk { load: own_load, ..OwnDesk::default() });
    Decider { policy, own, ..Decider::new(PolicyKind::Score, view.clone(), now) }.rank()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn load_is_normalized_by_200_and_the_queue() {
    assert!(near(normalized_load(&load(0, 0, 0)), 0.0));
    // (90 + 20 + 40) / (200 + 100) = 0.5
    assert!(near(normalized_load(&load(90, 40, 20)), 0.5));
    assert!(near(normalized_load(&load(100, 100, 100)), 1.0));
}

#[test]
fn rtt_is_normalized_between_10_and_250_ms_and_clamped() {
    for (ms, expected) in
        [(0, 0.0), (10, 0.0), (90, 80.0 / 240.0), (200, 190.0 / 240.0), (250, 1.0), (900, 1.0)]
    {
        assert!(near(normalized_rtt(Duration::from_millis(ms)), expected), "{ms} ms");
    }
}

#[test]
fn the_papers_score_by_hand() {
    // FRA -> IAD, 90 ms, CPU 50 %, memory 30 %, 10 queued of 100: 0.3 * 90/300 + 0.7 * 80/240
    let score = ScoreWeights::PAPER.score(&load(50, 30, 10), Duration::from_millis(90));
    assert!(near(score, 0.3 * 0.3 + 0.7 / 3.0), "{score}");
}

#[test]
fn at_rest_a_tie_goes_to_self() {
    let now = start();
    let ranked = rank(PolicyKind::Score, &view(now), load(0, 0, 0), now);
    assert_eq!(names(&ranked), ["node1", "node4", "node2", "node3"]);
    assert_eq!(ranked[0].route, RouteKind::Local);
    assert!(near(ranked[1].score, 0.0), "node4 ties with self");
    assert_eq!(ranked[1].route, RouteKind::SameRegion);
    assert_eq!(ranked[2].route, RouteKind::CrossRegion);
}

#[test]
fn a_busy_node_hands_to_its_own_zone_before_a_far_one() {
    let now = start();
    // Own score 0.3 * 180/300 = 0.18; IAD at rest scores 0.7/3 = 0.233: too far even so.
    let ranked = rank(PolicyKind::Score, &view(now), load(100, 30, 50), now);
    assert_eq!(names(&ranked), ["node4", "node1", "node2", "node3"]);
}

#[test]
fn load_biased_weights_cross_regions() {
    let now = start();
    let weights = ScoreWeights::new(0.7, 0.3).unwrap();
    let mut view = view(now);
    view.peers[2].load = Some(Load { sample: load(100, 80, 100), taken: now });
    // Self 0.7 * 180/300 = 0.42, node2 0.3 * 80/240 = 0.1, node3 0.3 * 190/240 = 0.2375, node4 0.7 * 280/300.
    let ranked = weighted(weights, &view, load(100, 30, 50), now);
    assert_eq!(names(&ranked), ["node2", "node3", "node1", "node4"]);
}

#[test]
fn the_unlive_do_not_count_and_those_without_a_fresh_sample_come_last() {
    let stale_after = start();
    let now = stale_after + SAMPLE_AGE_MAX;
    let mut view = view(now);
    view.peers[0].load.as_mut().unwrap().taken = stale_after.checked_sub(Duration::from_millis(1)).unwrap();
    view.peers[1].load = None;
    view.peers[2].state = MemberState::Suspect;
    let ranked = rank(PolicyKind::Score, &view, load(100, 100, 100), now);
    assert_eq!(names(&ranked), ["node1", "node2", "node3"], "the nearest of the unknown first");
    assert!(
        ranked[1..].iter().all(|unknown| unknown.concern == Concern::Unknown && unknown.score.is_infinite())
    );
    view.peers[0].load.as_mut().unwrap().taken = stale_after;
    let ranked = rank(PolicyKind::Score, &view, load(100, 100, 100), now);
    assert_eq!(names(&ranked), ["node2", "node1", "node3"]);
}

/// A wrong address leads to this very node: what is sent there would be done here in the name of the peer.
#[test]
fn a_peer_whose_address_leads_to_this_node_gets_no_work() {
    let now = start();
    let ranked = |view: &View| names(&rank(PolicyKind::Score, view, load(100, 100, 100), now)).join(" ");
    let with = |http: &str, heard_at: Option<&str>| {
        let mut view = view(now);
        let identity = Arc::make_mut(&mut view.peers[0].identity);
        let http: std::net::SocketAddr = http.parse().unwrap();
        (identity.gossip, identity.http_port) = (http, http.port());
        view.peers[0].heard_at = heard_at.map(|address| address.parse().unwrap());
        (ranked(&view), view.peers[0].identity.name.to_string())
    };
    let own = view(now).local.identity.http().to_string();
    for (http, heard_at, usable) in [
        ("127.0.1.1:5000", Some("10.9.0.2:5000"), false),
        ("127.0.1.1:5000", None, true),
        ("10.9.0.2:5000", Some("10.9.0.3:6000"), true),
        (own.as_str(), None, false),
    ] {
        let (ranked, name) = with(http, heard_at);
        assert_eq!(ranked.contains(&name), usable, "{http}, heard at {heard_at:?}: {ranked}");
    }
}

#[test]
fn policies_that_weigh_nothing_take_all_live_peers_and_no_stale_load() {
    let taken = start();
    let now = taken + SAMPLE_AGE_MAX + Duration::from_millis(1);
    let mut view = view(now);
    view.peers[0].load.as_mut().unwrap().taken = taken;
    view.peers[1].load = None;
    for policy in [PolicyKind::Random, PolicyKind::RoundRobin] {
        let mut ranked = rank(policy, &view, load(0, 0, 0), now);
        ranked.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
        assert_eq!(names(&ranked), ["node1", "node2", "node3", "node4"], "as the paper compares them");
        let known: Vec<bool> = ranked.iter().map(|candidate| candidate.load.is_some()).collect();
        // What nobody knows any more is no reason to pass a peer over, nor to ask it first.
        assert_eq!(known, [true, false, false, true]);
        assert!(ranked.iter().all(|candidate| candidate.backlog_max(Backlog::default()).is_none()));
    }
}

#[test]
fn a_member_that_fails_again_and_again_gets_no_work_for_a_while() {
    let now = start();
    let mut view = view(now);
    let ranked = |view: &View, now| names(&rank(PolicyKind::Score, view, load(100, 100, 100), now)).join(" ");
    let before = ranked(&view, now);
    assert!(before.contains("node2"), "{before}");
    let until = now + Duration::from_secs(5);
    view.peers[0].damping = Some(starling_overlay::Damping { failures: 3, until });
    assert!(!ranked(&view, now).contains("node2"));
    assert_eq!(ranked(&view, until), before, "then it does again");
}

#[test]
fn an_unknown_rtt_counts_as_100_ms() {
    let now = start();
    let mut view = view(now);
    view.peers[2].rtt = None;
    let ranked = rank(PolicyKind::Score, &view, load(0, 0, 0), now);
    assert_eq!(names(&ranked), ["node1", "node2", "node4", "node3"]);
    assert!(near(ranked[2].score, 0.7 * 90.0 / 240.0));
}

#[test]
fn round_robin_takes_turns_and_random_reaches_everyone() {
    let now = start();
    let view = view(now);
    let decider = |kind, turn, seed| Decider { turn, seed, ..Decider::new(kind, view.clone(), now) };
    let firsts: Vec<_> = (0..5).map(|turn| decider(PolicyKind::RoundRobin, turn, 0).first()).collect();
    assert_eq!(firsts, ["node1", "node2", "node3", "node4", "node1"]);
    let whole = decider(PolicyKind::RoundRobin, 2, 0).order();
    assert_eq!(whole, "node3 node4 node1 node2");

    let firsts: BTreeSet<_> = (0..100).map(|seed| decider(PolicyKind::Random, 0, seed).first()).collect();
    assert_eq!(firsts.len(), 4);
}

/// By its name this node stands between the others.
#[test]
fn turns_go_by_name() {
    let now = start();
    let mut view = view(now);
    view.local = member("node3", "FRA", Some(0), None, now);
    view.peers[1] = member("node1", "BOM", Some(200), None, now);
    view.peers.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
    let order = |turn| Decider { turn, ..Decider::new(PolicyKind::RoundRobin, view.clone(), now) }.order();
    assert_eq!(order(0), "node1 node2 node3 node4");
    assert_eq!(order(2), "node3 node4 node1 node2");
}

#[test]
fn weights_and_names_are_checked() {
    assert!(ScoreWeights::new(0.0, 0.0).is_err());
    assert!(ScoreWeights::new(-0.1, 1.0).is_err());
    assert!(ScoreWeights::new(f64::NAN, 1.0).is_err());
    let error = "fastest".parse::<PolicyKind>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown policy \"fastest\": use one of score, random, round-robin, least-loaded, p2c, prequal, waterfall, eta"
    );
}

#[test]
fn hardware_counts_in_ones_own_zone_and_where_a_worker_is_free() {
    let now = start();
    let has = |running_jobs, hardware| LoadSample { running_jobs, workers: 2, hardware, ..load(0, 0, 0) };
    let mut view = view(now);
    for (peer, sample) in view.peers.iter_mut().zip([has(0, 1), has(0, 1), has(1, 1)]) {
        peer.load = Some(Load { sample, taken: now });
    }
    let order = |view: &View, own_load| {
        let mut decider = Decider::new(PolicyKind::Score, view.clone(), now);
        decider.own.load = own_load;
        decider.job.hardware = H264;
        decider.order()
    };
    assert_eq!(order(&view, load(0, 0, 0)), "node4 node1 node2 node3");
    assert_eq!(order(&view, has(0, 3)), "node1 node4 node2 node3");
    assert_eq!(order(&view, has(2, 1)), "node4 node1 node2 node3", "all its workers are busy");
    view.peers[2].load = Some(Load { sample: has(0, VP9), taken: now });
    assert_eq!(order(&view, load(0, 0, 0)), "node1 node4 node2 node3", "of another codec");
}
