use super::*;
use crate::desk::admission::{self, Standing};
use crate::desk::{Desk, Entry, JobSpec, Unseen};
use crate::testing::start;

const COST: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(20);

const CLIENT: ClientTag = ClientTag(1);

impl Bookings {
    fn admits(
        &self,
        own: Option<&BookingKey>,
        now: Instant,
        backlog: Duration,
        cost: Duration,
        wait_max: Duration,
    ) -> bool {
        self.admit(&Newcomer { client: CLIENT, key: own, cost }, now, backlog, wait_max)
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests make keys on the spot")]
    fn books(
        &mut self,
        now: Instant,
        key: BookingKey,
        backlog: Duration,
        cost: Duration,
        wait_max: Duration,
    ) -> Duration {
        self.book(&Newcomer { client: CLIENT, key: Some(&key), cost }, now, backlog, wait_max)
    }
}

fn key(number: u32) -> BookingKey {
    (ContentId::of(&number.to_le_bytes()), "360p".parse().unwrap())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_refused_are_told_times_one_job_apart() {
    let now = start();
    let mut bookings = Bookings::default();
    let told: Vec<_> =
        (0..4).map(|number| bookings.books(now, key(number), seconds(25), COST, WAIT_MAX)).collect();
    // 5, 10, 15 and 20 s, a tenth more, the next whole second.
    assert_eq!(told, [6, 11, 17, 22].map(seconds));
}

#[test]
fn newcomers_stand_behind_what_was_promised_and_fill_what_is_left_over() {
    let now = start();
    let mut bookings = Bookings::default();
    assert!(bookings.admits(None, now, seconds(20), COST, WAIT_MAX));
    assert!(!bookings.admits(None, now, seconds(21), COST, WAIT_MAX));
    let told = bookings.books(now, key(1), seconds(25), COST, WAIT_MAX);
    // When it comes back the queue has room, and the room is its own.
    let then = now + told;
    assert!(bookings.is_due(then, &key(1)) && !bookings.is_due(then, &key(2)));
    assert!(!bookings.admits(None, then, seconds(19), COST, WAIT_MAX), "a newcomer in its place");
    assert!(
        bookings.admits(None, then, seconds(15), COST, WAIT_MAX),
        "the queue went down faster: there is room for both"
    );
    // It is here, and counted with what waits.
    bookings.arrived(&key(1));
    assert!(bookings.is_due(then, &key(1)));
    assert!(bookings.admits(None, then, seconds(19), COST, WAIT_MAX));
    bookings.remove(&key(1));
    assert!(bookings.admits(None, then, seconds(19), COST, WAIT_MAX));
}

#[test]
fn who_comes_too_early_or_much_too_late_has_no_place() {
    let now = start();
    let mut bookings = Bookings::default();
    let told = bookings.books(now, key(1), seconds(30), COST, WAIT_MAX);
    assert!(!bookings.is_due(now + seconds(5), &key(1)));
    bookings.prune(now + told + GRACE);
    assert!(!bookings.is_due(now + told + GRACE, &key(1)));
    assert!(bookings.admits(None, now + told + GRACE, WAIT_MAX, COST, WAIT_MAX));
}

#[test]
fn a_promise_is_no_hindrance_to_the_very_job_it_is_for() {
    let now = start();
    let mut bookings = Bookings::default();
    assert_eq!(bookings.books(now, key(1), WAIT_MAX, COST, WAIT_MAX), seconds(1));
    assert!(!bookings.admits(None, now, WAIT_MAX, COST, WAIT_MAX), "he would be pushed back");
    assert!(!bookings.admits(Some(&key(2)), now, WAIT_MAX, COST, WAIT_MAX));
    assert!(bookings.admits(Some(&key(1)), now, WAIT_MAX, COST, WAIT_MAX));
    // What others were promised counts for it as for everybody.
    let mut bookings = Bookings::default();
    bookings.books(now, key(3), WAIT_MAX, COST, WAIT_MAX);
    bookings.books(now, key(1), WAIT_MAX, COST, WAIT_MAX);
    assert!(!bookings.admits(Some(&key(1)), now, WAIT_MAX, COST, WAIT_MAX));
}

#[test]
fn who_waits_for_somebody_else_is_here_and_keeps_his_place() {
    let now = start();
    let mut bookings = Bookings::default();
    let told = bookings.books(now, key(1), seconds(25), COST, WAIT_MAX);
    bookings.books(now, key(2), seconds(25), COST, WAIT_MAX);
    let due = now + told;
    bookings.hold(now, &key(1));
    assert!(!bookings.is_due(now, &key(1)), "too early is too early");
    for waited in (0..60).step_by(5).map(seconds) {
        let now = due + waited;
        bookings.prune(now);
        bookings.hold(now, &key(1));
        assert!(bookings.is_due(now, &key(1)), "{waited:?}");
        assert!(bookings.all.is_sorted_by_key(|booking| booking.due));
    }
    let over = due + seconds(55);
    assert!(!bookings.is_due(over, &key(2)), "who did not come has lost it");
    // Nobody waits for him meanwhile, and of the two he came (a third is believed at the start).
    assert!(bookings.admits(None, over, WAIT_MAX, COST, WAIT_MAX));
    assert!((bookings.coming - 2.0 / 3.0).abs() < 1e-9, "{}", bookings.coming);
    bookings.prune(over + GRACE);
    assert!(!bookings.is_due(over + GRACE, &key(1)), "gone, he keeps it no longer than others");
}

#[test]
fn what_one_client_was_promised_a_hundred_times_stands_before_another_once() {
    let now = start();
    let mut bookings = Bookings::default();
    let told: Vec<_> =
        (0..2_000).map(|number| bookings.books(now, key(number), seconds(25), COST, WAIT_MAX)).collect();
    assert!(told[100] > seconds(500), "{:?}", told[100]);
    let other = |number| (ClientTag(2), key(number));
    let (client, first) = other(5_000);
    let newcomer = Newcomer { client, key: Some(&first), cost: COST };
    assert!(bookings.admit(&newcomer, now, seconds(10), WAIT_MAX));
    // Where it has to wait itself it comes behind one of the other's, and a second one of its own behind two.
    let told = bookings.book(&newcomer, now, seconds(25), WAIT_MAX);
    assert!(told <= seconds(12), "{told:?}");
    let (client, second) = other(5_001);
    let told =
        bookings.book(&Newcomer { client, key: Some(&second), cost: COST }, now, seconds(25), WAIT_MAX);
    assert!(told <= seconds(24), "{told:?}");
}

#[test]
fn who_is_booked_again_keeps_about_his_place() {
    let now = start();
    let mut bookings = Bookings::default();
    for number in 0..3 {
        bookings.books(now, key(number), seconds(25), COST, WAIT_MAX);
    }
    // The first comes as told; the queue went slower than thought.
    let then = now + seconds(6);
    assert_eq!(bookings.books(then, key(0), seconds(23), COST, WAIT_MAX), seconds(4));
    assert_eq!(bookings.all.len(), 3);
}

#[test]
fn a_small_job_slips_in_where_a_big_one_would_push_others_back() {
    let now = start();
    let mut bookings = Bookings::default();
    // Is told 12 s, of which it needs 10.
    bookings.books(now, key(1), seconds(30), COST, WAIT_MAX);
    let small = Duration::from_millis(500);
    assert_eq!(bookings.books(now, key(2), seconds(30), small, seconds(35)), seconds(1));
    assert_eq!(bookings.all[0].key, key(2));
    // It could bear the wait, and the other could not: behind him.
    assert_eq!(bookings.books(now, key(3), seconds(30), COST, seconds(35)), seconds(11));
    assert_eq!(bookings.all[2].key, key(3));
}

/// What became of the time of a hundred jobs, in which a worker was asked for a thousand.
#[derive(Debug, Default)]
struct Outcome {
    done: u32,
    kept: u32,
    broken: u32,
    /// Seconds that those who come back were told, of the second half.
    told: Vec<u64>,
}

/// Each job is a new content and costs this much; of the clients every so-manieth comes back as told.
fn overloaded(cost: Duration, allowed: Duration, every: u32) -> Outcome {
    let tick = cost / 10;
    let bears = |standing| admission::wait_max(allowed, Some(cost), standing);
    let begin = start();
    let mut bookings = Bookings::default();
    let mut coming: Vec<(Instant, u32)> = Vec::new();
    let (mut backlog, mut seen) = (Duration::ZERO, Outcome::default());
    for step in 0..1000 {
        let now = begin + tick * step;
        bookings.prune(now);
        for (_, number) in coming.extract_if(.., |(at, _)| *at <= now) {
            assert!(bookings.is_due(now, &key(number)));
            bookings.arrived(&key(number));
            bookings.remove(&key(number));
            if backlog > bears(Standing::Booked) {
                seen.broken += 1;
                continue;
            }
            (backlog, seen.done, seen.kept) = (backlog + cost, seen.done + 1, seen.kept + 1);
        }
        if bookings.admits(None, now, backlog, cost, bears(Standing::New)) {
            (backlog, seen.done) = (backlog + cost, seen.done + 1);
        } else {
            let told = bookings.books(now, key(step), backlog, cost, bears(Standing::New));
            if (step + 1) % every == 0 {
                coming.push((now + told, step));
                seen.told.extend((step > 500).then_some(told.as_secs()));
            }
        }
        backlog = backlog.saturating_sub(tick);
    }
    seen
}

const NEVER: u32 = u32::MAX;

#[test]
fn clients_that_never_come_back_keep_nobody_waiting() {
    for (cost, allowed) in [(1, 3), (1, 10), (5, 40), (5, 120)] {
        let seen = overloaded(seconds(cost), seconds(allowed), NEVER);
        assert!(seen.done >= 80, "{cost} of {allowed} s: {seen:?}");
    }
}

#[test]
fn a_few_who_come_back_do_not_wait_for_the_many_who_do_not() {
    for (cost, allowed) in [(1, 8), (1, 10), (5, 40)] {
        let mut seen = overloaded(seconds(cost), seconds(allowed), 36);
        seen.told.sort_unstable();
        let median = seen.told[seen.told.len() / 2];
        assert!(median <= allowed && seen.done >= 95, "{cost} of {allowed} s: {seen:?}");
    }
}

#[test]
fn promises_are_kept_whether_others_keep_theirs_or_not() {
    for (cost, allowed) in [(1, 3), (1, 10), (5, 40), (5, 120)] {
        for every in [1, 2, 3, 10] {
            let seen = overloaded(seconds(cost), seconds(allowed), every);
            // Where nobody can wait for more than one other, two who come at once are one too many.
            let (done, of_broken) = if allowed > 3 * cost { (95, 5) } else { (75, 4) };
            let is_kept = seen.broken * of_broken <= seen.kept;
            assert!(seen.done >= done && is_kept, "{cost} of {allowed} s, 1 of {every}: {seen:?}");
        }
    }
}

#[test]
fn promises_are_bounded() {
    let now = start();
    let mut bookings = Bookings::default();
    let told = (0..2000).map(|number| bookings.books(now, key(number), seconds(25), COST, WAIT_MAX)).max();
    assert_eq!(told, Some(AHEAD_MAX));
    assert!(bookings.all.len() <= BOOKINGS_MAX);
    assert!(bookings.all.is_sorted_by_key(|booking| booking.due));
}

#[test]
fn who_comes_counts_as_one_who_comes_whether_the_video_was_looked_at_or_not() {
    let profile: ProfileName = "360p".parse().unwrap();
    for is_seen in [true, false] {
        let (mut desk, now, client) = (Desk::new(1, 4), start(), ClientTag(1));
        desk.bookings.learn(0.0);
        let before = desk.bookings.coming;
        let content = ContentId::of(b"clip");
        let told = desk.book(now, (client, content, &profile), Some(1), Duration::from_secs(60)).unwrap();
        let (now, deadline) = (now + told, now + told + Duration::from_secs(60));
        let granted = if is_seen {
            let job = JobSpec { client, content, profile: profile.clone(), work_pixels: 1, deadline };
            desk.reserve(now, &job, Entry::Booked).unwrap()
        } else {
            desk.reserve_unseen(now, &Unseen { client, content, profile: &profile, deadline }).unwrap()
        };
        assert!(granted.booked && desk.bookings.coming > before, "{is_seen}");
    }
}

#[test]
fn who_comes_early_and_is_taken_is_not_awaited_any_more() {
    let (mut desk, now, client) = (Desk::new(1, 4), start(), ClientTag(1));
    let profile: ProfileName = "360p".parse().unwrap();
    let (content, deadline) = (ContentId::of(b"clip"), now + Duration::from_secs(60));
    desk.book(now, (client, content, &profile), Some(1), Duration::from_secs(60)).unwrap();
    let job = JobSpec { client, content, profile, work_pixels: 1, deadline };
    let granted = desk.reserve(now, &job, Entry::Booked).unwrap();
    assert!(!granted.booked && desk.bookings.all.len() == 1);
    desk.submit(now, granted.reservation, job).unwrap();
    assert!(desk.bookings.all.is_empty());
}
