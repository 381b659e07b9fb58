//! What the policies reach beside each other, in a small cluster: far apart enough that chance does not decide.

use std::time::Duration;

use super::*;

/// So many nodes and jobs, at this part of what they can do.
const CROWD: (usize, usize, f64) = (6, 120, 0.8);

/// A request that is not served takes its whole time.
fn mean_s(name: &str, (nodes, jobs, load): (usize, usize, f64), decider: Decider) -> f64 {
    let of = |seed| {
        let setup = Setup { decider, ..small(name, nodes, jobs, seed).load(load) };
        let (ran, lost_s) = (run(&setup), setup.workload.deadline.as_secs_f64());
        let served: f64 = ran.tally.latencies.iter().map(Duration::as_secs_f64).sum();
        served + (jobs - ran.tally.latencies.len()) as f64 * lost_s
    };
    (1..=3).map(of).sum::<f64>() / (3 * jobs) as f64
}

/// It was 1.5 of it while a node counted jobs as work of its own that its peers had.
#[test]
fn eta_is_near_to_what_perfect_knowledge_reaches_where_the_peak_moves() {
    let [eta, omniscient] =
        [decider(PolicyKind::Eta), Decider::Omniscient].map(|by| mean_s("diurnal", CROWD, by));
    assert!(eta < omniscient * 1.15, "{eta:.2} s beside {omniscient:.2} s");
}

/// It took longer than `score`, since it sent a third of the jobs to other zones for differences of speeds that were the noise of a few jobs.
#[test]
fn eta_does_not_believe_differences_of_speed_that_are_noise() {
    let crowd = (5, 300, 0.5);
    let [eta, score] =
        [PolicyKind::Eta, PolicyKind::Score].map(|of| mean_s("bad-estimates", crowd, decider(of)));
    assert!(eta < score, "{eta:.2} s beside {score:.2} s");
}

/// Where nodes differ by four to one, a few jobs show it.
#[test]
fn eta_believes_differences_of_speed_that_are_none() {
    let crowd = (5, 300, 0.5);
    let [eta, score] =
        [PolicyKind::Eta, PolicyKind::Score].map(|of| mean_s("heterogeneous", crowd, decider(of)));
    assert!(eta < score * 0.8, "{eta:.2} s beside {score:.2} s");
}

/// The CPU shows foreign work when it comes; jobs that are done show it when it has gone.
#[test]
fn eta_sees_work_of_others_when_it_comes() {
    let crowd = (5, 300, 0.5);
    let [eta, omniscient] =
        [decider(PolicyKind::Eta), Decider::Omniscient].map(|by| mean_s("antagonist", crowd, by));
    assert!(eta < omniscient * 1.035, "{eta:.2} s beside {omniscient:.2} s");
}

/// Beyond capacity a third of what `omniscient` serves more was refused by peers that had room, since the asking node would have been done sooner
/// if it had had a place itself; and the rest by peers that were full of places held for answers on their way.
#[test]
fn eta_serves_short_jobs_where_a_node_is_full_and_others_are_not() {
    let setup =
        |seed| Setup { decider: decider(PolicyKind::Eta), ..small("short-jobs", 5, 300, seed).load(1.25) };
    let served: usize = (1..=5).map(|seed| run(&setup(seed)).tally.latencies.len()).sum();
    assert!(served >= 1_420, "{served} of 1,500");
}
