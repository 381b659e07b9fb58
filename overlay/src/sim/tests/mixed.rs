//! Random mixtures of all kinds of faults, in parts that run side by side.

use crate::sim::{Fired, Report, run_mixed};

const PARTS: u64 = 10;
const SEEDS_PER_PART: u64 = 20;

/// Twenty clusters: no rule is broken, all come to rest, and each kind of fault did something in at least one of them.
fn keeps_the_rules_and_comes_to_rest(part: u64) {
    let seeds = (0..PARTS * SEEDS_PER_PART).filter(|seed| seed % PARTS == part);
    let reports: Vec<Report> = seeds.map(run_mixed).collect();
    let broken = |report: &&Report| !report.violations.is_empty();
    let failed: Vec<_> =
        reports.iter().filter(broken).map(|r| format!("seed {}: {:#?}", r.seed, r.violations)).collect();
    assert!(failed.is_empty(), "{} of {SEEDS_PER_PART} runs: {}", failed.len(), failed.join("\n"));
    let mut fired = Fired::default();
    for report in &reports {
        fired.add(&report.fired);
    }
    for (what, count) in fired.counters() {
        // Held messages are Lifeguard's experiment, which is none of these faults.
        assert!(count > 0 || what == "held", "no fault of {SEEDS_PER_PART} runs did this: {what}");
    }
}

macro_rules! any_mix_of_faults {
    ($($name:ident: $part:expr),* $(,)?) => {
        $(#[test]
        fn $name() {
            keeps_the_rules_and_comes_to_rest($part);
        })*
    };
}

any_mix_of_faults! {
    any_mix_of_faults_0: 0,
    any_mix_of_faults_1: 1,
    any_mix_of_faults_2: 2,
    any_mix_of_faults_3: 3,
    any_mix_of_faults_4: 4,
    any_mix_of_faults_5: 5,
    any_mix_of_faults_6: 6,
    any_mix_of_faults_7: 7,
    any_mix_of_faults_8: 8,
    any_mix_of_faults_9: 9,
}
