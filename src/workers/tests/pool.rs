use starling_placement::desk::Asked;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A pool whose ffmpeg runs until it is killed.
fn stuck(workers: usize, queue: usize) -> (Rig, tempfile::TempDir) {
    let scripts = tempfile::tempdir().unwrap();
    let ffmpeg = stub(&scripts, "while :; do sleep 1; done");
    (Rig::new(&Setup { ffmpeg: &ffmpeg, workers, queue, ..Setup::default() }), scripts)
}

#[tokio::test]
async fn the_queue_is_bounded_and_a_dropped_ticket_gives_its_place_back() {
    let (rig, _scripts) = stuck(1, 2);
    let running = rig.pool.submit(rig.job(SOON)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    let first = rig.pool.submit(rig.job(SOON)).unwrap();
    let second = rig.pool.submit(rig.job(SOON)).unwrap();
    let full = rig.pool.submit(rig.job(SOON)).err().unwrap();
    assert!(matches!(full, SubmitError::QueueFull { queued: 2, .. }), "{full}");
    drop(first);
    assert_eq!(rig.pool.stats().queued, 1);
    let third = rig.pool.submit(rig.job(SOON)).unwrap();
    drop(running);
    // The worker is free for the next one in the line.
    rig.until(|stats| stats.queued == 1 && stats.running == 1).await;
    drop((second, third));
    rig.until(|stats| stats.queued == 0 && stats.running == 0).await;
    assert_eq!(rig.pool.stats().cancelled_total, 4);
}

/// Somebody else.
const OTHER: ClientTag = ClientTag(2);

#[tokio::test]
async fn one_client_that_fills_the_queue_gives_way_to_another() {
    let (rig, _scripts) = stuck(1, 3);
    let of = |client| Job { client, ..rig.job(SOON) };
    let running = rig.pool.submit(of(CLIENT)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    let mut waiting: Vec<_> = (0..3).map(|_| rig.pool.submit(of(CLIENT)).unwrap()).collect();
    assert!(matches!(rig.pool.submit(of(CLIENT)).err(), Some(SubmitError::QueueFull { .. })));
    // The last one of the many makes room, and whoever waited for it may try elsewhere.
    let other = rig.pool.submit(of(OTHER)).unwrap();
    let last = waiting.pop().unwrap().wait().await.unwrap_err();
    assert!(matches!(last, TranscodeError::Overtaken { .. }), "{last}");
    assert_eq!(rig.pool.stats().queued, 3);
    // With two each nobody has more than the other.
    let more = rig.pool.submit(of(OTHER)).err();
    assert!(matches!(more, Some(SubmitError::QueueFull { .. })), "{more:?}");
    drop(running);
    // It is the other's turn, though it came last.
    rig.until(|stats| stats.running == 1 && stats.queued == 2).await;
    assert!(other.progress().borrow().running);
    assert!(waiting.iter().all(|ticket| !ticket.progress().borrow().running));
}

#[tokio::test]
async fn jobs_that_keep_all_workers_for_long_keep_no_other_client_waiting() {
    let (rig, _scripts) = stuck(2, 8);
    let of = |client| Job { client, ..rig.job(3 * SOON) };
    let _running: Vec<_> = (0..6).map(|_| rig.pool.submit(of(CLIENT)).unwrap()).collect();
    rig.until(|stats| stats.running == 2).await;
    let profile = of(OTHER).profile;
    let mine = rig.pool.backlog(CLIENT, None).jobs_per_worker_permille;
    assert_eq!(mine, 3_000);
    // They run for ever, and so would the wait.
    assert!(rig.pool.would_take(OTHER, &profile.name, ContentId::of(b"other"), Instant::now() + SOON));
    let first = rig.pool.submit(of(OTHER)).unwrap();
    let second = rig.pool.submit(of(OTHER)).unwrap();
    rig.until(|stats| stats.running == 3).await;
    assert!(first.progress().borrow().running);
    // One worker more, and no further one.
    assert!(!second.progress().borrow().running);
    drop(first);
    rig.until(|stats| stats.running == 3 && stats.queued == 4).await;
    assert!(second.progress().borrow().running);
}

/// The place that a peer's job gets.
fn offered(pool: &Pool, job: &Job) -> Reservation {
    let asked = Asked {
        client: CLIENT,
        content: job.content,
        profile: &job.profile.name,
        work_pixels: Some(pool.work_pixels(&job.profile, &job.info).unwrap()),
        deadline: job.deadline,
        backlog: None,
    };
    pool.consider(&asked).unwrap().0
}

#[tokio::test]
async fn a_held_place_counts_and_is_given_back() {
    let (rig, _scripts) = stuck(1, 1);
    let running = rig.pool.submit(rig.job(SOON)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    let job = rig.job(SOON);
    let place = offered(&rig.pool, &job);
    assert!(matches!(rig.pool.submit(rig.job(SOON)).err(), Some(SubmitError::QueueFull { .. })));
    let queued = place.submit(job).unwrap();
    assert_eq!(rig.pool.stats().queued, 1);
    drop(queued);
    let again = rig.job(SOON);
    drop(offered(&rig.pool, &again));
    rig.pool.submit(again).unwrap();
    drop(running);
}

#[tokio::test]
async fn a_promise_for_what_is_there_keeps_nobody_waiting() {
    let (rig, _scripts) = stuck(1, 1);
    let profile = rig.job(SOON).profile;
    let (promised, other) = (ContentId::of(b"promised"), ContentId::of(b"other"));
    let is_taken = || rig.pool.would_take(CLIENT, &profile.name, other, Instant::now() + 2 * SOON);
    assert!(is_taken());
    // With no time to wait for anybody.
    rig.pool.book(CLIENT, &profile.name, promised, None, Duration::from_secs(6)).unwrap();
    assert!(!is_taken());
    // Somebody else who brings the same is no harm to him.
    assert!(rig.pool.would_take(CLIENT, &profile.name, promised, Instant::now() + 2 * SOON));
    rig.pool.unbook(&profile, promised);
    assert!(is_taken());
}

#[tokio::test]
async fn who_waits_for_somebody_else_has_his_place_afterwards_and_no_one_waits_for_him() {
    let (rig, _scripts) = stuck(1, 1);
    let profile = rig.job(SOON).profile;
    let (promised, other) = (ContentId::of(b"promised"), ContentId::of(b"other"));
    let told = rig.pool.book(CLIENT, &profile.name, promised, None, Duration::from_secs(6)).unwrap();
    tokio::time::sleep(told).await;
    let is_taken =
        || rig.pool.would_take(CLIENT, &profile.name, other, Instant::now() + Duration::from_secs(6));
    assert!(!is_taken(), "he is awaited");
    rig.pool.hold_booking(&profile.name, promised);
    assert!(is_taken(), "he is here, and waits for somebody else");
    let place = rig
        .pool
        .reserve_unseen(CLIENT, &profile.name, promised, Instant::now() + Duration::from_secs(6))
        .unwrap();
    assert!(place.is_booked());
}

#[tokio::test]
async fn a_job_whose_deadline_passes_in_the_queue_is_never_started() {
    let (rig, _scripts) = stuck(1, 2);
    let running = rig.pool.submit(rig.job(SOON)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    // Long enough for the wait that is guessed, and the one before it never ends.
    let late = rig.pool.submit(rig.job(Duration::from_secs(2))).unwrap().wait().await.unwrap_err();
    assert!(matches!(late, TranscodeError::DeadlinePassed { running: false }), "{late}");
    drop(running);
    rig.until(|stats| stats.running == 0).await;
    assert_eq!(rig.pool.stats().transcodes_total, 1);
}

#[tokio::test]
async fn what_cannot_be_done_in_time_is_refused_at_once() {
    let rig = Rig::new(&Setup::default());
    let source = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=1 -c:v libx264 -preset ultrafast";
    let job = rig.clip_job("360p", source).await;
    let (info, input, profile) = (job.info.clone(), Arc::clone(&job.input), Arc::clone(&job.profile));
    rig.pool.submit(job).unwrap().wait().await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            rig.pool.estimate(CLIENT, &profile.name, profile.work_pixels(&info)).service,
            None,
            "too few to tell"
        );
        let job = rig.clip_job("360p", source).await;
        rig.pool.submit(job).unwrap().wait().await.unwrap();
    }
    // A thousand times the frames takes about a thousand times as long.
    let mut long = info;
    long.video.as_mut().unwrap().frames *= 1000;
    let estimate = rig.pool.estimate(CLIENT, &profile.name, profile.work_pixels(&long));
    assert!(estimate.service.unwrap() > Duration::from_secs(1));
    let refused =
        rig.pool.submit(Job { info: long, input, ..rig.job(Duration::from_secs(1)) }).err().unwrap();
    assert!(matches!(refused, SubmitError::TooLate { .. }), "{refused}");
    let past = Job { deadline: Instant::now(), ..rig.job(SOON) };
    assert!(matches!(rig.pool.submit(past).err(), Some(SubmitError::TooLate { .. })));
}

#[tokio::test]
async fn who_is_refused_is_taken_at_the_time_that_it_was_told() {
    let (rig, _scripts) = stuck(1, 100);
    let mut taken = Vec::new();
    let refused = loop {
        let job = Job { content: ContentId::of(&[taken.len() as u8]), ..rig.job(Duration::from_secs(5)) };
        let (content, profile, info) = (job.content, Arc::clone(&job.profile), job.info.clone());
        match rig.pool.submit(job) {
            Ok(ticket) => taken.push(ticket),
            Err(SubmitError::TooLate { .. }) => break (content, profile, info),
            Err(other) => panic!("{other}"),
        }
    };
    let (content, profile, info) = refused;
    let soon = || Instant::now() + Duration::from_secs(5);
    assert!(rig.pool.reserve_unseen(CLIENT, &profile.name, ContentId::of(b"another"), soon()).is_none());
    let told = rig
        .pool
        .book(CLIENT, &profile.name, content, Some(profile.work_pixels(&info)), Duration::from_secs(5))
        .unwrap();
    assert!(
        told >= Duration::from_secs(1) && !rig.pool.would_take(CLIENT, &profile.name, content, soon()),
        "{told:?}"
    );
    // The queue goes down meanwhile; the place that comes free is not a newcomer's.
    drop(taken.pop());
    tokio::time::sleep(told).await;
    assert!(rig.pool.would_take(CLIENT, &profile.name, content, soon()));
    assert!(
        rig.pool
            .reserve_unseen(CLIENT, &profile.name, content, soon())
            .is_some_and(|place| place.is_booked())
    );
    let place = rig
        .pool
        .reserve_unseen(CLIENT, &profile.name, content, soon())
        .expect("a place that was given back is there");
    let _taken = place.submit(Job { content, ..rig.job(Duration::from_secs(5)) }).unwrap();
    assert!(!rig.pool.would_take(CLIENT, &profile.name, content, soon()), "once");
    rig.pool.drain(Duration::ZERO, Queued::HandOver).await;
    assert_eq!(rig.pool.book(CLIENT, &profile.name, content, None, Duration::from_secs(5)), None);
}

#[tokio::test]
async fn a_drain_hands_over_what_waits_and_finishes_what_runs() {
    let scripts = tempfile::tempdir().unwrap();
    let go = scripts.path().join("go");
    let body = format!("while [ ! -e {} ]; do sleep 0.05; done; exit 1", go.display());
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, &body), ..Setup::default() });
    let running = rig.pool.submit(rig.job(SOON)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    let queued = rig.pool.submit(rig.job(SOON)).unwrap();
    let pool = rig.pool.clone();
    let drain = tokio::spawn(async move { pool.drain(SOON, Queued::HandOver).await });
    assert!(matches!(queued.wait().await, Err(TranscodeError::Draining)));
    assert!(matches!(rig.pool.submit(rig.job(SOON)).err(), Some(SubmitError::Draining)));
    assert!(!drain.is_finished());
    std::fs::write(&go, "").unwrap();
    // It ran to its own end, which this stand-in's is an error.
    assert!(matches!(running.wait().await, Err(TranscodeError::Failed { .. })));
    assert!(drain.await.unwrap(), "nothing was cut off");
}

