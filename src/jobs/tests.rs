use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http_body_util::Full;

use super::*;
use crate::content::ContentId;
use crate::store::{Budget, DataDir, Limits, PerClient, Upload};

const CLIENT: ClientTag = ClientTag(1);
const SECOND: Duration = Duration::from_secs(1);

async fn open(folder: &std::path::Path) -> Arc<Jobs> {
    let data = DataDir::open(folder).unwrap();
    let store = Store::open(data, 1 << 30, "8.1", Events::default()).unwrap();
    let jobs = Jobs::new("node1".parse().unwrap(), store, Events::default(), Duration::ZERO);
    jobs.resume(|_, _| None).await.unwrap();
    Arc::new(jobs)
}

/// A video of these bytes, and what is asked of it.
async fn upload(jobs: &Jobs, text: &str) -> (Ask, Upload) {
    // What an AVI begins with.
    let bytes = format!("RIFF\x10\0\0\0AVI LIST{text:>64}");
    let upload = jobs.store.receive(Full::from(bytes), &Limits::default()).await.unwrap();
    let ask = testing::wish().of(&upload);
    (ask, upload)
}

async fn accept(jobs: &Arc<Jobs>, text: &str) -> JobNumber {
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
async fn a_job_ends_once_and_its_video_stays_for_another_try_alone() {
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
    assert_eq!((jobs.unfinished(), files(folder.path())), ((0, 0), 2), "it may be done again");
    // Not wanted once more, it is forgotten, with its video.
    jobs.cancel(number).await.unwrap().unwrap();
    assert_eq!(jobs.find(number).await.unwrap(), None);
    assert_eq!(jobs.cancel(number).await.unwrap(), None);
    assert_eq!(files(folder.path()), 1);
    // What is done leaves none.
    let number = accept(&jobs, "b").await;
    jobs.next(1).await.unwrap();
    assert!(jobs.finish(number, Stage::Done { at_ms: now_ms(), outputs: Vec::new() }).await);
    assert_eq!(files(folder.path()), 1);
}

/// Asks for a job to be done again.
async fn retry(jobs: &Arc<Jobs>, number: JobNumber) -> Result<Accepted, JobError> {
    let of = jobs.find(number).await.unwrap().unwrap();
    let budget = Budget::new(1 << 20, PerClient::AsMuchAsIsLeft);
    let room = budget.share_of(of.client).room(of.ask.bytes).unwrap();
    jobs.retry(&of, Jobs::asked_again(&of, Some(SECOND * 2), None), room).await
}

#[tokio::test]
async fn what_failed_or_was_cancelled_is_done_again_once_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open(folder.path()).await;
    let (mut ask, video) = upload(&jobs, "a").await;
    ask.wish.idempotency_key = Some("k".into());
    let number = jobs.accept(CLIENT, ask.clone(), video).await.unwrap().record.number;
    jobs.cancel(number).await.unwrap();
    drop(jobs);
    jobs = open(folder.path()).await;
    let again = retry(&jobs, number).await.unwrap();
    let old = jobs.find(number).await.unwrap().unwrap();
    assert_eq!((again.new, &again.record.retry_of), (true, &Some(old.id())));
    assert_eq!((again.record.ask.wish.allowed_ms, again.record.client), (2_000, CLIENT));
    assert_eq!(again.record.ask.wish.idempotency_key, None, "the name is the first request's");
    // Said again, it is the same job.
    let same = retry(&jobs, number).await.unwrap();
    assert_eq!((same.new, same.record.number), (false, again.record.number));
    assert_eq!(jobs.unfinished().0, 1);
    // It has a video of its own, whatever becomes of the old one, and it has it after a crash.
    jobs.cancel(number).await.unwrap();
    drop(jobs);
    jobs = open(folder.path()).await;
    assert_eq!(jobs.find(number).await.unwrap(), None);
    let begun = jobs.next(1).await.unwrap().record;
    assert_eq!((begun.number, &begun.retry_of), (again.record.number, &again.record.retry_of));
    let kept = jobs.store.kept_input(begun.number, begun.ask.content, None).await.unwrap();
    assert_eq!(ContentId::of(&std::fs::read(&kept).unwrap()), begun.ask.content);
    // A failed one, too; and one whose video is gone is not.
    assert!(jobs.finish(begun.number, failed()).await);
    jobs.rests();
    let third = retry(&jobs, begun.number).await.unwrap().record.number;
    jobs.cancel(third).await.unwrap();
    jobs.store.drop_input(third).await.unwrap();
    assert!(matches!(retry(&jobs, third).await, Err(JobError::VideoGone)));
    assert_eq!(jobs.unfinished(), (0, 0));
}

#[tokio::test]
async fn a_start_deletes_the_videos_that_no_try_needs() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let (done, old, lately) = (accept(&jobs, "a").await, accept(&jobs, "b").await, accept(&jobs, "c").await);
    for _ in 0..3 {
        jobs.next(3).await.unwrap();
    }
    // As if the node had ended between the journal's word and the deletion.
    let ends = [
        (done, Stage::Done { at_ms: now_ms(), outputs: Vec::new() }),
        (old, Stage::Cancelled { at_ms: now_ms() - RETRY_KEPT.as_millis() as u64 }),
        (lately, Stage::Cancelled { at_ms: now_ms() }),
    ];
    for (number, stage) in ends {
        let record = jobs.begin_to_end(number, stage).unwrap();
        jobs.write(&record).await.unwrap();
    }
    drop(jobs);
    assert_eq!(files(folder.path()), 4);
    let jobs = open(folder.path()).await;
    let left = jobs.store.kept_inputs().await.unwrap();
    assert_eq!((left, jobs.unfinished()), (vec![lately], (0, 0)));
}

