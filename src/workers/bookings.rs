//! Refused jobs that were told when to come back: each has its place in time, so that what it was told turns out true.
//!
//! A booking is a job in the queue that waits at its client's. Whoever comes without one stands behind all of them: he
//! is taken only if every booked job, at the time it was given, will still find no longer a wait than it can bear.
//!
//! Not everybody comes back, and a place kept for who does not is work that nobody does. So a booking counts as much work
//! as is to be expected of it: by the share of those who came lately of those who were told to.

use std::time::{Duration, Instant};

use crate::content::ContentId;
use crate::profile::ProfileName;

/// Bookings at once; who is refused beyond that is told a time and gets no place for it.
const BOOKINGS_MAX: usize = 1024;
/// Nobody is asked to come back later than this.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// A client that comes so much later has lost its place.
const GRACE: Duration = Duration::from_secs(10);
/// Who is so late will hardly come any more: nobody waits for him, though his place stays his own until it is lost.
const LATE: Duration = Duration::from_secs(2);
/// The share that comes is that of about so many of the last.
const SEEN_MAX: f64 = 16.0;
/// Clocks and timers of clients: one that comes so much too early is in time.
const EARLY: Duration = Duration::from_millis(250);
/// Estimates err; a time is told so many times as long. Newcomers fill the gap.
const MARGIN: f64 = 1.1;

/// What a booking is for: the same content, made into the same.
pub(super) type BookingKey = (ContentId, ProfileName);

/// All that a pool has promised.
#[derive(Debug)]
pub(super) struct Bookings {
    /// By time.
    all: Vec<Booking>,
    /// Share of those told to come who came, lately, and of how many that is.
    coming: f64,
    seen: f64,
}

#[derive(Debug)]
struct Booking {
    key: BookingKey,
    due: Instant,
    /// How much later whoever comes behind it begins.
    cost: Duration,
    state: State,
    /// The longest wait after which it can still be done in time.
    wait_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its time is still to come, or just past.
    Awaited,
    /// It has come; what stands for it is counted elsewhere.
    Here,
    /// It has not come.
    Missed,
}

impl Booking {
    /// The work to be expected of it.
    fn work(&self, weight: f64) -> Duration {
        if self.state == State::Awaited { self.cost.mul_f64(weight) } else { Duration::ZERO }
    }

    /// How much more work may come before it: what is to be done until it comes and what it can wait then, less what is
    /// there (`ahead`).
    fn slack(&self, now: Instant, ahead: Duration) -> Duration {
        (self.due.saturating_duration_since(now) + self.wait_max).saturating_sub(ahead)
    }
}

impl Default for Bookings {
    /// Nobody was told anything, so everybody is believed to come.
    fn default() -> Self {
        Self { all: Vec::new(), coming: 1.0, seen: 1.0 }
    }
}

impl Bookings {
    /// Takes note of those that did not come, and forgets them in the end.
    pub(super) fn prune(&mut self, now: Instant) {
        let late = self.all.partition_point(|booking| booking.due + LATE <= now);
        for place in 0..late {
            if self.all[place].state == State::Awaited {
                self.all[place].state = State::Missed;
                self.learn(0.0);
            }
        }
        self.all.retain(|booking| now < booking.due + GRACE);
    }

    fn learn(&mut self, came: f64) {
        self.seen = (self.seen + 1.0).min(SEEN_MAX);
        self.coming += (came - self.coming) / self.seen;
    }

    /// How much of its cost an awaited booking counts: the share that comes, and as much more as that may err (its standard
    /// error), for now and then more come. With all of them or none it is exact.
    fn weight(&self) -> f64 {
        let error = (self.coming * (1.0 - self.coming) / self.seen).sqrt();
        (self.coming + error).min(1.0)
    }

    /// Whether a job that costs this much can be taken without breaking a promise: `backlog` is the wait that it finds,
    /// `wait_max` the longest that it can bear. What was promised to somebody for the same, its `own` key, is no hindrance: its
    /// result is for him, too.
    pub(super) fn admit(
        &self,
        own: Option<&BookingKey>,
        now: Instant,
        backlog: Duration,
        cost: Duration,
        wait_max: Duration,
    ) -> bool {
        let weight = self.weight();
        let (mut ahead, mut overdue) = (backlog, Duration::ZERO);
        for booking in self.all.iter().filter(|booking| Some(&booking.key) != own) {
            let work = booking.work(weight);
            // Who is due and not here yet is on his way, and before this one.
            if booking.due <= now {
                overdue += work;
            } else if booking.slack(now, ahead) < cost.mul_f64(weight) {
                return false;
            }
            ahead += work;
        }
        backlog + overdue <= wait_max
    }

