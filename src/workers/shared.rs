//! What the pool's handles and its worker threads have in common: the queue, what runs, and what was learned.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::admission::{self, Standing};
use super::backlog::Backlog;
use super::bookings::{BookingKey, Bookings, Newcomer};
use super::cancel::Cancel;
use super::error::TranscodeError;
use super::estimate::{USUAL_GUESS, Work};
use super::job::{Bench, Job, Made, Transcoded};
use super::pool::{Queued, millis};
use super::progress::Progress;
use super::speed::Estimate;
use super::speeds::Speeds;
use super::turns::{GUEST_AFTER, Tally, Turns, before, gives_way};
use crate::content::{ClientTag, MediaInfo};
use crate::profile::Profile;

/// Whether a guest is due is not looked at more often than this.
const GUEST_LOOK_MIN: Duration = Duration::from_millis(10);
/// x264's `fast` gains little beyond this many threads.
const THREADS_PER_CHILD_MAX: usize = 4;

/// One job in the pool.
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) cancel: Cancel,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) submitted: Instant,
    pub(super) reply: Mutex<Option<oneshot::Sender<Result<Transcoded, TranscodeError>>>>,
}

/// What the pool's handles and its threads have in common.
pub(super) struct Shared {
    pub(super) bench: Bench,
    pub(super) workers: usize,
    pub(super) queue_capacity: usize,
    pub(super) cores: usize,
    pub(super) state: Mutex<State>,
    pub(super) work: Condvar,
    /// The same for the thread that works for guests: see [`Shared::guest`].
    pub(super) guests: Condvar,
    /// Counts up whenever a job leaves the pool.
    pub(super) left: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Arc<Task>>,
    pub(super) running: Vec<Running>,
    /// Places held for jobs that are still on their way.
    pub(super) reserved: Tally,
    pub(super) turns: Turns,
    pub(super) draining: bool,
    pub(super) closed: bool,
    pub(super) speeds: Speeds,
    pub(super) bookings: Bookings,
    /// Cores that the last child kept busy.
    pub(super) cores_used: Option<f64>,
    pub(super) totals: Totals,
}

pub(super) struct Running {
    pub(super) task: Arc<Task>,
    pub(super) since: Instant,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) transcodes: u64,
    pub(super) completed: u64,
    pub(super) failures: u64,
    pub(super) cancelled: u64,
}

impl Task {
    /// Answers whoever waits, if anyone still does.
    pub(super) fn answer(&self, result: Result<Transcoded, TranscodeError>) {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // An answer that nobody hears is dropped, and its file with it.
            drop(reply.send(result));
        }
    }
}

impl State {
    /// Jobs that wait, and places held for such, by client.
    pub(super) fn waiting(&self) -> Tally {
        let mut waiting = self.reserved.clone();
        self.queue.iter().for_each(|task| waiting.add(task.job.client));
        waiting
    }

    /// Which waiting job gives up its place for one more of this client, if one does: the last one of the client with the most.
    fn who_gives_way(&self, newcomer: ClientTag) -> Option<usize> {
        let client = gives_way(&self.waiting(), newcomer)?;
        self.queue.iter().rposition(|task| task.job.client == client)
    }

    /// Takes out of the queue whose turn it is, of the clients that `may`.
    fn take_next(&mut self, may: impl Fn(ClientTag) -> bool) -> Option<Arc<Task>> {
        let running: Tally = self.running.iter().map(|running| running.task.job.client).collect();
        let places: Vec<usize> = (0..self.queue.len()).filter(|at| may(self.queue[*at].job.client)).collect();
        let waiting = places.iter().map(|at| self.queue[*at].job.client);
        let (at, _) = self.turns.next(waiting, &running)?;
        self.queue.remove(places[at])
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A worker that panicked has left the state whole: nothing in a critical section can.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.running.is_empty()
    }

    /// Takes a cancelled task out of the queue, so that its place is free at once.
    pub(super) fn forget(&self, task: &Arc<Task>) {
        let mut state = self.lock();
        let before = state.queue.len();
        state.queue.retain(|queued| !Arc::ptr_eq(queued, task));
        if state.queue.len() < before {
            state.totals.cancelled += 1;
            drop(state);
            self.left.send_modify(|count| *count += 1);
        }
    }

