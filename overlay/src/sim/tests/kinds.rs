//! Each kind of fault alone, as `--fault` injects it.

use super::{SECOND, Timing, Topology};
use crate::sim::{FaultKind, Report, Scenario, run, run_mixed};

fn alone(kind: FaultKind, scenario: Scenario) -> Report {
    run(&Scenario { faults: vec![kind], ..scenario })
}

#[test]
fn each_kind_does_something_and_breaks_no_rule() {
    for kind in FaultKind::ALL {
        for seed in 0..24 {
            let nodes = [2, 3, 5, 9][seed as usize % 4];
            let timing = if seed % 3 == 0 { Timing::Wan } else { Timing::Lan };
            if nodes < kind.nodes_min() {
                continue;
            }
            let scenario = Scenario { nodes, timing, warm: seed >= 12, ..Scenario::new(seed) };
            let report = alone(*kind, scenario);
            let counter = kind.counter();
            assert_eq!(report.violations, Vec::<String>::new(), "{kind}, seed {seed}, {nodes} nodes");
            assert!(kind.count(&report.fired) > 0, "{kind}, seed {seed}, {nodes} nodes: none {counter}");
            let counters = report.fired.counters();
            assert!(counters.contains(&(counter, kind.count(&report.fired))), "{kind}: {counter}");
        }
    }
}

#[test]
fn a_socket_that_overflows_does_so_in_every_run_and_fails_nobody() {
    for timing in [Timing::Lan, Timing::Wan] {
        for seed in 0..20 {
            let report = alone(FaultKind::FullBuffer, Scenario { timing, ..Scenario::new(seed) });
            assert_eq!(report.violations, Vec::<String>::new(), "{timing}, seed {seed}");
            assert!(report.fired.overflowed > 0, "{timing}, seed {seed}");
            assert_eq!(report.false_failures, Some(0), "{timing}, seed {seed}");
        }
    }
}

#[test]
fn halves_that_meet_in_a_single_member_of_twenty_find_that_way_in_time() {
    let failures = |seed| {
        let report =
            alone(FaultKind::Bridge, Scenario { nodes: 20, duration: 30 * SECOND, ..Scenario::new(seed) });
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
        assert!(report.fired.blocked > 0, "seed {seed}");
        report.false_failures.expect("it was counted")
    };
    let failures: usize = (0..20).map(failures).sum();
    assert!(failures <= 2, "{failures} false failures in 20 runs");
}

#[test]
fn a_hole_for_larger_datagrams_is_met_in_every_run() {
    for seed in 0..40 {
        let scenario = Scenario { nodes: 5, duration: 5 * SECOND, ..Scenario::new(seed) };
        let report = alone(FaultKind::BlackHole, scenario);
        assert!(report.fired.swallowed > 0, "seed {seed}: {:?}", report.violations);
    }
}

#[test]
fn a_fault_that_does_nothing_breaks_a_rule() {
    let moment = Scenario { duration: SECOND / 1_000, ..Scenario::new(1) };
    let report = run(&Scenario { faults: vec![FaultKind::Crash, FaultKind::Replay], ..moment });
    let [violation] = &report.violations[..] else { panic!("{:?}", report.violations) };
    assert!(violation.contains("the fault replay did nothing in 1ms (nothing was counted as replayed)"));
}

#[test]
fn a_fault_does_not_count_what_another_one_did_before() {
    let faults = vec![FaultKind::Duplicate, FaultKind::Partition, FaultKind::Bridge];
    // Two nodes can't have a third one between them.
    let report = run(&Scenario { nodes: 2, faults, ..Scenario::new(1) });
    assert!(report.fired.blocked > 0, "by the partition");
    let [violation] = &report.violations[..] else { panic!("{:?}", report.violations) };
    assert!(violation.contains("the fault bridge did nothing"), "{violation}");
}

#[test]
fn who_was_killed_is_back_before_a_fault() {
    for seed in 0..4 {
        let scenario = Scenario { nodes: 8, kill: 3, duration: 10 * SECOND, ..Scenario::new(seed) };
        let report = alone(FaultKind::RestartAll, scenario);
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
        assert_eq!((report.fired.killed, report.fired.restarted), (3 + 8, 3 + 8), "seed {seed}");
    }
}

#[test]
fn a_warm_cluster_whose_key_is_rotated_had_one_before() {
    for seed in 0..4 {
        let report = alone(FaultKind::Rekey, Scenario { warm: true, ..Scenario::new(seed) });
        assert_eq!((report.false_failures, report.false_suspicions), (Some(0), Some(0)), "seed {seed}");
    }
}

#[test]
fn kinds_may_be_given_again_and_again() {
    let faults = [FaultKind::Rekey, FaultKind::Upgrade].repeat(8);
    let report = run(&Scenario { nodes: 5, faults, duration: 5 * SECOND, ..Scenario::new(1) });
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!((report.fired.rekeyed, report.fired.upgraded), (8 * 5, 8 * 5));
}

#[test]
fn what_was_not_measured_has_no_value() {
    let mixed = run_mixed(1);
    assert_eq!((mixed.bytes_per_node_per_s, mixed.datagrams_per_node_per_s), (None, None));
    assert_eq!((mixed.load_fresh, mixed.load_fresh_own_zone), (None, None));
    assert_eq!((mixed.candidates_own_zone, mixed.candidates_other_zones), (None, None));
    assert_eq!((mixed.false_failures, mixed.false_suspicions), (None, None));
    let flat = run(&Scenario { topology: Topology::flat(SECOND / 1_000), ..Scenario::new(1) });
    assert!(flat.candidates_own_zone.is_some() && flat.load_fresh_own_zone.is_some());
    assert_eq!(flat.candidates_other_zones, None, "there is no other zone");
    let scattered = run(&Scenario { nodes: 3, ..Scenario::new(1) });
    assert_eq!((scattered.candidates_own_zone, scattered.load_fresh_own_zone), (None, None));
    assert!(scattered.candidates_other_zones.is_some(), "each is alone in its zone");
}
