//! The paper's client against five nodes, as `make bench-load` has it: 16 clips, 100 uploads in flight, one worker a node, on a machine
//! with two cores.

use std::time::Duration;

use super::*;

/// `service`: what a clip takes a core. On the machine of EXPERIMENTS.md it is 1.7 s.
fn pattern(seed: u64, service: Duration) -> Setup {
    let mut workload = workload("uniform");
    workload.service = service;
    let mut setup = Setup::new(workload, decider(PolicyKind::Score), 5, 1_000, seed);
    (setup.workers, setup.queue, setup.cores) = (1, 16, Some(2.0));
    setup.contents = Some(16);
    // All of them are made by then; what comes later is in the caches.
    setup.closed_loop = Some((100, Duration::from_secs(25)));
    setup
}

#[test]
fn sixteen_clips_on_an_idle_machine_are_sixteen_transcodes() {
    for seed in 0..10 {
        // With clips of 2.6 s all of it takes the two cores 21 of the 40 s that a request has, and the last job, which waits for a third
        // turn, may be begun once more by those that have just time left to do it: one of ten seeds.
        for service_ms in [1_200, 1_700, 2_200] {
            let mut setup = pattern(seed, Duration::from_millis(service_ms));
            setup.keeps_trace = true;
            let ran = run(&setup);
            let told = || {
                ran.trace
                    .iter()
                    .filter(|line| !line.contains("request"))
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            assert_eq!(ran.tally.transcodes_begun, 16, "seed {seed}, {service_ms} ms:\n{}", told());
        }
    }
}
