//! What a peer says against a job is not believed: it may lie, or be ill.

use super::*;

fn verdict() -> PeerError {
    PeerError::Ended(WorkError::unusable("the peer says so"))
}

/// A stage where peers come first, and say this of each job that they have taken.
fn spoken_against(
    peers: &[&'static str],
    error: &PeerError,
    change: impl FnOnce(&mut Script),
) -> std::sync::Arc<Stage> {
    Stage::new(peers, |script| {
        script.ranked = peers.iter().copied().chain(["a"]).collect();
        for name in peers {
            peer(script, name).work = Reply::after(SECOND, Err(error.clone())).into();
        }
        change(script);
    })
}

#[tokio::test(start_paused = true)]
async fn a_video_that_a_peer_refuses_is_made_here_and_the_peer_is_held_to_it() {
    let stage = spoken_against(&["b", "c"], &verdict(), |_| {});
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!(took < 3 * SECOND, "{took:?}");
    assert!(!stage.did("offer c"), "this node sees for itself: {:?}", stage.done());
    assert!(stage.told(|what| matches!(what, What::Doubted { .. })));
    assert!(stage.did("held against b: contradicted"));
    assert_eq!(stage.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_told_when_this_node_comes_to_it_too() {
    let own = WorkError::unusable("this node says so, too");
    let stage = spoken_against(&["b", "c"], &verdict(), |script| {
        script.run = Reply::after(SECOND, Err(own.clone())).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), own);
    assert!(!stage.did("offer c"), "no third node is asked");
    assert!(!stage.did("held against b: contradicted"));
}

#[tokio::test(start_paused = true)]
async fn two_that_crash_over_it_are_no_proof_either() {
    let stage = spoken_against(&["b", "c", "d"], &PeerError::Ended(crashed()), |_| {});
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(stage.did("offer c") && !stage.did("offer d"), "{:?}", stage.done());
    // What crashes here, too, is the video's fault.
    let stage = spoken_against(&["b", "c"], &PeerError::Ended(crashed()), |script| {
        script.run = Reply::at_once(Err(crashed())).into();
    });
    let answer = stage.answer(stage.job("a", 40 * SECOND)).await.0;
    assert!(matches!(answer.unwrap_err(), WorkError::Unusable { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_place_looks_at_the_video_before_it_refuses_it() {
    let without_place = |probe: Result<(), WorkError>| {
        spoken_against(&["b", "c", "d"], &verdict(), |script| {
            script.places = 0;
            script.probe = Reply::at_once(probe).into();
        })
    };
    let own = WorkError::unusable("ffprobe says so, too");
    let stage = without_place(Err(own.clone()));
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), own);
    assert!(!stage.done().iter().any(|what| what.starts_with("offer c")), "{:?}", stage.done());
    // What it finds good is not refused for good: in doubt the client comes back, and has a place here then.
    let stage = without_place(Ok(()));
    let answer = stage.answer(stage.job("a", 40 * SECOND)).await.0;
    assert!(matches!(answer, Err(WorkError::Saturated { .. })), "{answer:?}");
    assert!(stage.did("offer c at any rate") && !stage.did("offer d at any rate"), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_makes_it_shows_that_another_was_wrong() {
    let stage = spoken_against(&["b", "c"], &verdict(), |script| {
        script.places = 0;
        *peer(script, "c") = Peer::default();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "c's");
    assert!(stage.did("held against b: contradicted"), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn where_this_node_can_not_tell_a_verdict_of_others_is_no_final_one() {
    let lack = WorkError::Unavailable { profile: "av1".parse().unwrap(), lack: "no encoder".into() };
    let stage = spoken_against(&["b", "c", "d"], &verdict(), |script| script.can_make = Err(lack));
    let answer = stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err();
    assert!(matches!(&answer, WorkError::Crashed { how } if how.contains("the peer says so")), "{answer:?}");
    assert!(!stage.did("offer d"), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_job_and_then_refuses_it_is_held_to_it() {
    let stage = spoken_against(&["b"], &refused(Some(SECOND)), |_| {});
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(stage.did("held against b: reneged"));
    // Who refuses an offer has promised nothing.
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").offer = Reply::at_once(Err(refused(Some(SECOND)))).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(!stage.did("held against b: reneged"));
}

#[tokio::test(start_paused = true)]
async fn however_many_names_stall_a_job_it_is_soon_done_here() {
    let names = ["b", "c", "d", "e", "f", "g"];
    let stage = Stage::new(&names, |script| {
        script.ranked = names.into_iter().chain(["a"]).collect();
        for name in names {
            peer(script, name).work = Reply::never().into();
            peer(script, name).progress = still().into();
        }
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!(took < 16 * SECOND && !stage.did("offer d"), "{took:?}: {:?}", stage.done());
}
