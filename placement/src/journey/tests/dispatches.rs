use super::*;
use crate::journey::Answer;

fn order(stage: &Stage) -> Vec<String> {
    let of_this_node = |what: &str| what.replace(" at any rate", "").contains(" a");
    stage.done().into_iter().filter(|what| !of_this_node(what) || what.contains("run")).collect()
}

#[tokio::test(start_paused = true)]
async fn the_best_candidate_does_it() {
    let stage = Stage::new(&["b"], |script| script.ranked = vec!["b", "a"]);
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    let served = answer.unwrap();
    assert_eq!((served.object.as_str(), took), ("b's", 1_060 * MS));
    assert_eq!(served.route_text(), "a/FRA -> b/FRA");
    assert_eq!(order(&stage), ["place", "probe", "offer b", "send b"]);
    assert!(stage.told(|what| matches!(what, What::Offered { answer: Answer::Accepted, .. })));
    assert!(stage.told(|what| matches!(what, What::HandedOver { done: true, .. })));
    assert_eq!(stage.taken(), 0, "the place here was given back");
}

#[tokio::test(start_paused = true)]
async fn the_next_best_does_it_where_the_best_will_not() {
    for error in [refused(Some(SECOND)), gone(), PeerError::Avoided("unreachable".into())] {
        let stage = Stage::new(&["b", "c"], |script| {
            script.ranked = vec!["b", "c", "a"];
            peer(script, "b").offer = Reply::after(10 * MS, Err(error.clone())).into();
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "c's", "{error}");
        let expected = Answer::of(&Err::<(), _>(error));
        assert!(stage.told(|what| matches!(what, What::Offered { answer, .. } if *answer == expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_fails_at_it_is_followed_by_the_next() {
    let wrong = PeerError::Faulty { fault: crate::journey::Fault::Lied, seen: "no video".into() };
    for error in [wrong, PeerError::NotTaken("disk full".into()), gone(), refused(None)] {
        let stage = Stage::new(&["b"], |script| {
            script.ranked = vec!["b", "a"];
            peer(script, "b").work = Reply::after(SECOND, Err(error.clone())).into();
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's", "{error}");
        assert!(stage.did("run in its place"), "the place was kept meanwhile");
        assert!(stage.told(|what| matches!(what, What::HandedOver { done: false, .. })));
        let taken = stage.told(|what| matches!(what, What::Refused { taken: true, .. }));
        assert_eq!(taken, matches!(error, PeerError::Refused { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_with_a_peer_is_no_work_here() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").work = Reply::after(2 * SECOND, Err(gone())).into();
    });
    let looks = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(stage.taken(), 0, "nothing of it is to be done here as long as the peer has it");
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(stage.job("a", 40 * SECOND)), looks);
    assert_eq!(answer.unwrap().object, "a's");
    assert!(stage.did("run in its place"), "and it has not lost its place");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_with_the_job_is_followed_by_the_next() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").work = Reply::never().into();
    });
    let dies = async {
        tokio::time::sleep(2 * SECOND).await;
        stage.gossip("b", |member| member.state = starling_overlay::MemberState::Dead);
    };
    let ((answer, took), ()) = tokio::join!(stage.answer(stage.job("a", 40 * SECOND)), dies);
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", 3 * SECOND));
    assert!(stage.told(|what| matches!(what, What::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_tried_on_one_more_node_and_is_the_videos_fault_then() {
    let stage = Stage::new(&["b"], |script| {
        script.run = Reply::at_once(Err(crashed())).into();
    });
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "b's", "that node was to blame");
    let stage = Stage::new(&["b", "c"], |script| {
        script.run = Reply::at_once(Err(crashed())).into();
        peer(script, "b").work = Reply::at_once(Err(PeerError::Ended(crashed()))).into();
    });
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert!(
        matches!(answer.unwrap_err(), WorkError::Unusable { why } if why.ends_with("it was not the first"))
    );
    assert!(!stage.did("offer c"), "no third node is put at risk");
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_no_other_node_has_tried_is_told_as_one() {
    let stage = Stage::new(&[], |script| script.run = Reply::at_once(Err(crashed())).into());
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), crashed());
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_this_node_is_no_reason_to_fail_where_others_can() {
    let lack = WorkError::Unavailable { profile: "av1".parse().unwrap(), lack: "no encoder".into() };
    for error in [WorkError::fault("no memory"), WorkError::DiskFull, lack] {
        let stage = Stage::new(&["b"], |script| script.run = Reply::at_once(Err(error.clone())).into());
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
        assert!(stage.did("offer b at any rate"), "no place here is compared with: {:?}", stage.done());
        let stage = Stage::new(&["b"], |script| {
            script.run = Reply::at_once(Err(error.clone())).into();
            peer(script, "b").offer = Reply::at_once(Err(refused(Some(SECOND)))).into();
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), error);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_told_to_come_now_is_done_here_first() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.booked = true;
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(!stage.did("offer b"));
    // And where it fails here, it goes to a peer, and not here again.
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["a", "b"];
        script.booked = true;
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
    assert_eq!(stage.count("run in its place"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_place_here_is_not_kept_waiting_for_a_better_one() {
    // Two refusals of 300 ms each, and then it is enough.
    let stage = Stage::new(&["b", "c", "d"], |script| {
        script.ranked = vec!["b", "c", "d", "a"];
        for name in ["b", "c", "d"] {
            peer(script, name).offer = Reply::after(300 * MS, Err(refused(None))).into();
        }
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", 1_650 * MS));
    assert!(!stage.did("offer d"));
    // One that says nothing for a second.
    let stage = Stage::new(&["b", "c"], |script| {
        script.ranked = vec!["b", "c", "a"];
        peer(script, "b").offer = Reply::after(1_200 * MS, Err(gone())).into();
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("a's", 2_250 * MS));
    assert!(!stage.did("offer c"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_of_itself_that_it_is_full_is_not_asked() {
    let stage = Stage::new(&["b", "c"], |script| script.ranked = vec!["b", "c", "a"]);
    stage.gossip("b", |member| member.load = Some(load(9)));
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "c's");
    assert!(!stage.did("offer b"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_was_full_is_asked_again_after_the_peers() {
    let stage = Stage::new(&["b"], |script| {
        script.run = [Reply::at_once(Err(saturated(SECOND))), Reply::at_once(Ok(()))].into();
        peer(script, "b").offer = Reply::after(10 * MS, Err(refused(None))).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert_eq!(order(&stage), ["place", "probe", "run in its place", "offer b at any rate", "run"]);
}

#[tokio::test(start_paused = true)]
async fn where_all_refuse_the_own_promise_counts_else_the_soonest() {
    let full = |book| {
        Stage::new(&["b", "c"], move |script| {
            script.run = Reply::at_once(Err(saturated(9 * SECOND))).into();
            script.book = book;
            peer(script, "b").offer = Reply::at_once(Err(refused(Some(8 * SECOND)))).into();
            peer(script, "c").offer = Reply::at_once(Err(refused(Some(7 * SECOND)))).into();
        })
    };
    let stage = full(Some(20 * SECOND));
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), saturated(20 * SECOND));
    assert!(stage.did("book Some(1000)"), "{:?}", stage.done());
    let stage = full(None);
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), saturated(7 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_after_the_deadline() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").offer = Reply::never().into();
    });
    let (answer, took) = stage.answer(stage.job("a", 3 * SECOND)).await;
    assert_eq!((answer.unwrap_err(), took), (WorkError::TooLate, 3 * SECOND));
    stage.settle().await;
    assert!(!stage.did("run in its place"));
    assert_eq!(stage.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn eight_peers_are_asked_at_the_most() {
    let names = ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let stage = Stage::new(&names, |script| {
        script.ranked = names.iter().copied().chain(["a"]).collect();
        for name in names {
            peer(script, name).offer = Reply::at_once(Err(refused(None))).into();
        }
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(stage.did("offer i") && !stage.did("offer j"), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_place_is_offered_as_it_is() {
    let stage = Stage::new(&["b"], |script| script.places = 0);
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "b's");
    assert_eq!(
        order(&stage),
        ["no place", "offer b unseen at any rate", "send b"],
        "no look was had at it here"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_decided_soon_however_many_say_nothing() {
    let names = ["b", "c", "d", "e", "f"];
    let stage = Stage::new(&names, |script| {
        script.places = 0;
        for name in names {
            peer(script, name).offer = Reply::never().into();
        }
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap_err(), took), (saturated(5 * SECOND), 700 * MS));
    assert!(stage.did("offer c unseen at any rate"), "one that says nothing does not take all of the time");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_while_peers_are_asked_is_used() {
    let stage = Stage::new(&["b"], |script| {
        script.places = 0;
        peer(script, "b").offer = Reply::after(100 * MS, Err(refused(None))).into();
    });
    let job = stage.job("a", 40 * SECOND);
    let frees = async {
        tokio::time::sleep(50 * MS).await;
        stage.script().places = 1;
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(job), frees);
    assert_eq!(answer.unwrap().object, "a's");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_this_node_can_not_look_at_goes_to_a_peer() {
    for fault in [WorkError::fault("ffprobe could not look at it"), crashed()] {
        let stage = Stage::new(&["b"], |script| script.probe = Reply::at_once(Err(fault.clone())).into());
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
        assert!(stage.did("offer b unseen at any rate"), "{:?}", stage.done());
        assert_eq!(stage.taken(), 0);
        let stage = Stage::new(&["b"], |script| {
            script.probe = Reply::at_once(Err(fault.clone())).into();
            peer(script, "b").offer = Reply::at_once(Err(refused(Some(SECOND)))).into();
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), fault);
    }
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_can_not_be_made_here_is_made_elsewhere() {
    let lack = WorkError::Unavailable { profile: "av1".parse().unwrap(), lack: "no encoder".into() };
    let stage = Stage::new(&["b"], |script| script.can_make = Err(lack.clone()));
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
    assert!(!stage.did("place") && !stage.did("probe"));
    // A peer that can and has no time says when to come back; where no peer can, that is the answer.
    for (offer, answer) in [(refused(Some(3 * SECOND)), saturated(3 * SECOND)), (gone(), lack.clone())] {
        let stage = Stage::new(&["b"], |script| {
            script.can_make = Err(lack.clone());
            peer(script, "b").offer = Reply::at_once(Err(offer)).into();
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_trusted_is_offered_nothing() {
    type Change = fn(&mut Script);
    let without_a_place = |script: &mut Script| script.places = 0;
    let unseen = |script: &mut Script| script.probe = Reply::at_once(Err(WorkError::fault("ffprobe"))).into();
    let failing = |script: &mut Script| script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
    let fine = |_: &mut Script| {};
    let situations: [(Change, Option<WorkError>); 4] = [
        (fine, None),
        (without_a_place, Some(saturated(5 * SECOND))),
        (unseen, Some(WorkError::fault("ffprobe"))),
        (failing, Some(WorkError::DiskFull)),
    ];
    for (change, error) in situations {
        let stage = Stage::new(&["b"], |script| {
            (script.ranked, script.distrusted) = (vec!["b", "a"], vec!["b"]);
            change(script);
        });
        assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.err(), error);
        let offered = |what: &String| what.starts_with("offer");
        assert!(!stage.done().iter().any(offered), "{error:?}: {:?}", stage.done());
    }
}

#[tokio::test(start_paused = true)]
async fn no_peer_is_asked_any_more_when_it_has_to_be_decided() {
    let names = ["b", "c", "d", "e", "f", "g", "h", "i"];
    let stage = Stage::new(&names, |script| {
        script.places = 0;
        for name in names {
            peer(script, name).offer = Reply::never().into();
        }
    });
    let (_, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    stage.settle().await;
    let asked = stage.done().iter().filter(|what| what.starts_with("offer")).count();
    // Half of 700 ms for the first, half of the rest for the next, and so on; no time is left for the last ones.
    assert!((took, asked) == (700 * MS, 4), "{took:?}: {:?}", stage.done());
}