    pub(super) fn begin_drain(&self, queued: Queued) {
        let mut state = self.lock();
        state.draining = true;
        if queued == Queued::HandOver {
            let tasks = std::mem::take(&mut state.queue);
            drop(state);
            for task in tasks {
                task.answer(Err(TranscodeError::Draining));
            }
        } else {
            drop(state);
        }
        self.left.send_modify(|count| *count += 1);
    }

    pub(super) fn cancel_all(&self) {
        let mut state = self.lock();
        let queued = std::mem::take(&mut state.queue);
        state.totals.cancelled += queued.len() as u64;
        for running in &state.running {
            running.task.cancel.set();
        }
        drop(state);
        for task in queued {
            task.answer(Err(TranscodeError::Cancelled));
        }
        self.left.send_modify(|count| *count += 1);
    }

    /// How long until a worker is free for one more job of this client: what is left of all that comes before it, shared out.
    /// Of the jobs of others that wait as many come before it as it is given turns between.
    pub(super) fn wait(&self, state: &State, client: ClientTag) -> Duration {
        let waiting = state.waiting();
        if state.running.len() + waiting.all() < self.workers {
            return Duration::ZERO;
        }
        let own = waiting.of(client);
        let mut turns = Tally::default();
        let mut comes_before = |other: ClientTag| {
            let its_turn = other == client || turns.of(other) < before(own, waiting.of(other));
            turns.add(other);
            its_turn
        };
        let queued = state.queue.iter().filter(|task| comes_before(task.job.client));
        let mut work: Duration = queued.map(|task| state.cost(Work::of_task(task))).sum();
        for (other, places) in state.reserved.iter() {
            let usual = state.usual(other).unwrap_or(USUAL_GUESS);
            work += usual * count((0..places).filter(|_| comes_before(other)).count());
        }
        let running: Duration = state.running.iter().map(|running| state.remains(running)).sum();
        let mut running = self.share(running);
        if self.guest_is_due_in(state, client, Instant::now()).is_some() {
            // It need not wait for the end of what somebody else keeps all workers with.
            running = running.min(GUEST_AFTER);
        }
        self.share(work) + running
    }

    /// The same for a client of which nothing is known, were all that is here before it.
    pub(super) fn wait_of_all(&self, state: &State) -> Duration {
        let clients = state.waiting().iter().map(|(client, _)| client).collect::<Vec<_>>();
        let running = state.running.iter().map(|running| running.task.job.client);
        clients.into_iter().chain(running).map(|client| self.wait(state, client)).max().unwrap_or_default()
    }

    /// Whether one more job of this client may wait: there is a place, or somebody with many gives one up.
    pub(super) fn has_room(&self, state: &State, client: ClientTag) -> bool {
        !self.is_full(state) || state.who_gives_way(client).is_some()
    }

    fn is_full(&self, state: &State) -> bool {
        let idle = self.workers.saturating_sub(state.running.len());
        state.waiting().all() >= self.queue_capacity + idle
    }

    /// Takes a place for a client that [has room](Self::has_room). What comes back gave up its own, and is to be
    /// [answered](Self::displace).
    pub(super) fn take_place(&self, state: &mut State, client: ClientTag) -> Option<Arc<Task>> {
        let displaced = if self.is_full(state) {
            state.who_gives_way(client).and_then(|at| state.queue.remove(at))
        } else {
            None
        };
        state.reserved.add(client);
        state.totals.cancelled += u64::from(displaced.is_some());
        displaced
    }

    /// Answers a job whose place was somebody else's turn. Not under the lock.
    pub(super) fn displace(&self, task: Option<Arc<Task>>, retry_after: Duration) {
        let Some(task) = task else { return };
        tracing::info!(content = %task.job.content, "a waiting job makes room for another client's");
        task.answer(Err(TranscodeError::Overtaken { retry_after }));
        self.left.send_modify(|count| *count += 1);
    }

    /// When a job of this client gets a worker beyond those that there are: at once, or so much later. A client whose jobs keep all
    /// workers for long keeps nobody else waiting until they end, which may be hours.
    fn guest_is_due_in(&self, state: &State, client: ClientTag, now: Instant) -> Option<Duration> {
        let running: Tally = state.running.iter().map(|running| running.task.job.client).collect();
        let host = running.only().filter(|host| *host != client)?;
        if running.of(host) != self.workers {
            return None;
        }
        let begun = state.running.iter().map(|running| running.since).max()?;
        Some(GUEST_AFTER.saturating_sub(now.saturating_duration_since(begun)))
    }

