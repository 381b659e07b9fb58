//! The line of waiting jobs: how long it is for a client, and whose turn it is.

use std::time::{Duration, Instant};

use super::bookings::BOOKINGS_MAX;
use super::estimate::{USUAL_GUESS, Work};
use super::job::{JobId, Next, Over, ReservationId, Running, Waiting};
use super::turns::{GUEST_AFTER, GUEST_TIMES, Tally, before, gives_way};
use super::{Backlog, Desk, count};
use crate::content::ClientTag;

/// Whether a guest is due is not looked at more often than this.
const GUEST_LOOK_MIN: Duration = Duration::from_millis(10);

/// What stands in the line at a moment.
struct Line {
    /// Jobs that wait, in the order of their coming: whose, and what each costs.
    jobs: Vec<(ClientTag, Duration)>,
    /// Places held for such, by client: how many, and what a usual job of the client costs.
    places: Vec<(ClientTag, usize, Duration)>,
    /// Both, by client.
    waiting: Tally,
    /// What is left of each job that runs.
    running: Vec<Duration>,
}

impl Line {
    /// What each job takes that comes before one more of this client, in no certain order.
    fn each_before(&self, client: ClientTag, mut each: impl FnMut(Duration)) {
        let of_own = self.waiting.of(client);
        let mut turns = Tally::default();
        let mut comes_before = |other: ClientTag| {
            let its_turn = other == client || turns.of(other) < before(of_own, self.waiting.of(other));
            turns.add(other);
            its_turn
        };
        for (other, cost) in &self.jobs {
            if comes_before(*other) {
                each(*cost);
            }
        }
        for (other, places, usual) in &self.places {
            (0..*places).filter(|_| comes_before(*other)).for_each(|_| each(*usual));
        }
    }
}

impl Desk {
    /// Jobs that wait, and places held for such, by client.
    pub(super) fn waiting(&self) -> Tally {
        let reserved = self.reservations.values().copied();
        reserved.chain(self.queue.iter().map(|waiting| waiting.job.client)).collect()
    }

    fn running_by_client(&self) -> Tally {
        self.running.iter().map(|running| running.job.client).collect()
    }

    /// Whether one more job of this client may wait: there is a place, or a client with many gives one up.
    pub(super) fn has_room(&self, client: ClientTag) -> bool {
        !self.is_full() || self.who_gives_way(client).is_some()
    }

    pub(super) fn is_full(&self) -> bool {
        let idle = self.workers.saturating_sub(self.running.len());
        self.reservations.len() + self.queue.len() >= self.queue_capacity + idle
    }

    /// Whether one more job that was told to come now may wait where there is no room for others: beyond the queue's capacity. That it is
    /// kept out would break its promise, whether by such as came without one or by many that were promised, too: promises are spread over
    /// the time that the queue takes, and not over its places, of which small jobs need more in the same time.
    pub(super) fn has_room_for_promised(&self) -> bool {
        self.promised_jobs() < BOOKINGS_MAX
    }

    /// Jobs here that were told to come when they came, and wait or are on their way.
    pub(super) fn promised_jobs(&self) -> usize {
        let held = self.promised.iter().filter(|place| self.reservations.contains_key(place)).count();
        held + self.queue.iter().filter(|waiting| waiting.promised).count()
    }

    /// Which waiting job gives up its place for one more of this client, if one does: the last one of the client with the most that
    /// came without a promise.
    fn who_gives_way(&self, newcomer: ClientTag) -> Option<usize> {
        let client = gives_way(&self.waiting(), newcomer)?;
        self.queue.iter().rposition(|waiting| waiting.job.client == client && !waiting.promised)
    }

    pub(super) fn take_who_gives_way(&mut self, newcomer: ClientTag) -> Option<Waiting> {
        self.who_gives_way(newcomer).and_then(|at| self.queue.remove(at))
    }

    /// How long until a worker is free for one more job of this client: what is left of all that comes before it, shared out.
    /// Of the jobs of others that wait as many come before it as it is given turns between. `own`: a place that it holds
    /// already; places that were given later come after it.
    pub(super) fn wait(&self, now: Instant, client: ClientTag, own: Option<ReservationId>) -> Duration {
        self.wait_for(now, client, own, || self.usual(client, now).unwrap_or(USUAL_GUESS))
    }

