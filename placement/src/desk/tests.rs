//! A desk with clients and workers around it, in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::start;

const SECOND: Duration = Duration::from_secs(1);
const PIXELS_PER_S: u64 = 100_000_000;

fn profile() -> ProfileName {
    "360p".parse().unwrap()
}

fn job(client: u64, number: u64, cost: Duration, deadline: Instant) -> JobSpec {
    JobSpec {
        client: ClientTag(client),
        content: ContentId::of(&number.to_le_bytes()),
        profile: profile(),
        work_pixels: (cost.as_secs_f64() * PIXELS_PER_S as f64) as u64,
        deadline,
    }
}

/// What a client sends, and when.
#[derive(Clone, Copy, Debug)]
struct Upload {
    client: u64,
    /// After the one before.
    gap: Duration,
    cost: Duration,
    allowed: Duration,
}

#[derive(Clone, Debug)]
enum Event {
    /// An upload comes, or comes back as it was told to.
    Comes { number: u64, upload: Upload, told: bool },
    /// A worker has done its job.
    Done(JobId),
    /// The guest looks again.
    Looks,
}

/// What became of all of it.
#[derive(Debug, Default)]
struct Outcome {
    in_time: usize,
    /// Taken, and not done by its deadline.
    late: usize,
    refused_for_good: usize,
    /// Came back as told, and was taken.
    kept: usize,
    /// Came back as told, and was refused.
    broken: Vec<String>,
}

/// A node's workers in virtual time: every job takes exactly what the desk has learned that it takes.
struct World {
    desk: Desk,
    now: Instant,
    /// By time, then in the order in which they were put there.
    events: BTreeMap<(Instant, u64), Event>,
    jobs: BTreeMap<JobId, JobSpec>,
    numbers: u64,
    outcome: Outcome,
}

impl World {
    fn new(workers: usize, queue: usize, clients: u64) -> Self {
        let mut desk = Desk::new(workers, queue);
        let mut now = start();
        // Each client has had a few jobs done, so that what its next ones take is known.
        for (client, number) in (0..clients).flat_map(|client| (0..4).map(move |number| (client, number))) {
            let spec = job(client, u64::MAX - number, SECOND, now + 60 * SECOND);
            let granted = desk.reserve(now, &spec, Entry::Booked).unwrap();
            let id = desk.submit(now, granted.reservation, spec).unwrap();
            assert_eq!(desk.next(now, |_| false), Next::Begin(id));
            now += SECOND;
            desk.end(now, id, Ending::Done);
        }
        let (events, jobs) = (BTreeMap::new(), BTreeMap::new());
        Self { desk, now, events, jobs, numbers: 0, outcome: Outcome::default() }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.numbers += 1;
        self.events.insert((self.now + after, self.numbers), event);
    }

    fn run(mut self, uploads: &[Upload]) -> Outcome {
        let mut after = Duration::ZERO;
        for (number, upload) in (0..).zip(uploads) {
            after += upload.gap;
            self.at(after, Event::Comes { number, upload: *upload, told: false });
        }
        while self.step() {}
        assert!(self.desk.is_idle() && self.jobs.is_empty());
        self.outcome
    }

    /// What happens next; nothing any more: false.
    fn step(&mut self) -> bool {
        let Some(((now, _), event)) = self.events.pop_first() else { return false };
        self.now = now;
        match event {
            Event::Comes { number, upload, told } => self.comes(number, upload, told),
            Event::Done(id) => {
                self.desk.end(now, id, Ending::Done);
                self.gone(id, now);
            }
            Event::Looks => {}
        }
        self.work();
        true
    }