    /// Whether this job comes at the time that it was told.
    pub(super) fn is_due(&self, now: Instant, key: &BookingKey) -> bool {
        self.all.iter().any(|booking| booking.key == *key && booking.due <= now + EARLY)
    }

    /// A booked job has come, and what stands for it from now on is counted elsewhere; its place in time stays its own until
    /// it is taken.
    pub(super) fn arrived(&mut self, key: &BookingKey) {
        let Some(booking) = self.all.iter_mut().find(|booking| booking.key == *key) else { return };
        if std::mem::replace(&mut booking.state, State::Here) != State::Here {
            self.learn(1.0);
        }
    }

    /// A booked job has come, if it is due, and waits for something else than its place, which it loses no sooner than if it
    /// had come just now.
    pub(super) fn hold(&mut self, now: Instant, key: &BookingKey) {
        if !self.is_due(now, key) {
            return;
        }
        self.arrived(key);
        let Some(place) = self.all.iter().position(|booking| booking.key == *key) else { return };
        let mut booking = self.all.remove(place);
        booking.due = booking.due.max(now);
        let place = self.all.partition_point(|other| other.due <= booking.due);
        self.all.insert(place, booking);
    }

    /// A booked job was taken, or will not be.
    pub(super) fn remove(&mut self, key: &BookingKey) {
        self.all.retain(|booking| booking.key != *key);
    }

    /// The soonest time, in whole seconds, at which such a job can be taken; that place is its own from now on. One that
    /// was booked before is booked anew.
    pub(super) fn book(
        &mut self,
        now: Instant,
        key: BookingKey,
        backlog: Duration,
        cost: Duration,
        wait_max: Duration,
    ) -> Duration {
        let told = match self.all.iter().position(|booking| booking.key == key) {
            // It waits for the same jobs as before; that they take longer than thought is not its fault.
            Some(place) => {
                self.all.remove(place);
                let weight = self.weight();
                let before: Duration = self.all[..place].iter().map(|booking| booking.work(weight)).sum();
                let after = (backlog + before).saturating_sub(wait_max);
                Duration::from_secs(after.mul_f64(MARGIN).as_secs() + 1).min(AHEAD_MAX)
            }
            None => self.soonest(now, backlog, cost, wait_max),
        };
        let due = now + told;
        if self.all.len() < BOOKINGS_MAX && told < AHEAD_MAX {
            let place = self.all.partition_point(|booking| booking.due <= due);
            self.all.insert(place, Booking { key, due, cost, state: State::Awaited, wait_max });
        }
        told
    }

    /// The soonest whole second from now at which one more such job finds a wait that it can bear and pushes nobody too far
    /// back.
    fn soonest(&self, now: Instant, backlog: Duration, cost: Duration, wait_max: Duration) -> Duration {
        let weight = self.weight();
        // Whom it would push too far back, if it came before him: it comes after the last of those.
        let (mut ahead, mut first) = (backlog, Duration::ZERO);
        for booking in &self.all {
            if booking.slack(now, ahead) < cost.mul_f64(weight) {
                first = booking.due.saturating_duration_since(now);
            }
            ahead += booking.work(weight);
        }
        let (mut ahead, mut before) = (backlog, self.all.iter().peekable());
        let mut seconds = (1..AHEAD_MAX.as_secs()).map(Duration::from_secs);
        let fits = |after: &Duration| {
            while let Some(booking) = before.next_if(|booking| booking.due <= now + *after) {
                ahead += booking.work(weight);
            }
            *after >= first && after.div_f64(MARGIN) + wait_max > ahead
        };
        seconds.find(fits).unwrap_or(AHEAD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::admission::{self, Standing};
    use super::*;

    const COST: Duration = Duration::from_secs(5);
    const WAIT_MAX: Duration = Duration::from_secs(20);

    fn key(number: u32) -> BookingKey {
        (ContentId::of(&number.to_le_bytes()), "360p".parse().unwrap())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_refused_are_told_times_one_job_apart() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told: Vec<_> =
            (0..4).map(|number| bookings.book(now, key(number), seconds(25), COST, WAIT_MAX)).collect();
        // 5, 10, 15 and 20 s, a tenth more, the next whole second.
        assert_eq!(told, [6, 12, 17, 23].map(seconds));
    }

    #[test]
    fn newcomers_stand_behind_what_was_promised_and_fill_what_is_left_over() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        assert!(bookings.admit(None, now, seconds(20), COST, WAIT_MAX));
        assert!(!bookings.admit(None, now, seconds(21), COST, WAIT_MAX));
        let told = bookings.book(now, key(1), seconds(25), COST, WAIT_MAX);
        // When it comes back the queue has room, and the room is its own.
        let then = now + told;
        assert!(bookings.is_due(then, &key(1)) && !bookings.is_due(then, &key(2)));
        assert!(!bookings.admit(None, then, seconds(19), COST, WAIT_MAX), "a newcomer in its place");
        assert!(
            bookings.admit(None, then, seconds(15), COST, WAIT_MAX),
            "the queue went down faster: there is room for both"
        );
        // It is here, and counted with what waits.
        bookings.arrived(&key(1));
        assert!(bookings.is_due(then, &key(1)));
        assert!(bookings.admit(None, then, seconds(19), COST, WAIT_MAX));
        bookings.remove(&key(1));
        assert!(bookings.admit(None, then, seconds(19), COST, WAIT_MAX));
    }

    #[test]
    fn who_comes_too_early_or_much_too_late_has_no_place() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told = bookings.book(now, key(1), seconds(30), COST, WAIT_MAX);
        assert!(!bookings.is_due(now + seconds(5), &key(1)));
        bookings.prune(now + told + GRACE);
        assert!(!bookings.is_due(now + told + GRACE, &key(1)));
        assert!(bookings.admit(None, now + told + GRACE, WAIT_MAX, COST, WAIT_MAX));
    }