    /// The same for a job of which is known how long it keeps a worker.
    pub(super) fn wait_for(
        &self,
        now: Instant,
        client: ClientTag,
        own: Option<ReservationId>,
        cost: impl FnOnce() -> Duration,
    ) -> Duration {
        if self.is_worker_free(own) {
            return Duration::ZERO;
        }
        self.wait_in(&self.line(now, own), client, cost)
    }

    /// When a worker is free for one more job of this client: what comes before it begins in its turn, each at the first worker that
    /// comes free (list scheduling). No later than [`Self::wait`], which says when the work before it is done by all workers: that is what
    /// a promise goes by, since it adds up.
    pub(super) fn begins_after(
        &self,
        now: Instant,
        client: ClientTag,
        own: Option<ReservationId>,
    ) -> Duration {
        if self.is_worker_free(own) {
            return Duration::ZERO;
        }
        self.begins_in(&self.line(now, own), now, client)
    }

    /// The same for a client of which nothing is known, were all that is here before it.
    pub(super) fn wait_of_all(&self, now: Instant) -> Duration {
        if self.is_worker_free(None) {
            return Duration::ZERO;
        }
        // What is here is looked at once, and not for each client.
        let line = self.line(now, None);
        let mut clients = line.waiting.clone();
        self.running.iter().for_each(|running| clients.add(running.job.client));
        clients.iter().map(|(client, _)| self.begins_in(&line, now, client)).max().unwrap_or_default()
    }

    /// Whether one more job would be begun at once, or the one of this place.
    fn is_worker_free(&self, own: Option<ReservationId>) -> bool {
        self.running.len() + self.places_before(own).count() + self.queue.len() < self.workers
    }

    /// The places held for jobs on their way that come before one more, or before the job of this place: those that were given before
    /// it. Did each count all others, three jobs that come to two idle workers would see two before them, and all would go elsewhere.
    fn places_before(
        &self,
        own: Option<ReservationId>,
    ) -> impl DoubleEndedIterator<Item = (&ReservationId, &ClientTag)> {
        match own.filter(|own| self.reservations.contains_key(own)) {
            Some(own) => self.reservations.range(..own),
            None => self.reservations.range(..),
        }
    }

    /// All that waits and runs before one more job, or before the one of this place; and what it costs.
    fn line(&self, now: Instant, own: Option<ReservationId>) -> Line {
        let places: Tally = self.places_before(own).map(|(_, client)| *client).collect();
        let mut waiting = places.clone();
        let jobs = self.queue.iter().map(|job| {
            waiting.add(job.job.client);
            (job.job.client, self.cost(Work::from(job), now))
        });
        let jobs = jobs.collect();
        let usual = |client| self.usual(client, now).unwrap_or(USUAL_GUESS);
        let places = places.iter().map(|(client, places)| (client, places, usual(client))).collect();
        let running = self.running.iter().map(|running| self.remains(running, now)).collect();
        Line { jobs, places, waiting, running }
    }

    /// As [`Self::wait_for`], in a line that has no worker free.
    fn wait_in(&self, line: &Line, client: ClientTag, cost: impl FnOnce() -> Duration) -> Duration {
        let mut work = Duration::ZERO;
        line.each_before(client, |more| work += more);
        self.wait_behind(work, line, client, cost)
    }

    /// The same where it is known how much work that waits comes before it.
    fn wait_behind(
        &self,
        work: Duration,
        line: &Line,
        client: ClientTag,
        cost: impl FnOnce() -> Duration,
    ) -> Duration {
        let mut running = self.share(line.running.iter().sum());
        if let Some(after) = self.guest_after(client, cost) {
            // It need not wait for the end of what others keep all workers with.
            running = running.min(after);
        }
        self.share(work) + running
    }

    /// As [`Self::begins_after`], in a line that has no worker free.
    fn begins_in(&self, line: &Line, now: Instant, client: ClientTag) -> Duration {
        let mut free = line.running.clone();
        free.resize(free.len().max(self.workers), Duration::ZERO);
        // A worker for guests takes no other job.
        free.sort_unstable();
        free.drain(..free.len() - self.workers);
        let mut before = Duration::ZERO;
        line.each_before(client, |work| {
            before += work;
            if let Some(first) = free.iter_mut().min() {
                *first += work;
            }
        });
        let wait = self.wait_behind(before, line, client, || self.usual(client, now).unwrap_or(USUAL_GUESS));
        free.into_iter().min().unwrap_or_default().min(wait)
    }