    /// Whether a job of which nothing is known but its content would be taken, and if so, whether because it was told to come
    /// now.
    pub(super) fn would_take(
        &self,
        state: &mut State,
        client: ClientTag,
        profile: &Profile,
        key: &BookingKey,
        deadline: Instant,
    ) -> Option<bool> {
        if state.draining || state.closed || !self.has_room(state, client) {
            return None;
        }
        let now = Instant::now();
        state.bookings.prune(now);
        if state.bookings.is_due(now, key) {
            return Some(true);
        }
        let cost = state.usual_cost(client, profile);
        let left = deadline.saturating_duration_since(now);
        let wait_max = admission::wait_max(left, Some(cost), Standing::New);
        let job = Newcomer { client, key: Some(key), cost: self.share(cost) };
        state.bookings.admit(&job, now, self.wait(state, client), wait_max).then_some(false)
    }

    /// What so much work adds to the wait of those behind it.
    pub(super) fn share(&self, work: Duration) -> Duration {
        work / count(self.workers)
    }

    pub(super) fn backlog(&self, state: &State, client: ClientTag) -> Backlog {
        let jobs = (state.waiting().all() + state.running.len()) * 1000 / self.workers;
        Backlog {
            jobs_per_worker_permille: u32::try_from(jobs).unwrap_or(u32::MAX),
            wait_ms: state.speeds.service(Instant::now()).map(|_| millis(self.wait(state, client))),
        }
    }

    pub(super) fn estimate(
        &self,
        state: &State,
        client: ClientTag,
        profile: &Profile,
        info: &MediaInfo,
    ) -> Estimate {
        let known = state.estimate(Work::of(client, profile, info), Instant::now());
        Estimate {
            wait: self.wait(state, client),
            service: known.map(|known| known.time),
            sure: known.is_some_and(|known| known.sure),
        }
    }

    /// A worker thread's life.
    pub(super) fn work(&self) {
        while let Some((task, threads)) = self.next() {
            self.run(&task, threads);
        }
    }

    /// The life of the thread that works for guests: clients that find all workers kept by one other for long. One job at a time,
    /// with what the kernel gives it of the cores.
    pub(super) fn work_for_guests(&self) {
        while let Some((task, threads)) = self.next_guest() {
            self.run(&task, threads);
        }
    }

    fn run(&self, task: &Arc<Task>, threads: u16) {
        let since = Instant::now();
        task.progress.send_modify(|progress| progress.running = true);
        let queued = since.duration_since(task.submitted);
        let run = || {
            self.bench.run(&task.job, threads, &task.cancel, |progress| {
                task.progress.send_replace(progress);
            })
        };
        // A panic is a bug, and it costs its own job alone.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(TranscodeError::Io(io::Error::other("the worker panicked"))));
        let elapsed = since.elapsed();
        self.finished(task, elapsed, result.as_ref());
        task.answer(result.map(|made| Transcoded { result: made.result, elapsed, queued, threads }));
        // Last: who waits for the pool to be empty may end the process.
        self.left.send_modify(|count| *count += 1);
    }

