//! A node that leaves gives what it had taken to its peers.

use super::*;

/// `a` takes a job and begins to leave: its queue is answered so.
fn leaves(script: &mut Script) {
    script.run = Reply::after(500 * MS, Err(WorkError::Draining)).into();
    script.draining = true;
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_to_the_peer_that_is_likely_to_begin_soonest() {
    let stage = Stage::new(&["b", "c"], leaves);
    stage.gossip("b", |member| member.load = Some(load(2)));
    stage.gossip("c", |member| member.load = Some(load(0)));
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap().object, "c's");
    assert!(stage.did("offer c at any rate"), "there is no place here any more: {:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn all_are_asked_until_one_takes_it() {
    let stage = Stage::new(&["b", "c", "d"], |script| {
        leaves(script);
        peer(script, "b").offer = Reply::at_once(Err(refused(None))).into();
        peer(script, "c").offer = Reply::at_once(Err(gone())).into();
    });
    // Also what is full by its own word.
    stage.gossip("d", |member| member.load = Some(load(9)));
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "d's");
}

#[tokio::test(start_paused = true)]
async fn where_no_peer_takes_it_the_client_is_told_to_ask_another_node() {
    let stage = Stage::new(&["b"], |script| {
        leaves(script);
        peer(script, "b").offer = Reply::at_once(Err(refused(Some(SECOND)))).into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), WorkError::Draining);
    assert!(!stage.did("book Some(1000)"), "no place is promised");
    let alone = Stage::new(&[], leaves);
    assert_eq!(alone.answer(alone.job("a", 40 * SECOND)).await.0.unwrap_err(), WorkError::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_booked_job_is_handed_on_too_and_so_is_one_that_peers_refused_before() {
    let stage = Stage::new(&["b"], |script| {
        leaves(script);
        script.booked = true;
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
    let stage = Stage::new(&["b"], |script| {
        leaves(script);
        script.ranked = vec!["b", "a"];
        peer(script, "b").offer = [Reply::at_once(Err(refused(None))), Reply::at_once(Ok(()))].into();
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap().object, "b's");
    assert!(stage.did("offer b") && stage.did("offer b at any rate"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_trusted_gets_no_job_even_then() {
    let stage = Stage::new(&["b"], |script| {
        leaves(script);
        script.distrusted.push("b");
    });
    assert_eq!(stage.answer(stage.job("a", 40 * SECOND)).await.0.unwrap_err(), WorkError::Draining);
    assert!(!stage.done().iter().any(|what| what.starts_with("offer")), "{:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn many_jobs_are_spread_over_the_peers() {
    let stage = Stage::new(&["b", "c"], |script| {
        leaves(script);
        script.places = 10;
        script.run = Reply::after(500 * MS, Err(WorkError::Draining)).into();
        for name in ["b", "c"] {
            peer(script, name).work = Reply::after(5 * SECOND, Ok(())).into();
        }
    });
    let jobs = (0..6).map(|number: u8| {
        let mut job = stage.job("a", 40 * SECOND);
        job.key.recipe = crate::content::ContentId::of(&[number]);
        stage.answer(job)
    });
    let answers = futures_util::future::join_all(jobs).await;
    assert!(answers.iter().all(|(answer, _)| answer.is_ok()));
    assert_eq!((stage.count("send b"), stage.count("send c")), (3, 3), "{:?}", stage.done());
}
