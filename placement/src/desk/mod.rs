//! One node's desk: which jobs wait, which run, who is taken on and who is told to come back when.
//!
//! A job first gets a place ([`Desk::reserve`]), then is submitted into it, then is begun by a worker that is free ([`Desk::next`])
//! and ended by it. Who is refused can be told when to come back ([`Desk::book`]): that promise is kept against all who come
//! later. All is by the clients: workers and queue are shared out among them, and not among jobs.
//!
//! The threads, the files and the clock are outside. Jobs are ids and values here.

mod admission;
mod asked;
mod backlog;
mod belief;
mod bookings;
mod course;
mod estimate;
mod job;
mod line;
#[cfg(test)]
mod model;
mod predictions;
mod ready;
mod speed;
mod speeds;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use admission::Standing;
pub use asked::Asked;
pub use backlog::Backlog;
pub use belief::{Speed, believed};
use bookings::{Bookings, Newcomer};
pub use estimate::Estimate;
use estimate::Work;
pub use job::{Ending, Entry, Granted, JobId, JobSpec, Next, Over, Refusal, ReservationId, Totals, Unseen};
use job::{Running, Waiting};
pub use predictions::Predictions;
pub use ready::Ready;
use speeds::{Memo, Speeds};
pub use turns::{Tally, Turns};

use crate::content::{ClientTag, ContentId};
use crate::profile::ProfileName;

/// The least that a client is told to stay away, where the queue is full.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// One node's queue, admission, bookings, speeds and estimates.
#[derive(Debug)]
pub struct Desk {
    workers: usize,
    queue_capacity: usize,
    queue: VecDeque<Waiting>,
    running: Vec<Running>,
    /// Places held for jobs that are still on their way.
    reservations: BTreeMap<ReservationId, ClientTag>,
    /// Places whose jobs are with peers: they hold nothing, and are there again for a job that comes back.
    away: BTreeSet<ReservationId>,
    /// Places for jobs that were told to come now, until they are submitted.
    promised: BTreeSet<ReservationId>,
    turns: Turns,
    draining: bool,
    speeds: Speeds,
    bookings: Bookings,
    totals: Totals,
    last_id: u64,
}

/// What is at a desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Jobs waiting.
    pub queued: usize,
    /// Those of them that came back from a peer: they may wait beyond the queue's capacity.
    pub came_back: usize,
    /// Places held for jobs that are on their way.
    pub reserved: usize,
    /// Of both those that were told to come when they came: they may be here beyond the queue's capacity.
    pub promised: usize,
    /// Jobs with a worker.
    pub running: usize,
    /// Jobs that are with peers, and may come back.
    pub away: usize,
}

/// A reading of a desk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeskStats {
    /// Jobs waiting.
    pub queued: usize,
    /// Those of them that came back from a peer: they may wait beyond the queue's capacity.
    pub came_back: usize,
    /// Places held for jobs that are on their way.
    pub reserved: usize,
    /// Jobs with a worker.
    pub running: usize,
    /// Mean time of one job with a worker, lately; none before the first.
    pub service: Option<Duration>,
    /// Learned speed of one worker; none before the first job.
    pub speed: Option<Speed>,
    /// How long a job that comes now waits for a worker, were all that is here before it.
    pub wait: Duration,
    /// What has become of jobs so far.
    pub totals: Totals,
}

impl Desk {
    /// An empty desk. `workers`: jobs that run at once, at least one. `queue_capacity_jobs`: jobs that may wait.
    pub fn new(workers: usize, queue_capacity_jobs: usize) -> Self {
        Self {
            workers: workers.max(1),
            queue_capacity: queue_capacity_jobs,
            queue: VecDeque::new(),
            running: Vec::new(),
            reservations: BTreeMap::new(),
            away: BTreeSet::new(),
            promised: BTreeSet::new(),
            turns: Turns::default(),
            draining: false,
            speeds: Speeds::default(),
            bookings: Bookings::default(),
            totals: Totals::default(),
            last_id: 0,
        }
    }