    /// Waits for work; `None` when the pool is closed. Late and cancelled jobs are answered on the way.
    fn next(&self) -> Option<(Arc<Task>, u16)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let Some(task) = state.take_next(|_| true) else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            match self.begin(state, task) {
                Ok(begun) => return Some(begun),
                Err(again) => state = again,
            }
        }
    }

    /// The same for guests.
    fn next_guest(&self) -> Option<(Arc<Task>, u16)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let due = |task: &Task| self.guest_is_due_in(&state, task.job.client, now);
            let soonest = state.queue.iter().filter_map(|task| due(task)).min();
            if soonest.is_some_and(|due| due.is_zero()) {
                let host = state.running.first().map(|running| running.task.job.client);
                if let Some(task) = state.take_next(|client| Some(client) != host) {
                    match self.begin(state, task) {
                        Ok(begun) => return Some(begun),
                        Err(again) => state = again,
                    }
                    continue;
                }
            }
            // Looked at again in time where somebody waits, and with the next job that comes.
            state = if state.queue.is_empty() {
                self.guests.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let again = soonest.unwrap_or(GUEST_AFTER).max(GUEST_LOOK_MIN);
                self.guests.wait_timeout(state, again).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Begins a job that came out of the queue; one that is cancelled or too late is answered, and the lock taken again.
    fn begin<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        task: Arc<Task>,
    ) -> Result<(Arc<Task>, u16), MutexGuard<'a, State>> {
        let now = Instant::now();
        if task.cancel.is_set() || state.is_hopeless(&task, now) {
            state.totals.cancelled += 1;
            let left = task.job.deadline.saturating_duration_since(now);
            drop(state);
            // One that still had time was estimated too well, or others came first: it may come again.
            task.answer(Err(if left.is_zero() {
                TranscodeError::DeadlinePassed { running: false }
            } else {
                TranscodeError::Overtaken { retry_after: left }
            }));
            self.left.send_modify(|count| *count += 1);
            return Err(self.lock());
        }
        state.turns.begin(task.job.client, now);
        state.running.push(Running { task: Arc::clone(&task), since: now });
        state.totals.transcodes += 1;
        let busy = (state.running.len() + state.queue.len()).min(self.workers);
        let threads = threads_for(self.cores, busy, !state.queue.is_empty());
        Ok((task, threads.min(threads_of_use(state.cores_used))))
    }

    fn finished(&self, task: &Arc<Task>, elapsed: Duration, result: Result<&Made, &TranscodeError>) {
        let (now, job) = (Instant::now(), &task.job);
        let (profile, work) = (&job.profile.name, job.work_pixels());
        let mut state = self.lock();
        state.running.retain(|running| !Arc::ptr_eq(&running.task, task));
        match result {
            Ok(made) => {
                state.cores_used = made.cores_used.or(state.cores_used);
                state.totals.completed += 1;
                state.speeds.learn(job.client, profile, work, elapsed, now);
            }
            Err(TranscodeError::Cancelled | TranscodeError::DeadlinePassed { .. }) => {
                state.totals.cancelled += 1;
                // At its deadline whoever asked goes, and the job is cancelled; a client that goes before says nothing.
                if now >= job.deadline {
                    let part = task.progress.borrow().fraction;
                    state.speeds.learn_unfinished(job.client, (profile, work), elapsed, part, now);
                }
            }
            Err(_) => state.totals.failures += 1,
        }
    }
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Threads for a child that starts while `busy` workers (itself among them) have or will have work: the machine is full,
/// and not fuller. When nobody waits behind it, one more than its share: the others end before it does, and leave cores
/// that it can use.
fn threads_for(cores: usize, busy: usize, more_waits: bool) -> u16 {
    let share = cores.div_ceil(busy.max(1)) + usize::from(!more_waits);
    u16::try_from(share.min(cores).clamp(1, THREADS_PER_CHILD_MAX)).unwrap_or(1)
}

/// Threads that are of use on a machine that others keep busy, too (nodes beside this one): as many as the last child
/// got cores, and one more as soon as it got nearly all that it could use. More threads than cores only cost.
fn threads_of_use(cores_used: Option<f64>) -> u16 {
    cores_used.map_or(u16::MAX, |used| (used * 1.25).ceil().max(1.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::{threads_for, threads_of_use};

    #[test]
    fn threads_that_get_no_core_are_not_started() {
        assert_eq!(threads_of_use(None), u16::MAX);
        assert_eq!(threads_of_use(Some(0.4)), 1);
        assert_eq!(threads_of_use(Some(0.75)), 1);
        // One thread got all of a core: there may be more.
        assert_eq!(threads_of_use(Some(0.95)), 2);
        assert_eq!(threads_of_use(Some(1.9)), 3);
    }

    #[test]
    fn the_cores_are_shared_out_among_the_busy() {
        assert_eq!(threads_for(2, 2, true), 1);
        assert_eq!(threads_for(2, 9, true), 1);
        assert_eq!(threads_for(8, 2, true), 4);
        assert_eq!(threads_for(8, 3, true), 3);
    }

    #[test]
    fn the_last_one_in_the_line_gets_what_the_others_leave() {
        assert_eq!(threads_for(2, 1, false), 2);
        assert_eq!(threads_for(2, 2, false), 2);
        assert_eq!(threads_for(8, 8, false), 2);
        assert_eq!(threads_for(64, 1, false), 4);
        assert_eq!(threads_for(1, 0, false), 1);
    }
}