    /// All that happens in this time.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step();
        }
        self.now = until;
    }

    fn comes(&mut self, number: u64, upload: Upload, told: bool) {
        let spec = job(upload.client, number, upload.cost, self.now + upload.allowed);
        let granted = match self.desk.reserve(self.now, &spec, Entry::Booked) {
            Ok(granted) => granted,
            Err(refusal) => {
                if told {
                    self.outcome.broken.push(format!("{number}: {refusal:?}"));
                }
                self.come_back(number, upload, &spec);
                return;
            }
        };
        self.outcome.kept += usize::from(told);
        if let Some((displaced, _)) = granted.displaced {
            self.jobs.remove(&displaced).unwrap();
            self.outcome.refused_for_good += 1;
        }
        let id = self.desk.submit(self.now, granted.reservation, spec.clone()).unwrap();
        self.jobs.insert(id, spec);
    }

    fn gone(&mut self, id: JobId, at: Instant) {
        let in_time = at <= self.jobs.remove(&id).unwrap().deadline;
        *if in_time { &mut self.outcome.in_time } else { &mut self.outcome.late } += 1;
    }

    fn come_back(&mut self, number: u64, upload: Upload, spec: &JobSpec) {
        let key = (spec.client, spec.content, &spec.profile);
        match self.desk.book(self.now, key, Some(spec.work_pixels), upload.allowed) {
            Some(told) => self.at(told, Event::Comes { number, upload, told: true }),
            None => self.outcome.refused_for_good += 1,
        }
    }

    /// All workers that are free look for work.
    fn work(&mut self) {
        loop {
            let (_, running) = self.desk.jobs();
            let next = match running {
                free if free < self.desk.workers() => self.desk.next(self.now, |_| false),
                all if all == self.desk.workers() => self.desk.next_guest(self.now, |_| false),
                _ => return,
            };
            match next {
                Next::Begin(id) => {
                    let pixels = self.jobs[&id].work_pixels;
                    let takes = Duration::from_secs_f64(pixels as f64 / PIXELS_PER_S as f64);
                    self.at(takes, Event::Done(id));
                }
                Next::Over(id, _) => self.gone(id, self.now + 3600 * SECOND),
                Next::Later(after) => return self.at(after, Event::Looks),
                Next::Idle => return,
            }
        }
    }
}

fn uploads(clients: u64) -> impl Strategy<Value = Vec<Upload>> {
    let upload =
        (0..clients, 0u64..2_500, 500u64..6_000, 8u64..60).prop_map(|(client, gap, cost, allowed)| {
            let [gap, cost] = [gap, cost].map(Duration::from_millis);
            Upload { client, gap, cost, allowed: Duration::from_secs(allowed) }
        });
    // Of fewer clients than speeds are learned of.
    prop::collection::vec(upload, 1..60)
}

/// A desk that knows what jobs take, and whose workers have one of three seconds each.
fn busy(workers: usize, queue: usize) -> World {
    let mut world = World::new(workers, queue, 1);
    for number in 0..workers as u64 {
        world.comes(
            number,
            Upload { client: 0, gap: Duration::ZERO, cost: 3 * SECOND, allowed: 60 * SECOND },
            false,
        );
    }
    world.work();
    world
}

fn take(desk: &mut Desk, now: Instant, number: u64) -> Option<(ReservationId, JobSpec)> {
    let spec = job(0, number, SECOND, now + 60 * SECOND);
    desk.reserve(now, &spec, Entry::Booked).ok().map(|granted| (granted.reservation, spec))
}

#[test]
fn a_place_whose_job_is_with_a_peer_holds_nothing_and_is_there_for_it() {
    let World { mut desk, now, .. } = busy(1, 2);
    let wait = |desk: &Desk| desk.backlog(now, ClientTag(0), None);
    let before = wait(&desk);
    let sent: Vec<_> = [10, 11].map(|number| take(&mut desk, now, number).unwrap()).into();
    assert!(wait(&desk).wait_ms > before.wait_ms && take(&mut desk, now, 12).is_none());
    for (place, _) in &sent {
        desk.send_away(*place);
    }
    assert_eq!((wait(&desk), desk.stats(now).reserved), (before, 0), "as if they had never come");
    let others: Vec<_> = [12, 13].map(|number| take(&mut desk, now, number).unwrap()).into();
    for (place, spec) in others.into_iter().chain(sent) {
        desk.submit(now, place, spec).unwrap();
    }
    let stats = desk.stats(now);
    assert_eq!((stats.queued, stats.came_back), (4, 2), "they came back, beyond the capacity of two");
    assert!(take(&mut desk, now, 14).is_none());
}

#[test]
fn as_many_places_are_kept_for_jobs_at_peers_as_jobs_may_wait() {
    let World { mut desk, now, .. } = busy(1, 2);
    let sent: Vec<_> = (10..13)
        .map(|number| {
            let (place, spec) = take(&mut desk, now, number).unwrap();
            desk.send_away(place);
            (place, spec)
        })
        .collect();
    for number in [20, 21] {
        let (place, spec) = take(&mut desk, now, number).unwrap();
        desk.submit(now, place, spec).unwrap();
    }
    let came = sent.into_iter().map(|(place, spec)| desk.submit(now, place, spec));
    let came: Vec<bool> = came.map(|came| came.is_ok()).collect();
    assert_eq!(came, [true, true, false], "the third has to find room");
    // One that was given up is not there any more.
    let World { mut desk, now, .. } = busy(1, 2);
    let (place, _) = take(&mut desk, now, 10).unwrap();
    desk.send_away(place);
    desk.release(place);
    assert!(desk.away.is_empty());
}