    /// Jobs that run at once.
    pub const fn workers(&self) -> usize {
        self.workers
    }

    /// Jobs that may wait.
    pub const fn queue_capacity_jobs(&self) -> usize {
        self.queue_capacity
    }

    /// Holds a place for a job, if it can be done: there is room, and by what was learned there is time. One that was told to come
    /// back now goes before those that were not.
    pub fn reserve(&mut self, now: Instant, job: &JobSpec, entry: Entry) -> Result<Granted, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        self.bookings.prune(now);
        let left = job.deadline.saturating_duration_since(now);
        let estimate = self.estimate(now, job.client, &job.profile, job.work_pixels);
        let late = || Refusal::TooLate { needs: estimate.wait + estimate.service.unwrap_or_default(), left };
        if left.is_zero() || estimate.service.is_some_and(|service| service > left) {
            return Err(late());
        }
        let key = job.booking_key();
        let booked = entry == Entry::Booked && self.bookings.is_due(now, &key);
        let has_room = self.has_room(job.client) || (booked && self.has_room_for_promised());
        if !has_room {
            let retry_after = estimate.wait.max(RETRY_AFTER_MIN);
            return Err(Refusal::Full { waiting: self.waiting().all(), retry_after });
        }
        let standing = if booked { Standing::Booked } else { Standing::New };
        let wait_max = admission::wait_max(left, estimate.service, standing);
        let fits = if booked {
            estimate.wait <= wait_max
        } else {
            let key = (entry == Entry::Booked).then_some(&key);
            let cost = self.share(self.cost(Work::from(job), now));
            self.bookings.admit(&Newcomer { client: job.client, key, cost }, now, estimate.wait, wait_max)
        };
        if !fits {
            return Err(late());
        }
        if booked {
            self.bookings.arrived(&key);
        }
        Ok(self.grant(now, job.client, booked))
    }

    /// The same for a job of which nothing is known yet but its content, if one like it would be taken.
    pub fn reserve_unseen(&mut self, now: Instant, job: &Unseen<'_>) -> Option<Granted> {
        let booked = self.admits_unseen(now, job)?;
        if booked {
            self.bookings.arrived(&(job.content, job.profile.clone()));
        }
        Some(self.grant(now, job.client, booked))
    }

    /// Whether [`Self::reserve_unseen`] would give a place.
    pub fn would_reserve_unseen(&mut self, now: Instant, job: &Unseen<'_>) -> bool {
        self.admits_unseen(now, job).is_some()
    }

    /// Whether it would be taken, and if so, whether because it was told to come now.
    fn admits_unseen(&mut self, now: Instant, job: &Unseen<'_>) -> Option<bool> {
        if self.draining {
            return None;
        }
        self.bookings.prune(now);
        let (key, has_room) = ((job.content, job.profile.clone()), self.has_room(job.client));
        if self.bookings.is_due(now, &key) {
            return (has_room || self.has_room_for_promised()).then_some(true);
        }
        if !has_room {
            return None;
        }
        let cost = self.usual_cost(job.client, job.profile, now);
        let left = job.deadline.saturating_duration_since(now);
        let wait_max = admission::wait_max(left, Some(cost), Standing::New);
        let newcomer = Newcomer { client: job.client, key: Some(&key), cost: self.share(cost) };
        let wait = self.wait(now, job.client, None);
        self.bookings.admit(&newcomer, now, wait, wait_max).then_some(false)
    }

    /// Takes a place for a client that [has room](Self::has_room).
    fn grant(&mut self, now: Instant, client: ClientTag, booked: bool) -> Granted {
        let displaced = if self.is_full() { self.take_who_gives_way(client) } else { None };
        self.totals.cancelled += u64::from(displaced.is_some());
        let reservation = ReservationId(self.id());
        self.reservations.insert(reservation, client);
        if booked {
            self.promised.insert(reservation);
        }
        let displaced = displaced.map(|waiting| (waiting.id, self.wait(now, waiting.job.client, None)));
        Granted { reservation, booked, displaced }
    }

    /// Gives a place back that was not used.
    pub fn release(&mut self, reservation: ReservationId) {
        self.reservations.remove(&reservation);
        self.away.remove(&reservation);
        self.promised.remove(&reservation);
    }

    /// The job of this place is with a peer now. So it is no work here, and other jobs may take the room; should it come back, it is
    /// submitted into its place as before, beyond the queue's capacity if need be. As many such places are kept as jobs may wait.
    pub fn send_away(&mut self, reservation: ReservationId) {
        if self.reservations.remove(&reservation).is_some() && self.away.len() < self.queue_capacity {
            self.away.insert(reservation);
        }
    }

    /// Puts a job into its place, which is used up by this, whatever comes of it. It is refused only if, now that more is known, it
    /// can't be done in time even if all goes as estimated.
    pub fn submit(
        &mut self,
        now: Instant,
        reservation: ReservationId,
        job: JobSpec,
    ) -> Result<JobId, Refusal> {
        let is_here = self.reservations.remove(&reservation).is_some();
        let came_back = self.away.remove(&reservation);
        let promised = self.promised.remove(&reservation);
        if self.draining {
            return Err(Refusal::Draining);
        }
        let estimate = self.estimate(now, job.client, &job.profile, job.work_pixels);
        let needs = estimate.wait + estimate.service.unwrap_or_default();
        let left = job.deadline.saturating_duration_since(now);
        if left.is_zero() || needs > left {
            return Err(Refusal::TooLate { needs, left });
        }
        if !is_here && !came_back && self.is_full() {
            let retry_after = estimate.wait.max(RETRY_AFTER_MIN);
            return Err(Refusal::Full { waiting: self.waiting().all(), retry_after });
        }
        self.bookings.remove(&job.booking_key());
        let id = JobId(self.id());
        self.queue.push_back(Waiting { id, job, came_back, promised, memo: Memo::default() });
        Ok(id)
    }

    /// How far a running job has come: a part of 1, or nothing if that can't be told.
    pub fn progress(&mut self, id: JobId, part: Option<f64>) {
        if let Some(running) = self.running.iter_mut().find(|running| running.id == id) {
            running.part = part;
        }
    }

    /// A job that was begun has ended, and its worker is free.
    pub fn end(&mut self, now: Instant, id: JobId, ending: Ending) {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return };
        let Running { job, since, part, .. } = self.running.remove(at);
        let ran = now.saturating_duration_since(since);
        match ending {
            Ending::Done => {
                self.totals.done += 1;
                self.speeds.learn(job.client, &job.profile, job.work_pixels, ran, now);
            }
            Ending::Ended => {
                self.totals.cancelled += 1;
                // At its deadline whoever asked goes, and the job is cancelled; a client that goes before says nothing.
                if now >= job.deadline {
                    let work = (&job.profile, job.work_pixels);
                    self.speeds.learn_unfinished(job.client, work, ran, part, now);
                }
            }
            Ending::Failed => self.totals.failed += 1,
        }
    }

    /// Takes a job out of the queue that nobody waits for any more. False: it does not wait here.
    pub fn withdraw(&mut self, id: JobId) -> bool {
        let Some(at) = self.queue.iter().position(|waiting| waiting.id == id) else { return false };
        self.queue.remove(at);
        self.totals.cancelled += 1;
        true
    }

    /// Takes nothing more from now on. What waits and runs stays.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Takes all waiting jobs out of the queue, in its order, to be done elsewhere.
    pub fn hand_over(&mut self) -> Vec<JobId> {
        self.queue.drain(..).map(|waiting| waiting.id).collect()
    }

    /// The same, for good.
    pub fn cancel_waiting(&mut self) -> Vec<JobId> {
        let gone = self.hand_over();
        self.totals.cancelled += gone.len() as u64;
        gone
    }

    /// Whether no job is here.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// Whether jobs wait.
    pub fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Jobs that wait for a worker, and jobs that have one.
    pub fn jobs(&self) -> (usize, usize) {
        (self.queue.len(), self.running.len())
    }

    /// Places that are held for jobs on their way.
    pub fn places_held(&self) -> usize {
        self.reservations.len()
    }

    /// When a job that is refused now will be taken, if it is there at that time and has then as long as `allowed`: that place is
    /// kept for it. `work_pixels` is what is known of it. None from a desk that takes nothing more, and where it would not be done even
    /// then, so that no place is kept in vain.
    pub fn book(
        &mut self,
        now: Instant,
        (client, content, profile): (ClientTag, ContentId, &ProfileName),
        work_pixels: Option<u64>,
        allowed: Duration,
    ) -> Option<Duration> {
        if self.draining {
            return None;
        }
        self.bookings.prune(now);
        let work = work_pixels.map(|pixels| Work { client, profile, pixels, memo: None });
        let service = work.and_then(|work| self.learned(work, now)).map(|known| known.time);
        if service.is_some_and(|service| service > allowed) {
            return None;
        }
        let usual = self.usual_cost(client, profile, now);
        let cost = work.map_or(usual, |work| self.cost(work, now));
        // A queue of places has its end, too.
        let queue_max = self.share(usual * count(self.queue_capacity));
        let wait_max = admission::wait_max(allowed, Some(cost), Standing::New).min(queue_max);
        let (mut wait, mut share) = (self.wait_for(now, client, None, || cost), self.share(cost));
        if self.speeds.mean(client, now).is_none() {
            // Guesses. Who comes too late loses nothing: others fill the time until then.
            (wait, share) = (wait * 2, share * 2);
        }
        let key = (content, profile.clone());
        let job = Newcomer { client, key: Some(&key), cost: share };
        Some(self.bookings.book(&job, now, wait, wait_max))
    }

    /// A job that may have been told to come now has come, and waits for another job's work on the same. What it was promised stays
    /// its own meanwhile, and keeps no other job waiting. To be said again every few seconds.
    pub fn hold_booking(&mut self, now: Instant, content: ContentId, profile: &ProfileName) {
        self.bookings.prune(now);
        self.bookings.hold(now, &(content, profile.clone()));
    }

    /// The result of this is there: a client that was told to come back for it needs no place.
    pub fn unbook(&mut self, content: ContentId, profile: &ProfileName) {
        self.bookings.remove(&(content, profile.clone()));
    }

    /// How long such a job of this client would wait and take here.
    pub fn estimate(
        &self,
        now: Instant,
        client: ClientTag,
        profile: &ProfileName,
        work_pixels: u64,
    ) -> Estimate {
        let work = Work { client, profile, pixels: work_pixels, memo: None };
        let known = self.learned(work, now);
        Estimate {
            wait: self.wait_for(now, client, None, || self.cost(work, now)),
            service: known.map(|known| known.time),
            sure: known.is_some_and(|known| known.sure),
        }
    }

    /// How long a client's job of this profile keeps a worker here, once enough of them were done to tell.
    pub fn usual_service(&self, now: Instant, client: ClientTag, profile: &ProfileName) -> Option<Duration> {
        self.speeds.usual(client, profile, now)
    }

    /// How many jobs and places are here.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            queued: self.queue.len(),
            came_back: self.queue.iter().filter(|waiting| waiting.came_back).count(),
            promised: self.promised_jobs(),
            reserved: self.reservations.len(),
            running: self.running.len(),
            away: self.away.len(),
        }
    }

    /// A reading.
    pub fn stats(&self, now: Instant) -> DeskStats {
        let Occupancy { queued, came_back, reserved, running, .. } = self.occupancy();
        DeskStats {
            queued,
            came_back,
            reserved,
            running,
            service: self.speeds.service(now),
            speed: self.speeds.speed(),
            wait: self.wait_of_all(now),
            totals: self.totals,
        }
    }

    /// What so much work adds to the wait of those behind it.
    fn share(&self, work: Duration) -> Duration {
        work / count(self.workers)
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// A number of jobs as a factor for durations.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
