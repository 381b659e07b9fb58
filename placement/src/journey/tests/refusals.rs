use std::time::Duration;

use super::*;
use crate::content::ClientTag;
use crate::desk::Estimate;
use crate::journey::{TimeBudget, clock, refuse_unread};

async fn unread(stage: &Stage, home: &str) -> Option<WorkError> {
    let budget = TimeBudget::new(clock::now(), 10 * SECOND);
    refuse_unread(stage, ClientTag(7), &stage.key(home), &budget).await
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_longer_than_is_allowed_is_told_so_and_not_to_come_back() {
    let long = |sure| {
        Stage::new(&[], move |script| {
            script.run = Reply::at_once(Err(saturated(SECOND))).into();
            script.estimate = Estimate { wait: Duration::ZERO, service: Some(60 * SECOND), sure };
            script.book = Some(3 * SECOND);
        })
    };
    let stage = long(true);
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    // The look took 50 ms of what the request had.
    assert_eq!(answer.unwrap_err(), WorkError::TooShort { needs: 60_050 * MS });
    let stage = long(false);
    let (answer, _) = stage.answer(stage.job("a", 40 * SECOND)).await;
    assert_eq!(answer.unwrap_err(), saturated(3 * SECOND), "in doubt it may come again");
}

#[tokio::test(start_paused = true)]
async fn a_body_need_not_come_where_no_node_has_time_for_it() {
    let full = || Stage::new(&["b"], |script| script.places = 0);
    let stage = full();
    assert_eq!(unread(&stage, "b").await, None, "the peer may have time");
    stage.gossip("b", |member| member.load = Some(load(9)));
    assert_eq!(unread(&stage, "b").await, Some(saturated(5 * SECOND)));
    assert!(stage.did("ask b without a lease"), "{:?}", stage.done());
    // A peer that is not asked anyway does not count, and neither does one that is gone.
    let stage = full();
    stage.script().distrusted.push("b");
    assert_eq!(unread(&stage, "a").await, Some(saturated(5 * SECOND)));
    let stage = full();
    stage.gossip("b", |member| member.state = starling_overlay::MemberState::Dead);
    assert_eq!(unread(&stage, "a").await, Some(saturated(5 * SECOND)));
    stage.script().draining = true;
    assert_eq!(unread(&stage, "a").await, Some(WorkError::Draining));
}

#[tokio::test(start_paused = true)]
async fn a_body_has_to_come_where_its_result_may_be_had_all_the_same() {
    let full = |home: Verdict| {
        let stage = Stage::new(&["b"], |script| {
            script.places = 0;
            peer(script, "b").home = Reply::at_once(Ok(home)).into();
        });
        stage.gossip("b", |member| member.load = Some(load(9)));
        stage
    };
    let by = || "b".parse().unwrap();
    assert_eq!(unread(&full(Verdict::Busy { by: by() }), "b").await, None);
    assert_eq!(unread(&full(Verdict::Held { holders: vec![by()] }), "b").await, None);
    let stage = full(Verdict::Yours);
    stage.script().places = 1;
    assert_eq!(unread(&stage, "b").await, None, "there is a place");
    stage.script().places = 0;
    let lack = WorkError::Unavailable { profile: "av1".parse().unwrap(), lack: "no encoder".into() };
    stage.script().can_make = Err(lack);
    assert_eq!(unread(&stage, "b").await, None, "a node that can make it has to be asked");
}

#[tokio::test(start_paused = true)]
async fn a_home_that_says_nothing_keeps_no_refusal_back_for_long() {
    let stage = Stage::new(&["b"], |script| {
        script.places = 0;
        peer(script, "b").home = Reply::never().into();
    });
    stage.gossip("b", |member| member.load = Some(load(9)));
    assert_eq!(unread(&stage, "b").await, Some(saturated(5 * SECOND)));
    assert_eq!(stage.elapsed(), 800 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_body_has_to_come_while_work_on_it_is_under_way() {
    let stage = Stage::new(&[], |script| script.run = Reply::after(5 * SECOND, Ok(())).into());
    let job = stage.job("a", 40 * SECOND);
    let asks = async {
        tokio::time::sleep(SECOND).await;
        stage.script().places = 0;
        unread(&stage, "a").await
    };
    let ((answer, _), refusal) = tokio::join!(stage.answer(job), asks);
    assert!(answer.is_ok());
    assert_eq!(refusal, None);
}
