//! What a router at each node knows of the others.

use std::time::Duration;

use super::SECOND;
use crate::sim::{Report, Scenario, Topology, run};

/// Means over seeds of clusters at rest: what it is of a report, and of how many seeds.
fn mean(nodes: usize, seeds: u64, of: impl Fn(&Report) -> Option<f64>) -> f64 {
    mean_of(&at_rest(nodes, seeds), of)
}

/// A cluster at rest a seed.
fn at_rest(nodes: usize, seeds: u64) -> Vec<Report> {
    let one = |seed| {
        let report = run(&Scenario { nodes, duration: 20 * SECOND, ..Scenario::new(seed) });
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
        report
    };
    (1..=seeds).map(one).collect()
}

fn mean_of(reports: &[Report], of: impl Fn(&Report) -> Option<f64>) -> f64 {
    reports.iter().map(|report| of(report).expect("it was measured")).sum::<f64>() / reports.len() as f64
}

#[test]
fn of_its_own_zone_a_router_has_fresh_samples_of_nearly_all_when_it_is_small() {
    let fresh = mean(20, 6, |report| report.load_fresh_own_zone);
    assert!(fresh >= 0.95, "{fresh}");
}

#[test]
fn routers_find_candidates_that_are_free_near_them_and_far_away() {
    let reports = at_rest(100, 2);
    let own = mean_of(&reports, |report| report.candidates_own_zone);
    let others = mean_of(&reports, |report| report.candidates_other_zones);
    assert!(own >= 0.8 && others >= 0.75, "own zone {own}, other zones {others}");
}

#[test]
fn twenty_nodes_in_one_zone_say_little_and_know_enough() {
    for seed in 1..=4 {
        let report = run(&Scenario {
            topology: Topology::flat(Duration::from_millis(1)),
            duration: 20 * SECOND,
            ..Scenario::new(seed)
        });
        assert!(report.candidates_own_zone >= Some(0.99), "{:?}", report.candidates_own_zone);
        // With the headers of its datagrams less than serf (docs/EXPERIMENTS.md).
        assert!(report.bytes_per_node_per_s <= Some(230.0), "{:?}", report.bytes_per_node_per_s);
    }
}

#[test]
fn bytes_do_not_grow_with_the_cluster() {
    let bytes = |nodes, seeds| mean(nodes, seeds, |report| report.bytes_per_node_per_s);
    let (small, large) = (bytes(100, 1), bytes(400, 1));
    assert!(large <= 1.1 * small, "100 nodes {small}, 400 nodes {large} bytes a node and second");
}
