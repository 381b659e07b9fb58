//! What the policies reach beside each other, in a small cluster: far apart enough that chance does not decide.

use super::*;

fn mean_s(name: &str, decider: Decider) -> f64 {
    let ran = (1..=3).map(|seed| run(&Setup { decider, ..small(name, 6, 120, seed).load(0.8) }));
    let times: Vec<f64> =
        ran.flat_map(|ran| ran.tally.latencies).map(|latency| latency.as_secs_f64()).collect();
    times.iter().sum::<f64>() / times.len() as f64
}

/// It was 1.5 of it while a node counted jobs as work of its own that its peers had.
#[test]
fn eta_is_near_to_what_perfect_knowledge_reaches_where_the_peak_moves() {
    let [eta, omniscient] = [decider(PolicyKind::Eta), Decider::Omniscient].map(|by| mean_s("diurnal", by));
    assert!(eta < omniscient * 1.15, "{eta:.2} s beside {omniscient:.2} s");
}
