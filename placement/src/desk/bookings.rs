//! Refused jobs that were told when to come back: each has its place in time, so that what it was told turns out true.
//!
//! A booking is a job in the queue that waits at its client's. Whoever comes without one stands behind all of them: he
//! is taken only if every booked job, at the time it was given, will still find no longer a wait than it can bear.
//!
//! Not everybody comes back, and a place kept for who does not is work that nobody does. So a booking counts as much work
//! as is to be expected of it: by the share of those who came lately of those who were told to.

use std::time::{Duration, Instant};

use super::course::{Arrival, Course};
use super::turns::{Tally, before, gives_way};
use crate::content::{ClientTag, ContentId};
use crate::profile::ProfileName;

/// Bookings at once; who is refused beyond that is told a time and gets no place for it. And jobs at once that came as they were told.
pub(super) const BOOKINGS_MAX: usize = 1024;
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

/// A job that asks for a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer<'a> {
    /// Whose it is.
    pub(super) client: ClientTag,
    /// What is promised for the same is no hindrance to it.
    pub(super) key: Option<&'a BookingKey>,
    /// How much later whoever comes behind it begins.
    pub(super) cost: Duration,
}

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
    client: ClientTag,
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

    /// Whether a job can be taken without breaking a promise: `backlog` is the wait that it finds, `wait_max` the longest that it
    /// can bear. What was promised for the same content is no hindrance: its result is for that client, too.
    pub(super) fn admit(
        &self,
        job: &Newcomer<'_>,
        now: Instant,
        backlog: Duration,
        wait_max: Duration,
    ) -> bool {
        let (wait, room) = self.course(job, now, backlog, 1.0).now();
        wait <= wait_max && job.cost.mul_f64(self.weight()) <= room
    }

    /// How the wait rises and falls from now on, as far as a newcomer of this client is concerned. A job that is due and not here yet
    /// is on its way, and comes first.
    fn course(&self, job: &Newcomer<'_>, now: Instant, backlog: Duration, slowness: f64) -> Course {
        let weight = self.weight();
        let others = self.before(job.client).filter(|booking| Some(&booking.key) != job.key);
        let arrivals = others.map(|booking| Arrival {
            at: booking.due.saturating_duration_since(now),
            work: booking.work(weight),
            // One that is here, or will not come, is not pushed back.
            wait_max: if booking.state == State::Awaited { booking.wait_max } else { Duration::MAX },
        });
        Course::new(backlog, arrivals, slowness)
    }

    /// The promises that stand before a newcomer of this client, by time: all of its own, and of each other client as many as it is
    /// given turns between.
    fn before(&self, client: ClientTag) -> impl Iterator<Item = &Booking> {
        let all: Tally = self.all.iter().map(|booking| booking.client).collect();
        let own = all.of(client);
        let mut turns = Tally::default();
        self.all.iter().filter(move |booking| {
            let other = booking.client;
            let its_turn = other == client || turns.of(other) < before(own, all.of(other));
            turns.add(other);
            its_turn
        })
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
        job: &Newcomer<'_>,
        now: Instant,
        backlog: Duration,
        wait_max: Duration,
    ) -> Duration {
        let Newcomer { client, key: Some(key), cost } = *job else { return Duration::from_secs(1) };
        let told = match self.all.iter().position(|booking| booking.key == *key) {
            // It waits for the same jobs as before; that they take longer than thought is not its fault.
            Some(place) => {
                let was_due = self.all.remove(place).due;
                let weight = self.weight();
                let sooner = self.before(client).take_while(|booking| booking.due <= was_due);
                let before: Duration = sooner.map(|booking| booking.work(weight)).sum();
                let after = (backlog + before).saturating_sub(wait_max);
                Duration::from_secs(after.mul_f64(MARGIN).as_secs() + 1).min(AHEAD_MAX)
            }
            None => self.soonest(job, now, backlog, wait_max),
        };
        let due = now + told;
        if told < AHEAD_MAX && self.has_room(client) {
            let place = self.all.partition_point(|booking| booking.due <= due);
            let booking = Booking { client, key: key.clone(), due, cost, state: State::Awaited, wait_max };
            self.all.insert(place, booking);
        }
        told
    }

    /// Whether one more promise to this client can be kept in mind. Where there are too many, the client with the most loses its last.
    fn has_room(&mut self, client: ClientTag) -> bool {
        if self.all.len() < BOOKINGS_MAX {
            return true;
        }
        let all: Tally = self.all.iter().map(|booking| booking.client).collect();
        let Some(most) = gives_way(&all, client) else { return false };
        let last = self.all.iter().rposition(|booking| booking.client == most);
        last.map(|last| self.all.remove(last)).is_some()
    }

    /// The soonest whole second from now at which one more such job finds a wait that it can bear and pushes no other one too far
    /// back.
    fn soonest(&self, job: &Newcomer<'_>, now: Instant, backlog: Duration, wait_max: Duration) -> Duration {
        let cost = job.cost.mul_f64(self.weight());
        let (slow, exact) = (self.course(job, now, backlog, MARGIN), self.course(job, now, backlog, 1.0));
        let mut seconds = (1..AHEAD_MAX.as_secs()).map(Duration::from_secs);
        let fits = |after: &Duration| slow.at(*after).0 <= wait_max && cost <= exact.at(*after).1;
        seconds.find(fits).unwrap_or(AHEAD_MAX)
    }
}

#[cfg(test)]
mod tests;