#[tokio::test]
async fn a_retry_counts_as_any_job_of_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let number = accept(&jobs, "a").await;
    jobs.cancel(number).await.unwrap();
    jobs.board.lock().by_client.insert(CLIENT, UNFINISHED_PER_CLIENT_MAX);
    assert!(matches!(retry(&jobs, number).await, Err(JobError::TooManyOfClient { .. })));
    jobs.board.lock().by_client.clear();
    assert!(retry(&jobs, number).await.unwrap().new);
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

/// Lets work go on for so many steps, and drops it, as a request is whose client is gone.
async fn dropped_after(steps: usize, work: impl Future) -> bool {
    let mut work = pin!(work);
    for _ in 0..steps {
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_accepted_or_cancelled_to_the_end_even_if_the_client_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    for steps in 1.. {
        let text = steps.to_string();
        let (ask, video) = upload(&jobs, &text).await;
        let waited = dropped_after(steps, jobs.accept(CLIENT, ask, video)).await;
        let (ask, again) = upload(&jobs, &text).await;
        for _ in 0..500 {
            if jobs.before(CLIENT, &ask).await.unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Said again, it is that job, and it is in line.
        let accepted = jobs.accept(CLIENT, ask, again).await.unwrap();
        assert!(!accepted.new, "after {steps} steps");
        let number = accepted.record.number;
        assert!(jobs.board.lock().unfinished.contains_key(&number), "after {steps} steps");
        dropped_after(steps, jobs.cancel(number)).await;
        while !jobs.find(number).await.unwrap().unwrap().stage.state().is_over() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(!jobs.board.lock().unfinished.contains_key(&number), "after {steps} steps");
        if waited {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_bring_the_same_at_once_one_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    let mut at_once = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let jobs = Arc::clone(&jobs);
        at_once.spawn(async move {
            let (ask, video) = upload(&jobs, "a").await;
            let accepted = jobs.accept(CLIENT, ask, video).await.unwrap();
            assert!(jobs.board.lock().unfinished.contains_key(&accepted.record.number), "it is safe by now");
            (accepted.record.number, accepted.new)
        });
    }
    let all = at_once.join_all().await;
    assert_eq!(all.iter().filter(|(_, new)| *new).count(), 1);
    assert!(all.iter().all(|(number, _)| *number == all[0].0));
    assert_eq!((jobs.unfinished().0, files(folder.path())), (1, 2));
}

#[tokio::test]
async fn a_job_whose_video_was_not_safe_when_the_power_went_is_never_made_of_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open(folder.path()).await;
    let numbers = [accept(&jobs, "a").await, accept(&jobs, "b").await, accept(&jobs, "c").await];
    drop(jobs);
    // As a crash may leave them: one whole, one torn, one without its name.
    let input = |number: JobNumber| folder.path().join("jobs").join(format!("{number}.input"));
    let torn = std::fs::read(input(numbers[1])).unwrap();
    std::fs::remove_file(input(numbers[1])).unwrap();
    std::fs::write(input(numbers[1]), [&torn[..60], &[0; 20]].concat()).unwrap();
    std::fs::remove_file(input(numbers[2])).unwrap();
    jobs = open(folder.path()).await;
    for (at, number) in numbers.into_iter().enumerate() {
        let record = jobs.find(number).await.unwrap().unwrap();
        match jobs.video(&record).await {
            Ok(video) => {
                assert_eq!((at, ContentId::of(&std::fs::read(&video.file).unwrap())), (0, video.content));
            }
            Err(Failure::Lost { what }) => assert!(at > 0 && what.ends_with("send it again"), "{what}"),
            Err(why) => panic!("{why}"),
        }
    }
    // Sent again, it is what was sent.
    for (text, number) in ["b", "c"].into_iter().zip(&numbers[1..]) {
        let (ask, video) = upload(&jobs, text).await;
        let accepted = jobs.accept(CLIENT, ask, video).await.unwrap();
        assert_eq!((accepted.record.number, accepted.new), (*number, false));
        let video = jobs.video(&accepted.record).await.unwrap();
        assert_eq!(ContentId::of(&std::fs::read(&video.file).unwrap()), video.content);
    }
}

#[tokio::test]
async fn a_job_whose_video_can_not_be_kept_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path()).await;
    accept(&jobs, "a").await;
    let (ask, video) = upload(&jobs, "b").await;
    std::fs::remove_file(&video.file).unwrap();
    assert!(matches!(jobs.accept(CLIENT, ask, video).await, Err(JobError::Io(_))));
    assert_eq!((jobs.unfinished().0, files(folder.path()), jobs.journal.count().unwrap()), (1, 2, 1));
    assert!(accept(&jobs, "b").await > JobNumber(0), "it may be sent again");
}
