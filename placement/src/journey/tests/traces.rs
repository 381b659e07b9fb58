//! Many journeys at once over scripts that a seed writes: the same seed gives the same trace, and whatever happens, each request is
//! answered by its deadline and nothing of it stays behind.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::stage::Replies;
use super::*;
use crate::desk::Ready;
use crate::policy::PolicyKind;

const PEERS: [&str; 3] = ["b", "c", "d"];
const REQUESTS: usize = 12;

fn reply<T: Clone>(rng: &mut StdRng, whats: &[T]) -> Replies<T> {
    let replies = (0..3).map(|_| {
        let after = Duration::from_millis(rng.random_range(0..4_000));
        let what = whats[rng.random_range(0..whats.len())].clone();
        if rng.random_ratio(1, 8) { Reply::never() } else { Reply::after(after, what) }
    });
    Replies::of(replies.collect())
}

fn write(rng: &mut StdRng, script: &mut Script) {
    let endings =
        [Ok(()), Ok(()), Ok(()), Err(WorkError::DiskFull), Err(crashed()), Err(WorkError::unusable("x"))];
    script.run = reply(rng, &[&endings[..], &[Err(saturated(SECOND)), Err(WorkError::Draining)]].concat());
    script.probe = reply(rng, &endings[..]);
    script.places = rng.random_range(0..4);
    script.policy = if rng.random() { PolicyKind::Eta } else { PolicyKind::Score };
    script.wait_ms = rng.random_ratio(3, 4).then(|| rng.random_range(0..6_000));
    script.booked = rng.random_ratio(1, 4);
    if rng.random() {
        script.ranked.rotate_left(1);
    }
    for name in PEERS {
        let other = PEERS[rng.random_range(0..PEERS.len())].parse().unwrap();
        let holders = vec![PEERS[rng.random_range(0..PEERS.len())].parse().unwrap()];
        let failures = [gone(), refused(Some(SECOND)), PeerError::Ended(crashed())];
        let failed = failures[rng.random_range(0..failures.len())].clone();
        let moving = Progress { moved: rng.random_range(0..3), waits: rng.random_ratio(1, 4), part: None };
        let peer = peer(script, name);
        peer.offer = reply(rng, &[Ok(()), Ok(()), Err(failed.clone())]);
        let said = |rng: &mut StdRng| rng.random_ratio(3, 4).then(|| rng.random_range(0..6_000));
        peer.ready = Ready { wait_ms: said(rng), work_ms: said(rng), work_error_permille: said(rng) };
        peer.work = reply(rng, &[Ok(()), Ok(()), Err(failed.clone())]);
        peer.progress = reply(rng, &[Ok(Some(moving)), Ok(None), Err(gone())]);
        peer.fetch = reply(rng, &[Ok(Some(())), Ok(None), Err(gone())]);
        let verdicts =
            [Verdict::Yours, Verdict::Yours, Verdict::Busy { by: other }, Verdict::Held { holders }];
        peer.home = reply(
            rng,
            &[verdicts.map(Ok), [Err(gone()), Ok(Verdict::Yours), Err(gone()), Ok(Verdict::Yours)]].concat(),
        );
    }
}

/// All that happened under this seed.
fn trace(seed: u64) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let stage = Stage::new(&PEERS, |script| write(&mut rng, script));
        let mut requests = Vec::new();
        for _ in 0..REQUESTS {
            let home = ["a", "b", "c", "d"][rng.random_range(0..4)];
            let allowed = Duration::from_millis(rng.random_range(100..30_000));
            let leaves_after = rng.random_ratio(1, 6).then(|| allowed.mul_f64(rng.random()));
            let (stage, job) = (Arc::clone(&stage), stage.job(home, allowed));
            requests.push(tokio::spawn(async move {
                let answering = stage.answer(job);
                let Some(leaves_after) = leaves_after else {
                    let (answer, took) = answering.await;
                    assert!(
                        took <= allowed,
                        "answered {took:?} after its arrival, and {allowed:?} were allowed"
                    );
                    return format!("{answer:?} after {took:?}");
                };
                let stays = tokio::time::timeout(leaves_after, answering).await;
                format!("{:?} for one that left", stays.map(|(answer, _)| answer.is_ok()))
            }));
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..3_000))).await;
        }
        let mut trace = String::new();
        for request in requests {
            let answer = request.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            trace.push_str(&answer);
            trace.push('\n');
        }
        // The longest that goes on by itself is work on which nobody waits any more, and the end of a lease.
        tokio::time::sleep(120 * SECOND).await;
        assert_eq!(stage.taken(), 0, "seed {seed}: a place is held for no job");
        assert!(stage.held().is_empty(), "seed {seed}: peers hold places for no job: {:?}", stage.held());
        assert_eq!(stage.journeys_under_way(), (0, 0), "seed {seed}: work goes on for no request");
        format!("{trace}{:?}\n{:?}", stage.done(), stage.events())
    })
}

#[test]
fn one_seed_is_one_trace_and_nothing_stays_behind() {
    for seed in 0..300 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}

#[test]
fn the_seeds_reach_the_rare_states() {
    let all: String = (0..300).map(trace).collect();
    for rare in [
        "HedgedHere",
        "HedgeFailed",
        "HedgeWon",
        "StragglerFailed",
        "NotFetched",
        "HomeSilent",
        "Crashed",
        "Joined",
        "LeaseRenewed",
        "TooLate",
        "no place",
        "for one that left",
        "release b",
    ] {
        assert!(all.contains(rare), "{rare} is never reached");
    }
}