#[tokio::test]
async fn a_drain_is_bounded() {
    let (rig, _scripts) = stuck(2, 2);
    let tickets: Vec<_> = (0..4).map(|_| rig.pool.submit(rig.job(SOON)).unwrap()).collect();
    rig.until(|stats| stats.running == 2).await;
    assert!(!rig.pool.drain(Duration::from_millis(100), Queued::Finish).await, "two were cut off");
    for ticket in tickets {
        assert!(matches!(ticket.wait().await, Err(TranscodeError::Cancelled)));
    }
    assert_eq!(rig.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_pool_takes_its_children_along() {
    let (rig, _scripts) = stuck(1, 1);
    let ticket = rig.pool.submit(rig.job(SOON)).unwrap();
    rig.until(|stats| stats.running == 1).await;
    let Rig { pool, folder: _folder, dir: _dir } = rig;
    drop(pool);
    assert!(matches!(ticket.wait().await, Err(TranscodeError::Cancelled)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_jobs_all_of_them_end_once() {
    use rand::{Rng, SeedableRng};
    let scripts = tempfile::tempdir().unwrap();
    // Behaves by the name of the job's folder, which is random.
    let body = "case $(( $(basename \"$(dirname \"$out\")\" | cksum | cut -d' ' -f1) % 4 )) in
        0) exit 1 ;; 1) kill -SEGV $$ ;; 2) sleep 0.05; head -c 5000 /dev/zero > \"$out\" ;; 3) sleep 100 ;; esac";
    let rig = Rig::new(&Setup { ffmpeg: &stub(&scripts, body), workers: 4, queue: 12, ..Setup::default() });
    let mut rng = rand::rngs::StdRng::seed_from_u64(0x5eed);
    let (mut taken, mut refused, mut waiting) = (0u64, 0, tokio::task::JoinSet::new());
    for _ in 0..150 {
        let deadline = Duration::from_millis(rng.random_range(20..600));
        match rig.pool.submit(rig.job(deadline)) {
            Ok(ticket) => {
                taken += 1;
                let patience = Duration::from_millis(rng.random_range(0..800));
                // Some clients go away before they have their answer.
                waiting.spawn(async move {
                    tokio::time::timeout(patience, ticket.wait()).await.map(|done| done.is_ok())
                });
            }
            Err(SubmitError::QueueFull { .. } | SubmitError::TooLate { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..15))).await;
    }
    while let Some(answer) = waiting.join_next().await {
        assert_ne!(answer.unwrap(), Ok(true), "none of these makes a video");
    }
    rig.until(|stats| stats.running == 0 && stats.queued == 0).await;
    let stats = rig.pool.stats();
    assert_eq!(stats.failures_total + stats.cancelled_total, taken, "{stats:?}, {refused} refused");
    assert_eq!(rig.leftovers(), Vec::<PathBuf>::new());
    // And it goes on.
    assert!(rig.pool.submit(rig.job(SOON)).is_ok());
}
