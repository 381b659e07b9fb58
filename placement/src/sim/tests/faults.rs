//! Random faults, by seed: whatever goes wrong, the rules hold; and the rare states are reached.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::sim::record::Rare;

const SEEDS: u64 = 200;
/// Tests among which the seeds are shared out, so that they run beside each other.
const PARTS: u64 = 4;

/// Some faults, one after the other, each over before the next one of its kind begins.
fn mishaps(rng: &mut StdRng, nodes: usize) -> Vec<Mishap> {
    let mut mishaps = Vec::new();
    let seconds =
        |rng: &mut StdRng, range: std::ops::Range<u64>| Duration::from_millis(rng.random_range(range));
    let mut at = Duration::ZERO;
    for _ in 0..rng.random_range(1..5) {
        at += seconds(rng, 500..6_000);
        let (node, time) = (rng.random_range(0..nodes), seconds(rng, 1_000..9_000));
        let what = match rng.random_range(0..7) {
            0 | 1 => Trouble::Death { node, silent: rng.random() },
            2 => Trouble::Freeze { node, time },
            3 => {
                let side = (0..nodes).filter(|_| rng.random()).collect();
                Trouble::Partition { side, time }
            }
            4 => Trouble::Hang { node, time },
            5 => Trouble::Loss { part: rng.random_range(0.05..0.4), time },
            _ => Trouble::Leave { node, time },
        };
        let back = match what {
            Trouble::Death { .. } | Trouble::Leave { .. } => Some(node),
            _ => None,
        };
        mishaps.push(Mishap { at, what });
        if let Some(node) = back {
            mishaps.push(Mishap { at: at + time + Duration::from_secs(1), what: Trouble::Restart { node } });
        }
        at += time;
    }
    mishaps
}

fn faulty(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = rng.random_range(3..7);
    let names = ["uniform", "hot-content", "saturated-region"];
    let mut setup =
        small(names[rng.random_range(0..names.len())], nodes, 40, seed).load(rng.random_range(0.6..1.6));
    setup.decider = decider([PolicyKind::Score, PolicyKind::Eta, PolicyKind::P2c][rng.random_range(0..3)]);
    (setup.comes_back, setup.announces) = (true, true);
    setup.queue = rng.random_range(2..17);
    setup.mishaps = mishaps(&mut rng, nodes);
    setup
}

fn rules_hold(part: u64) {
    for seed in (0..SEEDS).filter(|seed| seed % PARTS == part) {
        let ran = run(&faulty(seed));
        assert_eq!(told(&ran), "", "seed {seed}: {:?}", faulty(seed).mishaps);
    }
}

#[test]
fn rules_hold_whatever_goes_wrong_0() {
    rules_hold(0);
}

#[test]
fn rules_hold_whatever_goes_wrong_1() {
    rules_hold(1);
}

#[test]
fn rules_hold_whatever_goes_wrong_2() {
    rules_hold(2);
}

#[test]
fn rules_hold_whatever_goes_wrong_3() {
    rules_hold(3);
}

/// Promises are looked at where jobs take what they are predicted to take.
#[test]
fn promises_are_kept_whatever_goes_wrong_elsewhere() {
    for seed in 1..=50 {
        let mut setup = faulty(seed);
        setup.workload.service_sigma = 0.1;
        assert_eq!(told(&run(&setup)), "", "seed {seed}: {:?}", setup.mishaps);
    }
}

/// Offers and hedges meet nodes that are stopped, or whose work stands still.
fn crowded_and_held_up(seed: u64) -> Setup {
    let mut rng = StdRng::seed_from_u64(!seed);
    let mut setup = small("saturated-region", 6, 60, seed).load(1.2);
    setup.decider = decider(PolicyKind::Eta);
    let freezes = (0..8).map(|number| Mishap {
        at: Duration::from_millis(1_500 * number),
        what: Trouble::Freeze { node: rng.random_range(0..6), time: Duration::from_secs(6) },
    });
    let hangs = (0..3).map(|number| Mishap {
        at: Duration::from_millis(4_000 * number + 700),
        what: Trouble::Hang { node: 1 + number as usize, time: Duration::from_secs(25) },
    });
    setup.mishaps = freezes.collect::<Vec<_>>().into_iter().chain(hangs).collect();
    setup.mishaps.sort_by_key(|mishap| mishap.at);
    setup
}

#[test]
fn the_seeds_reach_the_rare_states() {
    let mut sum = Rare::default();
    let runs = (0..SEEDS / 5).map(faulty).chain((0..20).map(crowded_and_held_up));
    for setup in runs {
        let ran = run(&setup);
        assert_eq!(told(&ran), "", "seed {}", setup.seed);
        let rare = ran.rare;
        sum.lease_stolen += rare.lease_stolen;
        sum.home_frozen += rare.home_frozen;
        sum.offer_expired += rare.offer_expired;
        sum.hedge_won += rare.hedge_won;
        sum.unanswered += rare.unanswered;
        sum.stalled += rare.stalled;
        sum.handed_on += rare.handed_on;
        sum.home_silent += rare.home_silent;
    }
    let reached = [
        sum.lease_stolen,
        sum.home_frozen,
        sum.offer_expired,
        sum.hedge_won,
        sum.unanswered,
        sum.stalled,
        sum.handed_on,
        sum.home_silent,
    ];
    assert!(reached.iter().all(|count| *count > 0), "{sum:?}");
}
