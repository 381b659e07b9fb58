//! What stalls or takes long, at a peer that has the job and at a node that has the lease.

use super::*;
use crate::journey::Part;

fn busy(by: &str) -> Reply<Result<Verdict, PeerError>> {
    Reply::at_once(Ok(Verdict::Busy { by: by.parse().unwrap() }))
}

fn held(by: &str) -> Reply<Result<Verdict, PeerError>> {
    Reply::at_once(Ok(Verdict::Held { holders: vec![by.parse().unwrap()] }))
}

#[tokio::test(start_paused = true)]
async fn a_job_that_stalls_at_a_peer_is_done_here_beside_it() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").work = Reply::never().into();
        peer(script, "b").progress = still().into();
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!((7 * SECOND..9 * SECOND).contains(&took), "{took:?}");
    assert!(stage.did("held against b: stalled"));
    let events = stage.events();
    let stalled = events.iter().position(|what| matches!(what, What::Stalled { .. })).unwrap();
    let won = events.iter().position(|what| *what == What::HedgeWon).unwrap();
    assert!(stalled < won);
    // A second one is the next attempt's beside both.
    let stage = Stage::new(&["b", "c"], |script| {
        script.ranked = vec!["b", "c", "a"];
        for name in ["b", "c"] {
            peer(script, name).work = Reply::never().into();
            peer(script, name).progress = still().into();
        }
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "a's");
    assert!(stage.did("held against b: stalled") && stage.did("held against c: stalled"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_moves_again_may_be_first() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.run = Reply::after(20 * SECOND, Ok(())).into();
        peer(script, "b").work = Reply::after(10 * SECOND, Ok(())).into();
        peer(script, "b").progress = still().into();
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("b's", 10_060 * MS));
    assert!(stage.did("run in its place"), "it was begun here, too");
    stage.settle().await;
    assert_eq!(stage.journeys_under_way(), (0, 0), "and was ended");
    assert!(!stage.told(|what| *what == What::HedgeWon));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gets_on_is_waited_for_half_of_the_time() {
    let gets_on = |moved| Reply::at_once(Ok(Some(Progress { moved, waits: false, part: None })));
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").work = Reply::never().into();
        let moves: std::collections::VecDeque<_> = (0..60).map(gets_on).collect();
        peer(script, "b").progress = stage::Replies::of(moves);
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!((20 * SECOND..22 * SECOND).contains(&took), "{took:?}");
    assert!(stage.told(|what| matches!(what, What::Slow { .. })) && !stage.did("held against b: stalled"));
    assert!(stage.did("held against b: reneged"), "what it had for 20 s took this node one");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_sooner_done_than_this_node_would_be_is_waited_for_beyond_that() {
    let gets_on = |permille: u16| {
        let part = Part { permille: Some(permille), frames: 0, encoded_ms: 0 };
        Reply::at_once(Ok(Some(Progress { moved: permille.into(), waits: false, part: Some(part) })))
    };
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.estimate.service = Some(12 * SECOND);
        peer(script, "b").work = Reply::after(20_600 * MS, Ok(())).into();
        let moves: std::collections::VecDeque<_> = (0..=18).map(|look| gets_on(look * 55)).collect();
        peer(script, "b").progress = stage::Replies::of(moves);
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "b's", "{took:?}");
    assert!(!stage.told(|what| matches!(what, What::Slow { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_did_not_get_on_has_a_last_chance() {
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
        peer(script, "b").work = Reply::after(15 * SECOND, Ok(())).into();
        peer(script, "b").progress = still().into();
    });
    let (answer, took) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!((answer.unwrap().object.as_str(), took), ("b's", 15_060 * MS));
    // And no longer than the deadline.
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
        peer(script, "b").work = Reply::never().into();
        peer(script, "b").progress = still().into();
    });
    let (answer, took) = stage.answer(stage.job("a", 12 * SECOND)).await;
    assert_eq!((answer.unwrap_err(), took), (WorkError::TooLate, 12 * SECOND));
    // Where it comes to nothing there, the answer is what it is without it.
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
        peer(script, "b").work = Reply::after(9 * SECOND, Err(gone())).into();
        peer(script, "b").progress = still().into();
    });
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap_err(), WorkError::DiskFull);
    assert!(stage.told(|what| matches!(what, What::StragglerFailed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_place_that_stalls_at_a_peer_gets_the_next_place() {
    let stage = Stage::new(&["b", "c"], |script| {
        script.places = 0;
        peer(script, "b").work = Reply::never().into();
        peer(script, "b").progress = still().into();
        peer(script, "c").offer = Reply::at_once(Err(refused(None))).into();
    });
    let job = stage.job("a", 40 * SECOND);
    let frees = async {
        tokio::time::sleep(3 * SECOND).await;
        stage.script().places = 1;
    };
    let ((answer, took), ()) = tokio::join!(stage.answer(job), frees);
    assert_eq!(answer.unwrap().object, "a's");
    assert!(took < 9 * SECOND, "{took:?}");
    assert!(stage.did("offer c unseen at any rate") && stage.told(|what| *what == What::HedgeWon));
    // Without one the peer has its last chance.
    let stage = Stage::new(&["b"], |script| {
        script.places = 0;
        peer(script, "b").work = Reply::after(12 * SECOND, Ok(())).into();
        peer(script, "b").progress = still().into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
}

#[tokio::test(start_paused = true)]
async fn where_another_nodes_work_stalls_it_is_done_here_too_and_the_first_counts() {
    let script = |run: Reply<_>| {
        move |script: &mut Script| {
            script.run = run.into();
            peer(script, "b").home = busy("c").into();
            peer(script, "c").progress = still().into();
        }
    };
    // This node is first.
    let stage = Stage::new(&["b", "c"], script(Reply::after(SECOND, Ok(()))));
    let (answer, took) = stage.answer(stage.job("b", 60 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!((7 * SECOND..12 * SECOND).contains(&took), "{took:?}");
    assert!(stage.told(|what| matches!(what, What::HedgedHere { .. })));
    stage.settle().await;
    assert!(stage.did("end at b: a"));
    // The other is first.
    let stage = Stage::new(&["b", "c"], script(Reply::after(30 * SECOND, Ok(()))));
    let job = stage.job("b", 60 * SECOND);
    let ends = async {
        tokio::time::sleep(15 * SECOND).await;
        peer(&mut stage.script(), "b").home = held("c").into();
        peer(&mut stage.script(), "c").fetch = Reply::at_once(Ok(Some(()))).into();
    };
    let ((answer, took), ()) = tokio::join!(stage.answer(job), ends);
    assert_eq!(answer.unwrap().object, "held by c");
    assert!((15 * SECOND..18 * SECOND).contains(&took), "{took:?}");
    stage.settle().await;
    assert_eq!(stage.journeys_under_way(), (0, 0), "the work here was ended");
}

#[tokio::test(start_paused = true)]
async fn where_it_fails_here_the_other_is_waited_for() {
    let stage = Stage::new(&["b", "c"], |script| {
        script.run = Reply::at_once(Err(WorkError::DiskFull)).into();
        script.ranked = vec!["a"];
        peer(script, "b").home = busy("c").into();
        peer(script, "c").progress = still().into();
    });
    let job = stage.job("b", 60 * SECOND);
    let ends = async {
        tokio::time::sleep(20 * SECOND).await;
        peer(&mut stage.script(), "b").home = held("c").into();
        peer(&mut stage.script(), "c").fetch = Reply::at_once(Ok(Some(()))).into();
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(job), ends);
    assert_eq!(answer.unwrap().object, "held by c");
    assert!(stage.told(|what| matches!(what, What::HedgeFailed { error: WorkError::DiskFull })));
    // A verdict is one, whatever the other does.
    let stage = Stage::new(&["b", "c"], |script| {
        script.probe = Reply::at_once(Err(WorkError::unusable("no video"))).into();
        peer(script, "b").home = busy("c").into();
        peer(script, "c").progress = still().into();
    });
    let (answer, _) = stage.answer(stage.job("b", 60 * SECOND)).await;
    assert_eq!(answer.unwrap_err(), WorkError::unusable("no video"));
}

#[tokio::test(start_paused = true)]
async fn where_the_other_gives_up_and_this_node_has_failed_it_is_tried_once_more() {
    let stage = Stage::new(&["b", "c"], |script| {
        script.run = [Reply::at_once(Err(WorkError::DiskFull)), Reply::at_once(Ok(()))].into();
        script.ranked = vec!["a"];
        peer(script, "b").home = busy("c").into();
        peer(script, "c").progress = still().into();
    });
    let job = stage.job("b", 60 * SECOND);
    let ends = async {
        tokio::time::sleep(20 * SECOND).await;
        peer(&mut stage.script(), "b").home = Reply::at_once(Ok(Verdict::Yours)).into();
    };
    let ((answer, _), ()) = tokio::join!(stage.answer(job), ends);
    assert_eq!(answer.unwrap().object, "a's");
    assert_eq!((stage.count("probe"), stage.count("run in its place")), (1, 2), "looked at once");
    assert_eq!(stage.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_another_nodes_work_stalls_and_there_is_no_place_peers_are_asked() {
    let stage = Stage::new(&["b", "c", "d"], |script| {
        script.places = 0;
        script.ranked = vec!["a", "d"];
        peer(script, "b").home = busy("c").into();
        peer(script, "c").progress = still().into();
    });
    assert_eq!(stage.answer(stage.job("b", 60 * SECOND)).await.0.unwrap().object, "d's");
    assert!(stage.told(|what| matches!(what, What::NotWaitedFor { .. })));
}

#[tokio::test(start_paused = true)]
async fn work_that_moves_is_waited_for_half_of_the_time_and_then_done_here_too() {
    let gets_on = |moved| Reply::at_once(Ok(Some(Progress { moved, waits: false, part: None })));
    let stage = Stage::new(&["b", "c"], |script| {
        peer(script, "b").home = busy("c").into();
        peer(script, "c").progress = stage::Replies::of((0..100).map(gets_on).collect());
    });
    let (answer, took) = stage.answer(stage.job("b", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!((20 * SECOND..24 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_no_member_any_more_is_not_waited_for() {
    let stage = Stage::new(&["b"], |script| {
        peer(script, "b").home = busy("z").into();
    });
    let (answer, took) = stage.answer(stage.job("b", 60 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "a's");
    assert!(took < 12 * SECOND, "{took:?}");
}
