use std::time::Duration;

use http_body_util::Full;

use super::*;
use crate::api::Priority;
use crate::content::ContentId;
use crate::store::{DataDir, Limits};

const CLIENT: ClientTag = ClientTag(1);
const SECOND: Duration = Duration::from_secs(1);

async fn open(folder: &std::path::Path) -> Jobs {
    let data = DataDir::open(folder).unwrap();
    let store = Store::open(data, 1 << 30, "8.1", Events::default()).unwrap();
    let jobs = Jobs::new("node1".parse().unwrap(), store, Events::default(), Duration::ZERO);
    jobs.resume(|_, _| None).await.unwrap();
    jobs
}

/// A video of these bytes, and what is asked of it.
async fn upload(jobs: &Jobs, text: &str) -> (Ask, Upload) {
    // What an AVI begins with.
    let bytes = format!("RIFF\x10\0\0\0AVI LIST{text:>64}");
    let upload = jobs.store.receive(Full::from(bytes), &Limits::default()).await.unwrap();
    let ask = Ask {
        content: upload.content,
        bytes: upload.bytes,
        filename: None,
        profiles: vec!["360p".parse().unwrap()],
        strict: false,
        priority: Priority::Interactive,
        allowed_ms: 1_000,
        idempotency_key: None,
        trace: None,
        webhook: None,
    };
    (ask, upload)
}

async fn accept(jobs: &Jobs, text: &str) -> JobNumber {
    let (ask, upload) = upload(jobs, text).await;
    let accepted = jobs.accept(CLIENT, ask, upload).await.unwrap();
    assert!(accepted.new);
    accepted.record.number
}

fn failed() -> Stage {
    Stage::Failed { at_ms: now_ms(), why: Failure::Lost { what: "x".into() } }
}

fn files(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join("jobs")).unwrap().count()
}

#[tokio::test]
async fn a_job_is_there_with_its_video_after_the_node_ended_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let (waits, runs) = (accept(&jobs, "b").await, accept(&jobs, "a").await);
    let begun = [jobs.next(2).await.unwrap(), jobs.next(2).await.unwrap()];
    assert!(jobs.next(2).await.is_none(), "two run");
    jobs.put_off(waits, SECOND).await;
    let begun = begun.iter().find(|begun| begun.record.number == runs).unwrap().record.clone();
    drop(jobs);
    let jobs = open(folder.path()).await;
    let found = jobs.find(runs).await.unwrap().unwrap();
    assert_eq!((found.interrupted, found.stage), (1, Stage::Queued));
    let other = jobs.find(waits).await.unwrap().unwrap();
    assert_eq!((other.interrupted, other.stage), (0, Stage::Queued), "it was not at work");
    for _ in 0..2 {
        let begun = jobs.next(2).await.unwrap().record;
        let video = jobs.store.kept_input(begun.number, begun.ask.content, None).await.unwrap();
        assert_eq!(ContentId::of(&std::fs::read(&video).unwrap()), begun.ask.content);
    }
    assert_eq!(begun.begun, 1);
}

#[tokio::test]
async fn a_job_that_ends_its_node_each_time_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open(folder.path()).await;
    let number = accept(&jobs, "a").await;
    for time in 1..=INTERRUPTED_MAX {
        jobs.next(1).await.unwrap();
        drop(jobs);
        jobs = open(folder.path()).await;
        assert_eq!(jobs.find(number).await.unwrap().unwrap().interrupted, time);
    }
    let stage = jobs.find(number).await.unwrap().unwrap().stage;
    assert!(matches!(stage, Stage::Failed { why: Failure::Interrupted { times: 3 }, .. }), "{stage:?}");
    assert!(jobs.next(1).await.is_none());
    // A node that leaves in peace is not held against its job.
    let number = accept(&jobs, "b").await;
    jobs.next(1).await.unwrap();
    jobs.leave().await;
    drop(jobs);
    jobs = open(folder.path()).await;
    assert_eq!(jobs.find(number).await.unwrap().unwrap().interrupted, 0);
}

#[tokio::test]
async fn a_job_ends_once_and_leaves_no_video() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let number = accept(&jobs, "a").await;
    let begun = jobs.next(1).await.unwrap();
    assert_eq!(files(folder.path()), 2, "the journal and the video");
    let cancelled = jobs.cancel(number).await.unwrap().unwrap();
    assert!(matches!(cancelled.stage, Stage::Cancelled { .. }));
    assert!(begun.cancel.is_cancelled(), "the work ends");
    assert!(!jobs.finish(number, failed()).await, "it has come to another end");
    jobs.rests();
    assert_eq!((jobs.unfinished(), files(folder.path())), ((0, 0), 1));
    // Not wanted once more, it is forgotten.
    jobs.cancel(number).await.unwrap().unwrap();
    assert_eq!(jobs.find(number).await.unwrap(), None);
    assert_eq!(jobs.cancel(number).await.unwrap(), None);
}

#[tokio::test]
async fn the_same_is_accepted_once_and_what_failed_again() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let number = accept(&jobs, "a").await;
    let (ask, again) = upload(&jobs, "a").await;
    let accepted = jobs.accept(CLIENT, ask, again).await.unwrap();
    assert_eq!((accepted.record.number, accepted.new), (number, false));
    assert_eq!(files(folder.path()), 2, "its video is kept once");
    jobs.next(1).await.unwrap();
    assert!(jobs.finish(number, failed()).await);
    let second = accept(&jobs, "a").await;
    // Old ones are forgotten; what has not come to its end is not.
    jobs.sweep().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    jobs.sweep().await.unwrap();
    assert_eq!(jobs.find(number).await.unwrap(), None);
    assert!(jobs.find(second).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_not_accepted_to_the_end_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let (_, video) = upload(&jobs, "a").await;
    jobs.store.keep_input(JobNumber::of_now(), &video).await.unwrap();
    let number = accept(&jobs, "b").await;
    assert_eq!(files(folder.path()), 3);
    drop(video);
    drop(jobs);
    let jobs = open(folder.path()).await;
    assert_eq!(files(folder.path()), 2);
    assert!(jobs.find(number).await.unwrap().is_some());
}
