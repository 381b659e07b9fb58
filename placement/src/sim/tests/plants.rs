//! Each checker is shown a mistake that was made on purpose, and finds it.

use super::*;

fn finds(plant: Plant, rule: Rule, setup: &Setup) {
    let broken = |seed: u64, plant: Option<Plant>| {
        let ran = run(&Setup { seed, plant, ..setup.clone() });
        ran.violations.into_iter().find(|violation| violation.rule == rule)
    };
    for seed in 1..=3 {
        assert_eq!(broken(seed, None), None, "without {plant:?}");
    }
    assert!((1..=3).any(|seed| broken(seed, Some(plant)).is_some()), "{plant:?} breaks no {rule:?}");
}

fn crowded() -> Setup {
    let mut setup = small("uniform", 3, 120, 2).load(2.0);
    setup.comes_back = true;
    // Then a promise that is made is one that can be kept.
    setup.workload.service_sigma = 0.1;
    setup
}

#[test]
fn a_lease_for_all_is_found() {
    finds(Plant::LeaseToAll, Rule::MadeOnce, &small("hot-content", 6, 60, 1));
}

#[test]
fn a_lost_answer_is_found() {
    finds(Plant::LostAnswer, Rule::AnsweredOnce, &small("uniform", 3, 10, 1));
}

#[test]
fn a_late_answer_is_found() {
    finds(Plant::LateAnswer, Rule::AnsweredInTime, &small("uniform", 3, 10, 1));
}

#[test]
fn a_forgotten_booking_is_found() {
    finds(Plant::ForgottenBooking, Rule::PromiseKept, &crowded());
}

/// The one way in which a promise may end badly is that the job was taken, and others had their turns before it until it was too late.
#[test]
fn jobs_are_overtaken_in_the_line_at_twice_of_what_is_there() {
    let overtaken: u64 = (1..=20).map(|seed| run(&Setup { seed, ..crowded() }).rare.overtaken).sum();
    assert!(overtaken > 0, "else the checker forgives what does not happen");
}

#[test]
fn a_slow_refusal_is_found() {
    finds(Plant::SlowRefusal, Rule::RefusedSoon, &crowded());
}

#[test]
fn a_queue_that_takes_more_than_it_says_is_found() {
    let mut setup = crowded();
    setup.queue = 2;
    finds(Plant::WideQueue, Rule::Bounded, &setup);
}

#[test]
fn a_place_that_is_kept_for_no_job_is_found() {
    finds(Plant::KeptPlace, Rule::PlaceOwned, &small("saturated-region", 6, 60, 1).load(1.2));
}