/// Each of three jobs that came to two idle workers once saw the two others before it, and all went elsewhere.
#[test]
fn places_that_are_given_later_come_after_a_job() {
    let (now, profile) = (start(), profile());
    let mut desk = Desk::new(2, 8);
    let deadline = now + 40 * SECOND;
    let places = [1, 2, 3].map(|number: u64| {
        let content = ContentId::of(&number.to_le_bytes());
        let unseen = Unseen { client: ClientTag(number), content, profile: &profile, deadline };
        desk.reserve_unseen(now, &unseen).unwrap().reservation
    });
    let before =
        |desk: &Desk, place: usize| desk.backlog(now, ClientTag(place as u64), Some(places[place - 1]));
    let told = |jobs: u32, wait_ms| Backlog { jobs_per_worker_permille: jobs * 500, wait_ms };
    // Two begin at once, which is known before anything was learned; when the third does is a guess.
    assert_eq!(before(&desk, 1), told(0, Some(0)));
    assert_eq!(before(&desk, 2), told(1, Some(0)));
    assert_eq!(before(&desk, 3), told(2, None));
    assert_eq!(
        desk.backlog(now, ClientTag(4), None),
        told(3, None),
        "one that comes now is after all of them"
    );
    // Which is put into the line first is begun first, though it got its place last.
    desk.submit(now, places[2], job(3, 3, SECOND, deadline)).unwrap();
    assert_eq!([1, 2].map(|place| before(&desk, place)), [told(1, Some(0)), told(2, None)]);
}

#[test]
fn who_comes_when_told_waits_beyond_the_capacity_and_gives_way_to_nobody() {
    let World { mut desk, mut now, .. } = busy(1, 2);
    let submit = |desk: &mut Desk, now, number| {
        let (place, spec) = take(desk, now, number)?;
        Some(desk.submit(now, place, spec).unwrap())
    };
    let [_, last] = [10, 11].map(|number| submit(&mut desk, now, number).unwrap());
    let told = [12, 13, 14].map(|number| {
        assert_eq!(submit(&mut desk, now, number), None);
        let JobSpec { client, content, profile, work_pixels, .. } = job(0, number, SECOND, now);
        desk.book(now, (client, content, &profile), Some(work_pixels), 60 * SECOND).unwrap()
    });
    now += told.into_iter().max().unwrap();
    assert_eq!(submit(&mut desk, now, 15), None, "who was told nothing finds it full");
    let came = [12, 13, 14].map(|number| submit(&mut desk, now, number).is_some());
    assert_eq!(came, [true; 3], "all of them, though two may wait");
    assert_eq!((desk.occupancy().queued, desk.occupancy().promised), (5, 3));
    let other = job(1, 20, SECOND, now + 60 * SECOND);
    let granted = desk.reserve(now, &other, Entry::Booked).unwrap();
    assert_eq!(granted.displaced.map(|(id, _)| id), Some(last), "the last one that came without a promise");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What a job is told of its begin is when it begins, if all takes what it is thought to and no other client's turn comes between.
    #[test]
    fn a_job_begins_when_the_desk_says(
        workers in 1usize..5,
        costs in prop::collection::vec(500u64..6_000, 0..12),
        after in 0u64..4_000,
    ) {
        let mut world = World::new(workers, 64, 1);
        let upload = |ms| Upload { client: 0, gap: Duration::ZERO, cost: Duration::from_millis(ms), allowed: 600 * SECOND };
        for (number, ms) in (0..).zip(&costs) {
            world.comes(number, upload(*ms), false);
        }
        world.work();
        world.pass(Duration::from_millis(after));
        let (asked, told) = (world.now, world.desk.backlog(world.now, ClientTag(0), None).wait_ms.unwrap());
        world.comes(99, upload(1_000), false);
        let id = *world.jobs.last_key_value().unwrap().0;
        world.work();
        while world.desk.running.iter().all(|running| running.id != id) {
            world.step();
        }
        let began = world.now - asked;
        prop_assert!(began.abs_diff(Duration::from_millis(told.into())) < Duration::from_millis(5), "{told}: {began:?}");
    }

    /// All that a desk thinks of one worker's time is exact here, so nothing may go wrong.
    #[test]
    fn no_promise_is_broken_by_who_comes_later(uploads in uploads(1)) {
        let outcome = World::new(1, 64, 1).run(&uploads);
        prop_assert!(outcome.broken.is_empty(), "{:?}", outcome);
        prop_assert_eq!(outcome.late, 0, "{:?}", outcome);
    }

    /// A client with many jobs, or one that had some lately, gives turns to others, which may break what it was told. One with its
    /// first job loses nothing by turns.
    #[test]
    fn nor_where_each_client_has_one(mut uploads in uploads(1)) {
        (1_000..).zip(&mut uploads).for_each(|(client, upload)| upload.client = client);
        let outcome = World::new(1, 64, 3).run(&uploads);
        prop_assert!(outcome.broken.is_empty(), "{:?}", outcome);
        prop_assert_eq!(outcome.late, 0, "{:?}", outcome);
    }
}

