use super::*;
use crate::sim::WORKLOADS;

#[test]
fn one_seed_is_one_run_under_every_policy() {
    for decider in Decider::all() {
        let setup = Setup::new(workload("hot-content"), decider, 6, 40, 7);
        let (first, second) = (run(&setup), run(&setup));
        assert_eq!(first.trace_hash, second.trace_hash, "{}", decider.as_str());
        let other = run(&Setup { seed: 8, ..setup });
        assert_ne!(first.trace_hash, other.trace_hash, "{}", decider.as_str());
    }
}

#[test]
fn every_workload_comes_to_its_end_and_breaks_no_rule() {
    for workload in WORKLOADS {
        let ran = run(&Setup::new(workload, decider(PolicyKind::Score), 6, 60, 3));
        assert_eq!(told(&ran), "", "{}", workload.name);
        assert_eq!(ran.tally.requests, 60, "{}", workload.name);
        let served = ran.tally.latencies.len();
        assert!(served >= 40, "{}: {served} of 60 are served", workload.name);
    }
}

#[test]
fn what_is_asked_for_too_often_is_refused_soon_and_taken_when_it_comes_back() {
    let mut setup = small("uniform", 6, 240, 5).load(2.0);
    (setup.comes_back, setup.announces) = (true, true);
    let ran = run(&setup);
    assert_eq!(told(&ran), "");
    let (came_back, taken) = (ran.tally.came_back, ran.tally.taken_after_coming_back);
    assert!(taken > 0, "{taken} of {came_back} that came back");
}