    /// How much work stands before a client's job that comes now, and holds this place already if it holds one.
    pub fn backlog(&self, now: Instant, client: ClientTag, own: Option<ReservationId>) -> Backlog {
        let waiting = self.places_before(own).count() + self.queue.len();
        let jobs = (waiting + self.running.len()) * 1000 / self.workers;
        let wait = self.begins_after(now, client, own);
        // Before anything was learned a wait is a guess, unless there is none.
        let known = wait.is_zero() || self.speeds.service(now).is_some();
        Backlog { jobs_per_worker_permille: count(jobs), wait_ms: known.then(|| millis(wait)) }
    }

    /// For how long others have to keep all workers before a job of this client gets one beyond them; none where a worker will be free
    /// for it by its turn. What one other client keeps all of them with may take hours, and so may what several do that agree: so
    /// a job that takes `cost` waits no longer than some times that, whatever the jobs before it are.
    fn guest_after(&self, client: ClientTag, cost: impl FnOnce() -> Duration) -> Option<Duration> {
        if self.running.len() != self.workers {
            return None;
        }
        let first = self.running.first()?.job.client;
        let (mut own, mut one_host) = (false, true);
        for running in &self.running {
            own |= running.job.client == client;
            one_host &= running.job.client == first;
        }
        match (own, one_host) {
            (true, _) => None,
            (false, true) => Some(GUEST_AFTER),
            (false, false) => Some(cost().saturating_mul(GUEST_TIMES).max(GUEST_AFTER)),
        }
    }

    /// When a waiting job gets a worker beyond those that there are: at once, or so much later.
    fn guest_is_due_in(&self, waiting: &Waiting, now: Instant) -> Option<Duration> {
        let after = self.guest_after(waiting.job.client, || self.cost(Work::from(waiting), now))?;
        let begun = self.running.iter().map(|running| running.since).max()?;
        Some(after.saturating_sub(now.saturating_duration_since(begun)))
    }

    /// What a worker that is free has to do. `is_gone`: whether nobody waits for a job any more.
    pub fn next(&mut self, now: Instant, is_gone: impl Fn(JobId) -> bool) -> Next {
        match self.take_next(|_| true) {
            Some(waiting) => self.begin(waiting, now, is_gone),
            None => Next::Idle,
        }
    }

    /// What one worker more than there are has to do: it works for guests, clients that find all workers kept by others for long.
    pub fn next_guest(&mut self, now: Instant, is_gone: impl Fn(JobId) -> bool) -> Next {
        let due: Vec<_> = self.queue.iter().map(|waiting| self.guest_is_due_in(waiting, now)).collect();
        if let Some(waiting) = self.take_next(|at| due[at].is_some_and(|due| due.is_zero())) {
            return self.begin(waiting, now, is_gone);
        }
        if self.queue.is_empty() {
            return Next::Idle;
        }
        let soonest = due.into_iter().flatten().min().unwrap_or(GUEST_AFTER);
        Next::Later(soonest.clamp(GUEST_LOOK_MIN, GUEST_AFTER))
    }

    /// Takes out of the queue whose turn it is, of the places that `may`.
    fn take_next(&mut self, may: impl Fn(usize) -> bool) -> Option<Waiting> {
        let running = self.running_by_client();
        let places: Vec<usize> = (0..self.queue.len()).filter(|at| may(*at)).collect();
        let waiting = places.iter().map(|at| self.queue[*at].job.client);
        let (at, _) = self.turns.next(waiting, &running)?;
        self.queue.remove(places[at])
    }

    /// Begins a job that came out of the queue, if that is of any use.
    fn begin(&mut self, waiting: Waiting, now: Instant, is_gone: impl Fn(JobId) -> bool) -> Next {
        let Waiting { id, job, memo, .. } = waiting;
        if is_gone(id) || self.is_hopeless(&job, now) {
            self.totals.cancelled += 1;
            let left = job.deadline.saturating_duration_since(now);
            return Next::Over(id, if left.is_zero() { Over::Late } else { Over::Overtaken(left) });
        }
        self.turns.begin(job.client, now);
        self.totals.begun += 1;
        self.running.push(Running { id, job, since: now, part: None, memo });
        Next::Begin(id)
    }
}

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