/// A desk of one worker that knows what jobs of a second take, with such a job begun.
fn busy_with_a_second() -> (World, JobId) {
    let mut world = World::new(1, 8, 1);
    let spec = job(0, 1, SECOND, world.now + 500 * SECOND);
    let granted = world.desk.reserve(world.now, &spec, Entry::Booked).unwrap();
    let id = world.desk.submit(world.now, granted.reservation, spec).unwrap();
    assert_eq!(world.desk.next(world.now, |_| false), Next::Begin(id));
    (world, id)
}

#[test]
fn a_job_that_is_slow_to_begin_keeps_no_other_away_for_minutes() {
    let (mut world, id) = busy_with_a_second();
    // The machine had no core for it, or its encoder reads ahead: a twentieth of it took 16 s.
    let now = world.now + 16 * SECOND;
    world.desk.progress(id, Some(0.05));
    let next = job(0, 2, SECOND, now + 250 * SECOND);
    assert!(world.desk.reserve(now, &next, Entry::Booked).is_ok(), "{:?}", world.desk.stats(now));
}

#[test]
fn a_job_that_takes_long_is_soon_known_for_it() {
    let (mut world, id) = busy_with_a_second();
    // It takes 100 s, and tells so.
    let remains = |world: &mut World, part: f64| {
        world.desk.progress(id, Some(part));
        let now = world.now + (100 * SECOND).mul_f64(part);
        world.desk.estimate(now, ClientTag(0), &profile(), PIXELS_PER_S).wait.as_secs_f64()
    };
    assert!(remains(&mut world, 0.2) > 0.5 * 80.0);
    assert!(remains(&mut world, 0.5) > 0.7 * 50.0);
    assert!(remains(&mut world, 0.9) > 0.8 * 10.0);
    assert!(remains(&mut world, 1.0) < 1e-6);
}

/// Puts a job into the desk's queue.
fn submit(world: &mut World, client: u64, number: u64, cost: Duration) -> JobId {
    let spec = job(client, number, cost, world.now + 100_000 * SECOND);
    let granted = world.desk.reserve(world.now, &spec, Entry::Booked).unwrap();
    world.desk.submit(world.now, granted.reservation, spec).unwrap()
}

#[test]
fn clients_that_keep_all_workers_together_keep_no_short_job_waiting() {
    let hour = 3_600 * SECOND;
    let mut world = World::new(2, 8, 4);
    for client in [0, 1] {
        submit(&mut world, client, client, hour);
        assert!(matches!(world.desk.next(world.now, |_| false), Next::Begin(_)));
    }
    let wait = |world: &World, cost: Duration| {
        let pixels = (cost.as_secs_f64() * PIXELS_PER_S as f64) as u64;
        world.desk.estimate(world.now, ClientTag(3), &profile(), pixels).wait.as_secs()
    };
    assert_eq!((wait(&world, 3 * SECOND), wait(&world, 60 * SECOND)), (12, 240));
    let [long, short] = [(2, 60), (3, 3)].map(|(client, cost)| submit(&mut world, client, 9, cost * SECOND));
    world.now += 11 * SECOND;
    assert_eq!(world.desk.next_guest(world.now, |_| false), Next::Later(SECOND));
    world.now += SECOND;
    assert_eq!(world.desk.next_guest(world.now, |_| false), Next::Begin(short));
    // One such worker, and no more; and a long job of theirs has no right to it.
    submit(&mut world, 0, 10, SECOND);
    assert!(matches!(world.desk.next_guest(world.now, |_| false), Next::Later(_)));
    world.desk.end(world.now, short, Ending::Done);
    world.now += 227 * SECOND;
    assert!(matches!(world.desk.next_guest(world.now, |_| false), Next::Later(_)));
    world.now += SECOND;
    assert_eq!(world.desk.next_guest(world.now, |_| false), Next::Begin(long));
}
