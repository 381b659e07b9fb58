//! Several peers are offered a job at once. In the script each job takes a second, here and there, unless a peer says something else.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::desk::Ready;
use crate::policy::PolicyKind;

const fn ready(wait_ms: u32) -> Ready {
    Ready { wait_ms: Some(wait_ms), work_ms: Some(1_000), work_error_permille: None }
}

/// Under `eta`, with the peers before this node in the policy's order, and so long a wait here.
fn stage(peers: &[&'static str], wait_ms: u32, script: impl FnOnce(&mut Script)) -> std::sync::Arc<Stage> {
    Stage::new(peers, |written| {
        written.policy = PolicyKind::Eta;
        written.ranked.rotate_left(1);
        written.wait_ms = Some(wait_ms);
        script(written);
    })
}

fn says(script: &mut Script, name: &str, after: Duration, wait_ms: u32) {
    let peer = peer(script, name);
    (peer.offer, peer.ready) = (Reply::after(after, Ok(())).into(), ready(wait_ms));
}

/// What was said to peers, and where the work was done.
fn said(stage: &Stage) -> Vec<String> {
    let of_work = ["offer", "release", "send", "run"];
    stage.done().into_iter().filter(|what| of_work.iter().any(|word| what.starts_with(word))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_earliest_takes_it_and_the_others_are_released_at_once() {
    let stage = stage(&["b", "c", "d", "e"], 60_000, |script| {
        says(script, "b", 20 * MS, 9_000);
        says(script, "c", 30 * MS, 500);
        says(script, "d", 10 * MS, 4_000);
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "c's");
    // A look of 50 ms, the last of the three answers after 30, and the work.
    assert_eq!(took, 1_080 * MS);
    assert_eq!(
        said(&stage),
        ["offer b", "offer c", "offer d", "send c", "release d", "release b"],
        "the fourth by gossip is not asked"
    );
    assert!(stage.held().is_empty() && stage.taken() == 0);
}

/// Others would be done sooner, this node among them, but an encoder in hardware does it for next to nothing.
#[tokio::test(start_paused = true)]
async fn a_peer_with_an_encoder_in_hardware_is_asked_alone_and_the_others_if_it_refuses() {
    for (refuses, places, asked) in [(false, 1, "b"), (true, 1, "bcd"), (false, 0, "b"), (true, 0, "bcd")] {
        let stage = stage(&["b", "c", "d"], 60_000, |script| {
            (script.hardware, script.places) = (vec!["b"], places);
            says(script, "b", 20 * MS, 9_000);
            says(script, "c", 10 * MS, 0);
            says(script, "d", 10 * MS, 500);
            if refuses {
                peer(script, "b").offer = Reply::at_once(Err(refused(None))).into();
            }
        });
        let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
        let said = said(&stage);
        let offers: String =
            said.iter().filter_map(|what| what.strip_prefix("offer ")).map(|to| &to[..1]).collect();
        assert_eq!(
            (offers.as_str(), answer.unwrap().object.as_str()),
            (asked, if refuses { "c's" } else { "b's" }),
            "{said:?}"
        );
    }
}

/// A place that is kept for the way of an answer is kept from other jobs for longer than the work would take.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_way_takes_longer_than_the_work_is_asked_alone_and_not_where_it_is_best_here() {
    let offers = async |ranked: &[&'static str], places| {
        let stage = stage(&["b", "c", "d", "e"], 60_000, |script| {
            (script.ranked, script.places) = (ranked.to_vec(), places);
            for name in ["b", "c", "d", "e"] {
                says(script, name, 10 * MS, 9_000);
            }
        });
        for name in ["b", "c"] {
            stage.gossip(name, |member| member.rtt.as_mut().unwrap().mean = 2 * SECOND);
        }
        stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap();
        let asked =
            said(&stage).into_iter().filter_map(|what| what.strip_prefix("offer ").map(str::to_owned));
        asked.map(|what| what[..1].to_owned()).collect::<String>()
    };
    assert_eq!(offers(&["b", "c", "d", "e", "a"], 1).await, "b", "no other beside it");
    assert_eq!(offers(&["d", "b", "e", "c", "a"], 1).await, "de", "nor beside others");
    assert_eq!(
        offers(&["a", "b", "d", "c", "e"], 1).await,
        "de",
        "while it waits here near ones are asked alone"
    );
    assert_eq!(offers(&["a", "b", "c"], 1).await, "");
    // Nor where there is no place here: there it is the next round's turn.
    assert_eq!(offers(&["b", "c", "d", "a"], 0).await, "b");
    assert_eq!(offers(&["d", "b", "a"], 0).await, "d");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_waited_for_that_can_not_be_the_earliest() {
    let stage = stage(&["b", "c"], 60_000, |script| {
        says(script, "b", 10 * MS, 0);
        says(script, "c", 70 * MS, 0);
        // What its input takes on its way alone is more than all that the other one needs.
        peer(script, "c").thought = (Duration::ZERO, 2 * SECOND);
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("b's", 1_060 * MS));
    stage.settle().await;
    assert_eq!(said(&stage), ["offer b", "offer c", "send b", "release c"], "its late yes is taken back");
    assert!(stage.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_holds_nothing_up() {
    let stage = stage(&["b", "c"], 60_000, |script| {
        peer(script, "b").offer = Reply::never().into();
        says(script, "c", 10 * MS, 5_000);
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    // It is 10 ms away: twice there and back, and 100 ms to think.
    assert_eq!((answer.unwrap().object.as_str(), took), ("c's", (50 + 120 + 1_000) * MS));
    // Nor where no peer answers: this node has bid as well.
    let stage = stage_of_silent();
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", (50 + 140 + 1_000) * MS));
}

fn stage_of_silent() -> std::sync::Arc<Stage> {
    stage(&["b", "c"], 60_000, |script| {
        for name in ["b", "c"] {
            peer(script, name).offer = Reply::never().into();
        }
    })
}

#[tokio::test(start_paused = true)]
async fn this_node_may_be_the_earliest() {
    let stage = stage(&["b", "c"], 3_000, |script| {
        says(script, "b", 10 * MS, 9_000);
        says(script, "c", 20 * MS, 3_000);
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert_eq!(said(&stage), ["offer b", "offer c", "release c", "release b", "run in its place"]);
    assert!(stage.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_stays_here_unless_a_peer_says_that_it_is_sooner_by_a_margin() {
    // Here it takes 4 s; a peer that is 10 ms away is sooner by a little, and by more than 5 %.
    for (wait_ms, by) in [(2_900, "a's"), (2_500, "b's")] {
        let stage = stage(&["b"], 3_000, |script| says(script, "b", 10 * MS, wait_ms));
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, by);
    }
}

#[tokio::test(start_paused = true)]
async fn all_places_are_given_back_when_the_client_goes() {
    for leaves_after_ms in [55, 65, 75, 200] {
        let stage = stage(&["b", "c", "d"], 60_000, |script| {
            says(script, "b", 10 * MS, 9_000);
            says(script, "c", 20 * MS, 500);
            says(script, "d", 130 * MS, 4_000);
        });
        let answer = stage.answer(stage.job("a", 40 * SECOND));
        let left = tokio::time::timeout(Duration::from_millis(leaves_after_ms), answer).await;
        assert!(left.is_err(), "its client went before it was done");
        stage.settle().await;
        let sent = stage.did("send c");
        assert_eq!(sent, leaves_after_ms == 200, "all have answered then");
        for name in ["b", "c", "d"] {
            let released = stage.count(&format!("release {name}"));
            assert_eq!(released, usize::from(name != "c" || !sent), "{name} after {leaves_after_ms} ms");
        }
        assert!(stage.held().is_empty() && stage.taken() == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_not_asked_where_the_way_costs_more_than_it_saves() {
    // Here it is done after 1.1 s. A free worker there is no help, with a way of half a second.
    let far = stage(&["b"], 100, |script| peer(script, "b").thought = (Duration::ZERO, SECOND / 2));
    assert_eq!(far.answer(far.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert_eq!(said(&far), ["run in its place"]);
    // But where this node has failed at it, any peer is better than none.
    let failed = stage(&["b"], 100, |script| {
        peer(script, "b").thought = (Duration::ZERO, SECOND / 2);
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
    });
    assert_eq!(failed.answer(failed.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
}

#[tokio::test(start_paused = true)]
async fn where_the_policy_finds_it_best_here_peers_are_asked_while_it_waits_and_else_not() {
    for (wait_ms, asked) in [(0, false), (9_000, true)] {
        let stage = stage(&["b"], wait_ms, |script| {
            script.ranked = vec!["a", "b"];
            says(script, "b", 10 * MS, 0);
        });
        let by = stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object;
        assert_eq!((by.as_str(), stage.did("offer b")), (if asked { "b's" } else { "a's" }, asked));
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_peer_says_no_time_and_is_taken_as_gossip_has_it() {
    for (thought_s, by) in [(1, "b's"), (20, "c's")] {
        let stage = stage(&["b", "c"], 60_000, |script| {
            let older = peer(script, "b");
            (older.ready, older.thought) = (Ready::default(), (thought_s * SECOND, Duration::ZERO));
            says(script, "c", 10 * MS, 9_000);
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, by);
        assert!(stage.held().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn other_policies_ask_one_after_the_other() {
    for policy in PolicyKind::ALL {
        let stage = stage(&["b", "c"], 60_000, |script| {
            script.policy = policy;
            says(script, "b", 10 * MS, 9_000);
            says(script, "c", 10 * MS, 0);
        });
        let by = stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object;
        let at_once = policy == PolicyKind::Eta;
        assert_eq!((by.as_str(), stage.did("offer c")), (if at_once { "c's" } else { "b's" }, at_once));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_place_here_is_offered_to_several_as_it_is() {
    let stage = stage(&["b", "c", "d", "e"], 60_000, |script| {
        script.places = 0;
        for name in ["b", "c", "d"] {
            peer(script, name).offer = Reply::after(10 * MS, Err(refused(None))).into();
        }
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(
        (answer.unwrap().object.as_str(), took),
        ("e's", 1_020 * MS),
        "three no at once, and then a yes"
    );
    let offers = ["b", "c", "d", "e"].map(|name| format!("offer {name} unseen at any rate"));
    let asked = [&offers[..], &["send e".to_owned()]].concat();
    assert_eq!(said(&stage), asked);
}

#[tokio::test(start_paused = true)]
async fn where_the_earliest_comes_to_nothing_the_next_is_asked_again() {
    let stage = stage(&["b", "c"], 60_000, |script| {
        says(script, "b", 10 * MS, 500);
        says(script, "c", 10 * MS, 2_000);
        peer(script, "b").work = Reply::after(SECOND, Err(gone())).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "c's");
    let all = ["offer b", "offer c", "send b", "release c", "offer c", "send c"];
    assert_eq!(said(&stage), all);
    assert!(stage.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_of_one_is_not_taken_for_that_of_all() {
    let stage = stage(&["b", "c"], 60_000, |script| {
        peer(script, "b").offer =
            Reply::after(10 * MS, Err(PeerError::Ended(WorkError::unusable("x")))).into();
        says(script, "c", 5 * MS, 2_000);
    });
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "c's");
    stage.settle().await;
    assert!(stage.did("held against b: contradicted"), "{:?}", stage.done());
    assert!(stage.held().is_empty() && stage.taken() == 0, "{:?}", said(&stage));
}

/// What one peer does with an offer: after so many milliseconds it says this wait, or no.
#[derive(Clone, Copy, Debug)]
struct Bidder {
    after_ms: u64,
    wait_ms: Option<u32>,
    silent: bool,
}

fn bidder() -> impl Strategy<Value = Bidder> {
    (1u64..100, prop::option::weighted(0.8, 0u32..20_000), prop::bool::weighted(0.2))
        .prop_map(|(after_ms, wait_ms, silent)| Bidder { after_ms, wait_ms, silent })
}

/// By hand: from each one's yes its way there or its wait, whichever is longer, the work, and the way back; a peer is 10, 20 or 30 ms
/// away. All answers come before anything is given up, so the earliest of all is the earliest.
fn earliest(bidders: &[Bidder], here_wait_ms: u32) -> &'static str {
    let done = |number: usize, bidder: &Bidder| {
        let half = 5 * (number as u64 + 1);
        let wait = u64::from(bidder.wait_ms?).saturating_sub(half);
        (!bidder.silent).then_some(bidder.after_ms + wait.max(half) + 1_000 + half)
    };
    let bids =
        bidders.iter().enumerate().filter_map(|(number, bidder)| Some((done(number, bidder)?, number)));
    let here = u64::from(here_wait_ms) + 1_000;
    match bids.min() {
        // How much is left of it is seen when all have answered, or are given up: to be sure, all of that time.
        Some((done, number)) if done + 40 + 200 + here / 20 < here => ["b's", "c's", "d's"][number],
        Some((done, _)) if done < here + 40 + 200 => "any",
        _ => "a's",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whoever_bids_the_earliest_takes_it_and_no_other_place_is_kept(
        bidders in prop::collection::vec(bidder(), 1..=3),
        here_wait_ms in 0u32..30_000,
        leaves_after_ms in prop::option::weighted(0.3, 0u64..300),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let names = &["b", "c", "d"][..bidders.len()];
            let stage = stage(names, here_wait_ms, |script| {
                for (name, bidder) in names.iter().zip(&bidders) {
                    let answer = bidder.wait_ms.map(|_| ()).ok_or_else(|| refused(None));
                    let peer = peer(script, name);
                    let after = Duration::from_millis(bidder.after_ms);
                    let reply = if bidder.silent { Reply::never() } else { Reply::after(after, answer) };
                    peer.offer = reply.into();
                    peer.ready = ready(bidder.wait_ms.unwrap_or_default());
                }
            });
            let answer = stage.answer(stage.job("a", 40 * SECOND));
            if let Some(leaves_after_ms) = leaves_after_ms {
                drop(tokio::time::timeout(Duration::from_millis(leaves_after_ms), answer).await);
            } else {
                let by = answer.await.0.unwrap().object;
                let expected = earliest(&bidders, here_wait_ms);
                assert!(expected == "any" || by == expected, "{by} and not {expected}: {:?}", stage.done());
            }
            stage.settle().await;
            assert!(stage.held().is_empty(), "{:?}", stage.done());
            assert_eq!(stage.taken(), 0);
            assert!(names.iter().map(|name| stage.count(&format!("send {name}"))).sum::<usize>() <= 1);
        });
    }
}
