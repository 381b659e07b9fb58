//! Refused jobs that were told when to come back: each has its place in time, so that what it was told turns out true.
//!
//! A booking is a job in the queue that waits at its client's. Whoever comes without one stands behind all of them: he
//! is taken only if every booked job, at the time it was given, will still find no longer a wait than it can bear.

use std::time::{Duration, Instant};

use crate::content::ContentId;
use crate::profile::ProfileName;

/// Bookings at once; who is refused beyond that is told a time and gets no place for it.
const BOOKINGS_MAX: usize = 1024;
/// Nobody is asked to come back later than this.
const AHEAD_MAX: Duration = Duration::from_secs(600);
/// A client that comes so much later has lost its place.
const GRACE: Duration = Duration::from_secs(10);
/// Clocks and timers of clients: one that comes so much too early is in time.
const EARLY: Duration = Duration::from_millis(250);
/// Estimates err; a time is told with so much added, in parts of itself. Newcomers fill the gap.
const MARGIN: f64 = 0.1;

/// What a booking is for: the same content, made into the same.
pub(super) type BookingKey = (ContentId, ProfileName);

/// All that a pool has promised, by time.
#[derive(Debug, Default)]
pub(super) struct Bookings(Vec<Booking>);

#[derive(Debug)]
struct Booking {
    key: BookingKey,
    due: Instant,
    /// How much later whoever comes behind it begins.
    cost: Duration,
    /// The longest wait after which it can still be done in time.
    wait_max: Duration,
}

impl Booking {
    /// How much more work may come before it: what is to be done until it comes and what it can wait then, less what is
    /// there (`ahead`).
    fn slack(&self, now: Instant, ahead: Duration) -> Duration {
        (self.due.saturating_duration_since(now) + self.wait_max).saturating_sub(ahead)
    }
}

impl Bookings {
    /// Forgets those that did not come.
    pub(super) fn prune(&mut self, now: Instant) {
        self.0.retain(|booking| now < booking.due + GRACE);
    }

    /// Whether a job that costs this much can be taken without breaking a promise: `backlog` is the wait that it finds,
    /// `wait_max` the longest that it can bear.
    pub(super) fn admit(&self, now: Instant, backlog: Duration, cost: Duration, wait_max: Duration) -> bool {
        let mut ahead = backlog;
        for booking in &self.0 {
            // Who is due and not here yet is on his way, and before this one.
            if booking.due > now && booking.slack(now, ahead) < cost {
                return false;
            }
            ahead += booking.cost;
        }
        backlog + self.overdue(now) <= wait_max
    }

    /// Work of those that are due and not here yet.
    fn overdue(&self, now: Instant) -> Duration {
        self.0.iter().take_while(|booking| booking.due <= now).map(|booking| booking.cost).sum()
    }

    /// Whether this job comes at the time that it was told.
    pub(super) fn is_due(&self, now: Instant, key: &BookingKey) -> bool {
        self.0.iter().any(|booking| booking.key == *key && booking.due <= now + EARLY)
    }

    /// A booked job was taken, or will not be.
    pub(super) fn remove(&mut self, key: &BookingKey) {
        self.0.retain(|booking| booking.key != *key);
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
        let after = match self.0.iter().position(|booking| booking.key == key) {
            // It waits for the same jobs as before; that they take longer than thought is not its fault.
            Some(place) => {
                self.0.remove(place);
                let before: Duration = self.0[..place].iter().map(|booking| booking.cost).sum();
                (backlog + before).saturating_sub(wait_max)
            }
            None => self.soonest(now, backlog, cost, wait_max),
        };
        let told = Duration::from_secs(after.mul_f64(1.0 + MARGIN).as_secs() + 1).min(AHEAD_MAX);
        let due = now + told;
        if self.0.len() < BOOKINGS_MAX && told < AHEAD_MAX {
            let place = self.0.partition_point(|booking| booking.due <= due);
            self.0.insert(place, Booking { key, due, cost, wait_max });
        }
        told
    }

    /// The soonest time from now at which one more such job finds a wait that it can bear and pushes nobody too far back.
    fn soonest(&self, now: Instant, backlog: Duration, cost: Duration, wait_max: Duration) -> Duration {
        let until = |due: Instant| due.saturating_duration_since(now);
        let mut ahead: Duration = backlog + self.0.iter().map(|booking| booking.cost).sum::<Duration>();
        // Behind all others there is always a place; from there it goes as far forward as they allow.
        let last = self.0.last().map_or(Duration::ZERO, |last| until(last.due));
        let mut soonest = ahead.saturating_sub(wait_max).max(last);
        for (place, booking) in self.0.iter().enumerate().rev() {
            ahead -= booking.cost;
            if booking.slack(now, ahead) < cost {
                break;
            }
            let previous = place.checked_sub(1).map_or(Duration::ZERO, |place| until(self.0[place].due));
            let after = ahead.saturating_sub(wait_max).max(previous);
            if after <= until(booking.due) {
                soonest = after;
            }
        }
        soonest
    }
}

#[cfg(test)]
mod tests {
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
        assert!(bookings.admit(now, seconds(20), COST, WAIT_MAX));
        assert!(!bookings.admit(now, seconds(21), COST, WAIT_MAX));
        let told = bookings.book(now, key(1), seconds(25), COST, WAIT_MAX);
        // When it comes back the queue has room, and the room is its own.
        let then = now + told;
        assert!(bookings.is_due(then, &key(1)) && !bookings.is_due(then, &key(2)));
        assert!(!bookings.admit(then, seconds(19), COST, WAIT_MAX), "a newcomer in its place");
        assert!(
            bookings.admit(then, seconds(15), COST, WAIT_MAX),
            "the queue went down faster: there is room for both"
        );
        bookings.remove(&key(1));
        assert!(bookings.admit(then, seconds(19), COST, WAIT_MAX));
    }

    #[test]
    fn who_comes_too_early_or_much_too_late_has_no_place() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told = bookings.book(now, key(1), seconds(30), COST, WAIT_MAX);
        assert!(!bookings.is_due(now + seconds(5), &key(1)));
        bookings.prune(now + told + GRACE);
        assert!(!bookings.is_due(now + told + GRACE, &key(1)));
        assert!(bookings.admit(now + told + GRACE, WAIT_MAX, COST, WAIT_MAX));
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
        assert_eq!(bookings.0.len(), 3);
    }

    #[test]
    fn a_small_job_slips_in_where_a_big_one_would_push_others_back() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        // Is told 12 s, of which it needs 10.
        bookings.book(now, key(1), seconds(30), COST, WAIT_MAX);
        let small = Duration::from_millis(500);
        assert_eq!(bookings.book(now, key(2), seconds(30), small, seconds(35)), seconds(1));
        assert_eq!(bookings.0[0].key, key(2));
        // It could bear the wait, and the other could not: behind him.
        assert_eq!(bookings.book(now, key(3), seconds(30), COST, seconds(35)), seconds(14));
        assert_eq!(bookings.0[2].key, key(3));
    }

    #[test]
    fn promises_are_bounded() {
        let now = Instant::now();
        let mut bookings = Bookings::default();
        let told = (0..2000).map(|number| bookings.book(now, key(number), seconds(25), COST, WAIT_MAX)).max();
        assert_eq!(told, Some(AHEAD_MAX));
        assert!(bookings.0.len() <= BOOKINGS_MAX);
        assert!(bookings.0.is_sorted_by_key(|booking| booking.due));
    }
}
