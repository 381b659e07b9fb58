//! What the pool's handles and its worker threads have in common: the queue, what runs, and what was learned.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::admission::{self, Standing};
use super::backlog::Backlog;
use super::bookings::{BookingKey, Bookings};
use super::cancel::Cancel;
use super::error::TranscodeError;
use super::estimate::{USUAL_GUESS, Work};
use super::job::{Bench, Job, Made, Transcoded};
use super::pool::{Queued, millis};
use super::progress::Progress;
use super::speed::{Estimate, Speeds};
use crate::content::MediaInfo;
use crate::profile::Profile;

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
    /// Counts up whenever a job leaves the pool.
    pub(super) left: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Arc<Task>>,
    pub(super) running: Vec<Running>,
    /// Places held for jobs that are still on their way.
    pub(super) reserved: usize,
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

    /// How long until a worker is free for one more job: what is left of all that is here, shared out.
    pub(super) fn wait(&self, state: &State) -> Duration {
        if state.running.len() + state.queue.len() + state.reserved < self.workers {
            return Duration::ZERO;
        }
        let queued: Duration = state.queue.iter().map(|task| state.cost(Work::of_task(task))).sum();
        let running: Duration = state.running.iter().map(|running| state.remains(running)).sum();
        let reserved = state.usual().unwrap_or(USUAL_GUESS) * count(state.reserved);
        self.share(queued + reserved + running)
    }

    /// Whether one more job may wait.
    pub(super) fn has_room(&self, state: &State) -> bool {
        let idle = self.workers.saturating_sub(state.running.len());
        state.queue.len() + state.reserved < self.queue_capacity + idle
    }

    /// Whether a job of which nothing is known but its content would be taken, and if so, whether because it was told to come
    /// now.
    pub(super) fn would_take(
        &self,
        state: &mut State,
        profile: &Profile,
        key: &BookingKey,
        deadline: Instant,
    ) -> Option<bool> {
        if state.draining || state.closed || !self.has_room(state) {
            return None;
        }
        let now = Instant::now();
        state.bookings.prune(now);
        if state.bookings.is_due(now, key) {
            return Some(true);
        }
        let cost = state.usual_cost(profile);
        let left = deadline.saturating_duration_since(now);
        let wait_max = admission::wait_max(left, Some(cost), Standing::New);
        state.bookings.admit(Some(key), now, self.wait(state), self.share(cost), wait_max).then_some(false)
    }

    /// What so much work adds to the wait of those behind it.
    pub(super) fn share(&self, work: Duration) -> Duration {
        work / count(self.workers)
    }

    pub(super) fn backlog(&self, state: &State) -> Backlog {
        let jobs = (state.queue.len() + state.reserved + state.running.len()) * 1000 / self.workers;
        Backlog {
            jobs_per_worker_permille: u32::try_from(jobs).unwrap_or(u32::MAX),
            wait_ms: state.speeds.service(Instant::now()).map(|_| millis(self.wait(state))),
        }
    }

    pub(super) fn estimate(&self, state: &State, profile: &Profile, info: &MediaInfo) -> Estimate {
        Estimate {
            wait: self.wait(state),
            service: state.speeds.estimate(&profile.name, profile.work_pixels(info), Instant::now()),
        }
    }

    /// A worker thread's life.
    pub(super) fn work(&self) {
        while let Some((task, threads)) = self.next() {
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
            self.finished(&task, elapsed, result.as_ref());
            task.answer(result.map(|made| Transcoded { result: made.result, elapsed, queued, threads }));
            // Last: who waits for the pool to be empty may end the process.
            self.left.send_modify(|count| *count += 1);
        }
    }

    /// Waits for work; `None` when the pool is closed. Late and cancelled jobs are answered on the way.
    fn next(&self) -> Option<(Arc<Task>, u16)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let Some(task) = state.queue.pop_front() else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            if task.cancel.is_set() || state.is_hopeless(&task, now) {
                state.totals.cancelled += 1;
                drop(state);
                task.answer(Err(TranscodeError::DeadlinePassed { running: false }));
                self.left.send_modify(|count| *count += 1);
                state = self.lock();
                continue;
            }
            state.running.push(Running { task: Arc::clone(&task), since: now });
            state.totals.transcodes += 1;
            let busy = (state.running.len() + state.queue.len()).min(self.workers);
            let threads = threads_for(self.cores, busy, !state.queue.is_empty());
            return Some((task, threads.min(threads_of_use(state.cores_used))));
        }
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
                state.speeds.learn(profile, work, elapsed, now);
            }
            Err(TranscodeError::Cancelled | TranscodeError::DeadlinePassed { .. }) => {
                state.totals.cancelled += 1;
                // At its deadline whoever asked goes, and the job is cancelled; a client that goes before says nothing.
                if now >= job.deadline {
                    let part = task.progress.borrow().fraction;
                    state.speeds.learn_unfinished(profile, work, elapsed, part, now);
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
