//! Policies that weigh jobs, zones and latencies: `least-loaded`, `p2c`, `prequal`, `waterfall`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::policy::testing::{Decider, member, sample, view_of};
use crate::policy::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);

/// This node in FRA, and peers with so many jobs each on two workers.
fn decider(kind: PolicyKind, peers: &[(&str, u64, u16)], now: Instant) -> Decider {
    let peers = (2..).zip(peers).map(|(number, (zone, rtt_ms, jobs))| {
        member(&format!("node{number}"), zone, Some(*rtt_ms), Some(sample(*jobs, 2, SECOND)), now)
    });
    let view = view_of(now, member("node1", "FRA", Some(0), None, now), peers.collect());
    Decider::new(kind, view, now)
}

#[test]
fn least_loaded_goes_by_jobs_a_worker() {
    let now = start();
    let peers = [("IAD", 90, 1), ("BOM", 200, 0), ("FRA", 10, 3)];
    let idle = decider(PolicyKind::LeastLoaded, &peers, now).own_jobs(0, 2, SECOND);
    assert_eq!(idle.order(), "node1 node3 node2 node4", "of equal ones this node, however far the other is");
    let busy = decider(PolicyKind::LeastLoaded, &peers, now).own_jobs(2, 2, SECOND);
    assert_eq!(busy.order(), "node3 node2 node1 node4");
    // Twice the workers are twice as many jobs.
    let mut wide = decider(PolicyKind::LeastLoaded, &peers, now).own_jobs(2, 2, SECOND);
    wide.view.peers[2].load.as_mut().unwrap().sample = sample(3, 8, SECOND);
    assert_eq!(wide.order(), "node3 node4 node2 node1");
}

#[test]
fn of_two_choices_the_less_loaded_is_first_and_all_get_some() {
    let now = start();
    let peers = [("FRA", 1, 5), ("FRA", 1, 5), ("FRA", 1, 5), ("FRA", 1, 0)];
    let base = decider(PolicyKind::P2c, &peers, now).own_jobs(5, 2, SECOND);
    let mut firsts = BTreeMap::<String, u32>::new();
    for seed in 0..1000 {
        let decider = Decider { seed, ..decider(PolicyKind::P2c, &peers, now).own_jobs(5, 2, SECOND) };
        *firsts.entry(decider.first()).or_default() += 1;
    }
    // The idle one is among the two with a chance of 2 in 5, and the rest share what is left.
    let idle = firsts["node5"];
    assert!((340..460).contains(&idle), "{firsts:?}");
    assert!(firsts.len() == 5 && firsts.values().all(|count| *count > 80), "{firsts:?}");
    assert_eq!(base.rank().len(), 5);
}

#[test]
fn prequal_passes_hot_nodes_over_and_takes_the_cold_one_with_the_least_latency() {
    let now = start();
    // Node 2 answers soonest and is hot; node 4 is cold and near, node 3 cold and far.
    let mut peers = vec![("FRA", 1, 9), ("IAD", 200, 0), ("FRA", 10, 1)];
    peers.extend([("FRA", 20, 1); 4]);
    let mut decider = decider(PolicyKind::Prequal, &peers, now).own_jobs(2, 2, SECOND);
    decider.view.peers[0].load.as_mut().unwrap().sample.service_ms = 1;
    let order = decider.order();
    assert!(order.starts_with("node4 ") && order.ends_with(" node2"), "{order}");
    // In a pool of two the limit is what the busier of them has: neither is hot, and latency decides.
    let pair = self::decider(PolicyKind::Prequal, &[("FRA", 10, 0)], now).own_jobs(2, 2, SECOND);
    assert_eq!(pair.first(), "node2");
}

#[test]
fn prequals_pool_is_bounded_and_this_node_is_always_in_it() {
    let now = start();
    let peers = vec![("FRA", 10, 1); 60];
    let mut firsts = BTreeMap::<String, u32>::new();
    for seed in 0..200 {
        let mut decider =
            Decider { seed, ..decider(PolicyKind::Prequal, &peers, now).own_jobs(4, 2, SECOND) };
        // The best by far, and yet it is only seen where it is in the pool.
        decider.view.peers[30].load.as_mut().unwrap().sample.service_ms = 1;
        let ranked = decider.rank();
        assert_eq!(ranked.len(), 61);
        assert!(ranked[..16].iter().any(Candidate::is_local));
        *firsts.entry(ranked[0].identity.name.to_string()).or_default() += 1;
    }
    assert!((30..70).contains(&firsts["node32"]), "15 of 60 peers are drawn: {firsts:?}");
}

#[test]
fn waterfall_fills_the_nearest_zone_and_then_the_next() {
    let now = start();
    let order = |own, jobs: [u16; 4]| {
        let zones = [("IAD", 90), ("BOM", 200), ("FRA", 10), ("IAD", 80)];
        let peers: Vec<_> = zones.iter().zip(jobs).map(|((zone, rtt), jobs)| (*zone, *rtt, jobs)).collect();
        decider(PolicyKind::Waterfall, &peers, now).own_jobs(own, 2, SECOND).order()
    };
    assert_eq!(order(0, [0; 4]), "node1 node4 node2 node5 node3", "by zone, and this node first");
    assert_eq!(order(1, [0; 4]), "node4 node1 node2 node5 node3", "within a zone by jobs");
    assert_eq!(order(2, [0, 0, 2, 1]), "node2 node5 node3 node1 node4", "its own zone is full");
    assert_eq!(order(2, [2, 1, 2, 2]), "node3 node1 node4 node2 node5", "only the farthest is not");
    assert_eq!(
        order(3, [2, 2, 2, 2]),
        "node4 node1 node2 node5 node3",
        "none is: the nearest zone's shortest queue"
    );
}
