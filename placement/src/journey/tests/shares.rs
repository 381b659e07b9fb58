use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::journey::work_here;

#[tokio::test(start_paused = true)]
async fn what_is_here_is_answered_at_once() {
    let stage = Stage::new(&[], |_| {});
    let job = stage.job("a", 40 * SECOND);
    stage.put(&job.key, "kept");
    let (answer, took) = stage.answer(job).await;
    let served = answer.unwrap();
    assert_eq!((served.object.as_str(), served.cache, took), ("kept", CacheState::Hit, Duration::ZERO));
    assert_eq!(stage.done(), [""; 0], "no step was taken");
}

#[tokio::test(start_paused = true)]
async fn equal_requests_share_one_piece_of_work() {
    let stage = Stage::new(&[], |_| {});
    let job = || stage.job("a", 40 * SECOND);
    let (first, second) = tokio::join!(stage.answer(job()), stage.answer(job()));
    assert_eq!(first.0.unwrap().cache, CacheState::Miss);
    assert_eq!(second.0.unwrap().cache, CacheState::Joined);
    assert_eq!(stage.count("run in its place"), 1);
    assert!(stage.told(|what| *what == What::Joined));
    assert_eq!((stage.taken(), stage.journeys_under_way()), (0, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_with_more_time_does_not_take_another_ones_refusal() {
    let stage = Stage::new(&[], |script| {
        script.places = 0;
        script.book = Some(3 * SECOND);
    });
    let short = stage.job("a", 2 * SECOND);
    let long = stage.job("a", 40 * SECOND);
    let equal = stage.job("a", 2 * SECOND);
    let answers = tokio::join!(stage.answer(short), stage.answer(long), stage.answer(equal));
    for answer in [answers.0.0, answers.1.0, answers.2.0] {
        assert_eq!(answer.unwrap_err(), saturated(3 * SECOND));
    }
    assert_eq!(stage.count("book None"), 2, "the one with as little time took the first one's");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_shared_work_as_long_as_its_own_deadline() {
    let stage = Stage::new(&[], |script| script.run = Reply::after(30 * SECOND, Ok(())).into());
    let (long, short) = (stage.job("a", 40 * SECOND), stage.job("a", 2 * SECOND));
    let (long, short) = tokio::join!(stage.answer(long), stage.answer(short));
    assert_eq!((short.0.unwrap_err(), short.1), (WorkError::TooLate, 2 * SECOND));
    assert!(long.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn work_ends_with_the_last_request_that_waits_for_it() {
    let stage = Stage::new(&["b"], |script| script.run = Reply::never().into());
    let (first, second) = (stage.job("b", 40 * SECOND), stage.job("b", 40 * SECOND));
    let both = {
        let (one, other) = (Arc::clone(&stage), Arc::clone(&stage));
        (
            tokio::spawn(async move { one.answer(first).await }),
            tokio::spawn(async move { other.answer(second).await }),
        )
    };
    tokio::time::sleep(3 * SECOND).await;
    both.0.abort();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(stage.journeys_under_way(), (1, 1), "one of them waits yet");
    both.1.abort();
    stage.settle().await;
    assert_eq!(stage.journeys_under_way(), (0, 0));
    assert!(stage.did("end at b: "), "and its home hears of it: {:?}", stage.done());
}

#[tokio::test(start_paused = true)]
async fn a_peers_job_joins_the_work_here_and_gives_its_place_back() {
    let stage = Stage::new(&[], |script| script.places = 2);
    let (own, peers) = (stage.job("a", 40 * SECOND), stage.job("a", 40 * SECOND));
    let place = stage.place();
    let own = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.answer(own).await }
    });
    tokio::time::sleep(200 * MS).await;
    let theirs = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { work_here(&stage, &peers, Some(place)).await }
    });
    tokio::time::sleep(200 * MS).await;
    assert_eq!(stage.taken(), 0, "a job that joins needs no place");
    assert_eq!(own.await.unwrap().0.unwrap().cache, CacheState::Miss);
    assert_eq!(theirs.await.unwrap().unwrap().cache, CacheState::Joined);
    assert_eq!(stage.count("run in its place"), 1);
}

#[tokio::test(start_paused = true)]
async fn work_for_a_peer_never_waits_for_an_answer() {
    // `b` was given the job and gives it back: it is done here, though an answer to the same is under way.
    let stage = Stage::new(&["b"], |script| {
        script.ranked = vec!["b", "a"];
        peer(script, "b").work = Reply::never().into();
    });
    let own = tokio::spawn({
        let (stage, job) = (Arc::clone(&stage), stage.job("a", 40 * SECOND));
        async move { stage.answer(job).await }
    });
    tokio::time::sleep(500 * MS).await;
    assert!(stage.did("send b"));
    let job = stage.job("a", 40 * SECOND);
    let served = work_here(&stage, &job, None).await.unwrap();
    assert_eq!((served.object.as_str(), served.cache), ("a's", CacheState::Miss));
    own.abort();
}