    #[test]
    fn a_promise_is_no_hindrance_to_the_very_job_it_is_for() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        assert_eq!(bookings.book(now, key(1), WAIT_MAX, COST, WAIT_MAX), seconds(1));
        assert!(!bookings.admit(None, now, WAIT_MAX, COST, WAIT_MAX), "he would be pushed back");
        assert!(!bookings.admit(Some(&key(2)), now, WAIT_MAX, COST, WAIT_MAX));
        assert!(bookings.admit(Some(&key(1)), now, WAIT_MAX, COST, WAIT_MAX));
        // What others were promised counts for it as for everybody.
        let mut bookings = Bookings::default();
        bookings.book(now, key(3), WAIT_MAX, COST, WAIT_MAX);
        bookings.book(now, key(1), WAIT_MAX, COST, WAIT_MAX);
        assert!(!bookings.admit(Some(&key(1)), now, WAIT_MAX, COST, WAIT_MAX));
    }

    #[test]
    fn who_waits_for_somebody_else_is_here_and_keeps_his_place() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told = bookings.book(now, key(1), seconds(25), COST, WAIT_MAX);
        bookings.book(now, key(2), seconds(25), COST, WAIT_MAX);
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
        assert!(bookings.admit(None, over, WAIT_MAX, COST, WAIT_MAX));
        assert!((bookings.coming - 2.0 / 3.0).abs() < 1e-9, "{}", bookings.coming);
        bookings.prune(over + GRACE);
        assert!(!bookings.is_due(over + GRACE, &key(1)), "gone, he keeps it no longer than others");
    }

    #[test]
    fn who_is_booked_again_keeps_about_his_place() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        for number in 0..3 {
            bookings.book(now, key(number), seconds(25), COST, WAIT_MAX);
        }
        // The first comes as told; the queue went slower than thought.
        let then = now + seconds(6);
        assert_eq!(bookings.book(then, key(0), seconds(23), COST, WAIT_MAX), seconds(4));
        assert_eq!(bookings.all.len(), 3);
    }

    #[test]
    fn a_small_job_slips_in_where_a_big_one_would_push_others_back() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        // Is told 12 s, of which it needs 10.
        bookings.book(now, key(1), seconds(30), COST, WAIT_MAX);
        let small = Duration::from_millis(500);
        assert_eq!(bookings.book(now, key(2), seconds(30), small, seconds(35)), seconds(1));
        assert_eq!(bookings.all[0].key, key(2));
        // It could bear the wait, and the other could not: behind him.
        assert_eq!(bookings.book(now, key(3), seconds(30), COST, seconds(35)), seconds(12));
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
        let start = Instant::now();
        let mut bookings = Bookings::default();
        let mut coming: Vec<(Instant, u32)> = Vec::new();
        let (mut backlog, mut seen) = (Duration::ZERO, Outcome::default());
        for step in 0..1000 {
            let now = start + tick * step;
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
            if bookings.admit(None, now, backlog, cost, bears(Standing::New)) {
                (backlog, seen.done) = (backlog + cost, seen.done + 1);
            } else {
                let told = bookings.book(now, key(step), backlog, cost, bears(Standing::New));
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
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told = (0..2000).map(|number| bookings.book(now, key(number), seconds(25), COST, WAIT_MAX)).max();
        assert_eq!(told, Some(AHEAD_MAX));
        assert!(bookings.all.len() <= BOOKINGS_MAX);
        assert!(bookings.all.is_sorted_by_key(|booking| booking.due));
    }
}
