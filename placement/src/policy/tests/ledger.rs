//! What the ledger says beside a sample.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use starling_overlay::BootEpoch;

use crate::policy::testing::{identity, profile};
use crate::policy::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);

fn handing(peer: &str) -> Handing {
    let peer = peer.parse().unwrap();
    Handing { peer, boot: BootEpoch(1), profile: profile().clone(), bytes: 1_000, work: SECOND }
}

fn jobs(ledger: &Ledger, sample_taken: Option<Instant>, now: Instant) -> (u32, u32, u32) {
    let handed = ledger.unseen(&identity("b", "FRA"), sample_taken, now);
    (handed.jobs, handed.taken, handed.ended)
}

#[test]
fn a_hand_off_counts_from_its_offer_until_a_sample_shows_it() {
    let (mut ledger, now) = (Ledger::default(), start());
    let id = ledger.begin(now, handing("b"));
    assert_eq!(jobs(&ledger, now.checked_sub(SECOND), now), (1, 0, 0), "offered");
    assert_eq!(jobs(&ledger, Some(now + SECOND), now), (1, 0, 0), "which no sample shows");
    ledger.taken(now + SECOND, id);
    let later = now + 2 * SECOND;
    assert_eq!(jobs(&ledger, None, later), (1, 1, 0));
    assert_eq!(jobs(&ledger, Some(now), later), (1, 1, 0), "an older sample");
    assert_eq!(jobs(&ledger, Some(later), later), (0, 0, 0), "a younger one has it");
    let other_boot = starling_overlay::Identity { boot: BootEpoch(2), ..identity("b", "FRA") };
    assert_eq!(ledger.unseen(&other_boot, None, later), Handed::default(), "a restart has lost it");
    ledger.ended(now + 3 * SECOND, id);
    let after = now + 4 * SECOND;
    assert_eq!(jobs(&ledger, Some(now), after), (0, 0, 0), "neither shown nor there");
    assert_eq!(jobs(&ledger, Some(later), after), (0, 0, 1), "shown, and done since");
    assert_eq!(jobs(&ledger, Some(after), after), (0, 0, 0));
}

#[test]
fn what_is_refused_or_given_up_is_no_more_than_its_peers_word() {
    let (mut ledger, now) = (Ledger::default(), start());
    let id = ledger.begin(now, handing("b"));
    ledger.refused(now, id, None);
    assert!(ledger.is_empty());
    let id = ledger.begin(now, handing("b"));
    ledger.refused(now, id, Some(3 * SECOND));
    let handed = |sample| ledger.unseen(&identity("b", "FRA"), sample, now + SECOND);
    assert_eq!(handed(Some(now)), Handed { busy_for: 2 * SECOND, ..Handed::default() });
    assert_eq!(handed(Some(now + SECOND)), Handed::default());
    let id = ledger.begin(now, handing("b"));
    ledger.give_up(id);
    assert!(ledger.is_empty());
    let id = ledger.begin(now, handing("b"));
    ledger.taken(now, id);
    ledger.ended(now, id);
    ledger.give_up(id);
    assert_eq!(ledger.len(), 1, "that it is over is still to be told of");
    // An offer that came to nothing before it was answered.
    let id = ledger.begin(now, handing("b"));
    ledger.ended(now, id);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn what_no_sample_can_show_any_more_is_forgotten() {
    let (mut ledger, now) = (Ledger::default(), start());
    let id = ledger.begin(now, handing("b"));
    ledger.taken(now, id);
    ledger.ended(now, id);
    ledger.begin(now + SAMPLE_AGE_MAX, handing("c"));
    assert_eq!(ledger.len(), 1);
    for _ in 0..5_000 {
        ledger.begin(now, handing("d"));
    }
    assert_eq!(ledger.len(), 4096);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Offer(u8),
    Take(u8),
    Refuse(u8),
    End(u8),
    Drop(u8),
}

fn step() -> impl Strategy<Value = Step> {
    (0..5u8, 0..8u8).prop_map(|(what, which)| match what {
        0 => Step::Offer(which % 3),
        1 => Step::Take(which),
        2 => Step::Refuse(which),
        3 => Step::End(which),
        _ => Step::Drop(which),
    })
}

proptest! {
    /// A list of what happened, looked through from its begin, says the same.
    #[test]
    fn a_ledger_is_what_happened(steps in prop::collection::vec((step(), 0u64..2_000), 0..60), sample_ms in 0u64..60_000) {
        #[derive(Clone, Debug)]
        struct Told { id: HandoffId, peer: u8, taken: Option<Instant>, ended: Option<Instant>, gone: bool }
        let (mut ledger, begun) = (Ledger::default(), start());
        let (mut now, mut all) = (begun, Vec::<Told>::new());
        for (step, wait_ms) in steps {
            now += Duration::from_millis(wait_ms);
            let open = |all: &[Told], which: u8| {
                let open: Vec<usize> = (0..all.len()).filter(|at| !all[*at].gone && all[*at].ended.is_none()).collect();
                (!open.is_empty()).then(|| open[which as usize % open.len()])
            };
            match step {
                Step::Offer(peer) => {
                    let id = ledger.begin(now, handing(&format!("p{peer}")));
                    all.push(Told { id, peer, taken: None, ended: None, gone: false });
                }
                Step::Take(which) => if let Some(at) = open(&all, which).filter(|at| all[*at].taken.is_none()) {
                    ledger.taken(now, all[at].id);
                    all[at].taken = Some(now);
                },
                Step::Refuse(which) => if let Some(at) = open(&all, which).filter(|at| all[*at].taken.is_none()) {
                    ledger.refused(now, all[at].id, None);
                    all[at].gone = true;
                },
                Step::End(which) => if let Some(at) = open(&all, which) {
                    ledger.ended(now, all[at].id);
                    all[at].ended = Some(now);
                    all[at].gone = all[at].taken.is_none();
                },
                Step::Drop(which) => if let Some(at) = open(&all, which) {
                    ledger.give_up(all[at].id);
                    all[at].gone = true;
                },
            }
        }
        // No sample in use is older.
        let oldest = now.checked_sub(SAMPLE_AGE_MAX).map_or(begun, |oldest| oldest.max(begun));
        let sample = (begun + Duration::from_millis(sample_ms)).max(oldest).min(now);
        for peer in 0..3u8 {
            let handed = ledger.unseen(&identity(&format!("p{peer}"), "FRA"), Some(sample), now);
            let of_peer = || all.iter().filter(|told| told.peer == peer && !told.gone);
            let there = of_peer().filter(|told| told.ended.is_none());
            let expected = there.filter(|told| told.taken.is_none_or(|taken| sample <= taken)).count();
            let shown = |told: &&Told| told.taken.is_some_and(|taken| taken < sample) && told.ended.is_some_and(|ended| sample <= ended);
            prop_assert_eq!(handed.jobs as usize, expected);
            prop_assert_eq!(handed.work, SECOND * handed.jobs);
            prop_assert_eq!(handed.ended as usize, of_peer().filter(shown).count());
            prop_assert!(handed.taken <= handed.jobs);
        }
    }
}
