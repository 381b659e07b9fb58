//! What moves a node back, whatever the policy thinks of it.

use std::time::{Duration, Instant};

use starling_overlay::{BootEpoch, Identity};

use crate::content::ContentId;
use crate::lease::home_of;
use crate::policy::testing::{Decider, member, names, sample, view_of};
use crate::policy::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);

/// This node and four peers next door, at rest.
fn decider(kind: PolicyKind, now: Instant) -> Decider {
    let peer = |number: u64| {
        let load = Some(sample(0, 2, SECOND));
        member(&format!("node{number}"), "FRA", Some(number), load, now)
    };
    let view = view_of(now, member("node1", "FRA", Some(0), None, now), (2..6).map(peer).collect());
    Decider::new(kind, view, now).own_jobs(0, 2, SECOND)
}

#[test]
fn each_concern_goes_behind_the_milder_ones() {
    let now = start();
    for kind in PolicyKind::ALL {
        let mut decider = decider(kind, now);
        // Node 2 has lied, node 3 could not be reached, node 4 is full, of node 5 nothing is known.
        let avoided = |name: &str, concern| Avoided { name: name.parse().unwrap(), boot: None, concern };
        decider.avoided = vec![avoided("node2", Concern::Distrusted), avoided("node3", Concern::Unreachable)];
        decider.view.peers[2].load.as_mut().unwrap().sample = sample(60, 2, 5 * SECOND);
        decider.view.peers[3].load = None;
        let ranked = decider.rank();
        let expected = ["node4", "node3", "node2"];
        assert_eq!(names(&ranked)[2..], expected, "{kind:?}");
        let concerns: Vec<_> = ranked[2..].iter().map(|candidate| candidate.concern).collect();
        assert_eq!(concerns, [Concern::Full, Concern::Unreachable, Concern::Distrusted], "{kind:?}");
        let unknown = ranked.iter().find(|candidate| candidate.identity.name.as_str() == "node5").unwrap();
        assert_eq!(unknown.concern == Concern::Unknown, kind.weighs_load(), "{kind:?}");
        assert!(ranked[2].is_full(decider.job.left) && !unknown.is_full(Duration::ZERO));
    }
}

#[test]
fn a_member_that_only_watches_is_never_asked_and_is_no_ones_home() {
    let now = start();
    for kind in PolicyKind::ALL {
        let mut decider = decider(kind, now);
        let watcher = &mut decider.view.peers[1];
        std::sync::Arc::make_mut(&mut watcher.identity).capacity_jobs = Identity::OBSERVES;
        let ranked = decider.rank();
        assert!(names(&ranked).len() == 4 && !names(&ranked).contains(&"node3"), "{kind:?}");
        let homes = (0..=255).map(|byte| {
            let (content, profile) = (ContentId([byte; 32]), decider.job.profile);
            home_of(&decider.view, &content, profile).name.to_string()
        });
        let homes: std::collections::BTreeSet<_> = homes.collect();
        assert_eq!(
            homes.iter().map(String::as_str).collect::<Vec<_>>(),
            ["node1", "node2", "node4", "node5"]
        );
    }
}

#[test]
fn of_the_unknown_the_nearest_goes_first() {
    let now = start();
    let mut decider = decider(PolicyKind::Score, now);
    for peer in &mut decider.view.peers {
        peer.load = None;
    }
    decider.view.peers[0].rtt = None;
    assert_eq!(decider.order(), "node1 node3 node4 node5 node2");
}

#[test]
fn under_score_a_busy_node_asks_all_whom_it_knows_before_itself() {
    let now = start();
    for (kind, last_known) in [(PolicyKind::Score, "node1"), (PolicyKind::LeastLoaded, "node4")] {
        let mut decider = decider(kind, now).own_jobs(2, 2, SECOND);
        decider.own.load.cpu_permille = 0;
        decider.view.peers[3].load = None;
        decider.view.peers[2].load.as_mut().unwrap().sample = sample(3, 2, SECOND);
        let ranked = decider.rank();
        assert_eq!(names(&ranked)[3..], [last_known, "node5"], "{kind:?}");
    }
}

#[test]
fn a_restart_is_not_held_against_for_what_the_boot_before_did() {
    let now = start();
    let mut decider = decider(PolicyKind::LeastLoaded, now);
    let avoided = |boot| vec![Avoided { name: "node2".parse().unwrap(), boot, concern: Concern::Distrusted }];
    decider.avoided = avoided(Some(BootEpoch(7)));
    assert_eq!(decider.order(), "node1 node2 node3 node4 node5");
    decider.avoided = avoided(Some(BootEpoch(1)));
    assert_eq!(decider.order(), "node1 node3 node4 node5 node2");
    decider.avoided = avoided(None);
    assert_eq!(decider.order(), "node1 node3 node4 node5 node2");
}

#[test]
fn the_best_few_are_the_first_of_all_and_this_node_is_among_them() {
    let now = start();
    let mut decider = decider(PolicyKind::LeastLoaded, now).own_jobs(9, 2, SECOND);
    decider.view.peers[0].load.as_mut().unwrap().sample = sample(1, 2, SECOND);
    assert_eq!(decider.order(), "node3 node4 node5 node2 node1");
    for (count, expected) in [(0, "node1"), (1, "node3 node1"), (4, "node3 node4 node5 node2 node1"), (9, "")]
    {
        let best = names(&decider.rank_best(count)).join(" ");
        assert_eq!(best, if expected.is_empty() { decider.order() } else { expected.to_owned() }, "{count}");
    }
}

/// The figures that a node says of itself and the time that a job has left.
#[test]
fn a_node_with_a_long_queue_is_full() {
    let load = |jobs, service_s| {
        let service = Duration::from_secs(service_s);
        starling_overlay::LoadSample { service_ms: service.as_millis() as u32, ..sample(jobs, 1, SECOND) }
    };
    let left = Duration::from_secs(40);
    assert!(!is_full(None, left), "nobody knows");
    assert!(!is_full(Some(&load(0, 30)), left), "an idle one always");
    assert!(!is_full(Some(&load(2, 5)), left));
    assert!(is_full(Some(&load(4, 5)), left));
    assert!(is_full(Some(&load(4, 0)), left), "before it knows its own speed");
    assert!(is_full(Some(&load(1, 5)), Duration::from_secs(10)));
}

/// What was offered and not answered yet may be refused: only what was taken fills a node.
#[test]
fn own_hand_offs_fill_a_node_once_they_are_taken() {
    let now = start();
    let mut decider = decider(PolicyKind::LeastLoaded, now);
    decider.job.left = 10 * SECOND;
    let handing = |work| Handing {
        peer: "node2".parse().unwrap(),
        boot: BootEpoch(1),
        profile: decider.job.profile.clone(),
        bytes: 1,
        work,
    };
    let handings: Vec<_> = (0..4).map(|_| handing(3 * SECOND)).collect();
    let ids: Vec<_> =
        handings.into_iter().map(|handing| decider.experience.ledger.begin(now, handing)).collect();
    let concern = |decider: &Decider| {
        let ranked = decider.rank();
        ranked.iter().find(|candidate| candidate.identity.name.as_str() == "node2").unwrap().concern
    };
    assert_eq!(concern(&decider), Concern::None);
    for id in ids {
        decider.experience.ledger.taken(now, id);
    }
    assert_eq!(concern(&decider), Concern::Full);
}
