use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::cancel::Cancel;
use super::error::{SubmitError, TranscodeError};
use super::job::{Bench, Job, Transcoded};
use super::probe::Prober;
use super::progress::Progress;
use super::sandbox::Sandbox;
use super::speed::{Estimate, Speeds};
use super::ticket::Ticket;
use super::tools::Tools;
use crate::content::{MediaInfo, MediaLimits};
use crate::ingest::DataDir;
use crate::profile::Profile;

/// x264's `fast` gains little beyond this many threads.
const THREADS_PER_CHILD_MAX: usize = 4;

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// ffmpeg children at once.
    pub workers: usize,
    /// Jobs that may wait.
    pub queue_capacity_jobs: usize,
    /// The programs.
    pub tools: Tools,
    /// How children are confined.
    pub sandbox: Sandbox,
    /// Bounds of one file.
    pub limits: MediaLimits,
    /// Where results are made.
    pub dir: DataDir,
}

/// A reading of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Jobs waiting.
    pub queued: usize,
    /// Jobs that may wait.
    pub queue_capacity: usize,
    /// Jobs being transcoded.
    pub running: usize,
    /// Jobs that may be transcoded at once.
    pub workers: usize,
    /// Recent mean time of one job with a worker, in milliseconds; 0 before the first.
    pub service_ms: u32,
    /// Learned speed of one worker, in thousands of pixels of work a second; 0 before the first.
    pub kilopixels_per_s: u32,
    /// How long a job that comes now is likely to wait for a worker, in milliseconds.
    pub wait_ms: u32,
    /// ffmpeg runs started here since the node's start.
    pub transcodes_total: u64,
    /// Those of them that gave a result.
    pub completed_total: u64,
    /// Those of them that failed.
    pub failures_total: u64,
    /// Jobs cancelled or past their deadline, in the queue or while running.
    pub cancelled_total: u64,
}

/// What happens to the jobs in the queue when a pool is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// They are run here, as far as the time goes.
    Finish,
    /// They are answered [`TranscodeError::Draining`] at once, for their owners to run them on another node.
    HandOver,
}

/// Runs jobs. Clones are the same pool; when the last is dropped, its jobs are cancelled and its threads end.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

struct Owner(Arc<Shared>);

/// One job in the pool.
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) cancel: Cancel,
    pub(super) progress: watch::Sender<Progress>,
    submitted: Instant,
    reply: Mutex<Option<oneshot::Sender<Result<Transcoded, TranscodeError>>>>,
}

/// What the pool's handles and its threads have in common.
pub(super) struct Shared {
    bench: Bench,
    workers: usize,
    queue_capacity: usize,
    cores: usize,
    state: Mutex<State>,
    work: Condvar,
    /// Counts up whenever a job leaves the pool.
    left: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Task>>,
    running: Vec<Running>,
    /// Places held for jobs that are still on their way.
    reserved: usize,
    draining: bool,
    closed: bool,
    speeds: Speeds,
    totals: Totals,
}

struct Running {
    task: Arc<Task>,
    since: Instant,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    transcodes: u64,
    completed: u64,
    failures: u64,
    cancelled: u64,
}

impl Pool {
    /// Starts the worker threads. They block on their children and are no part of any runtime.
    pub fn start(config: PoolConfig) -> io::Result<Self> {
        let cores = thread::available_parallelism()?.get();
        let tools = Arc::new(config.tools);
        let prober = Prober::new(Arc::clone(&tools), config.sandbox.clone(), config.limits.clone(), cores);
        let bench = Bench { tools, sandbox: config.sandbox, limits: config.limits, dir: config.dir, prober };
        let shared = Arc::new(Shared {
            bench,
            workers: config.workers.max(1),
            queue_capacity: config.queue_capacity_jobs,
            cores,
            state: Mutex::default(),
            work: Condvar::new(),
            left: watch::Sender::new(0),
        });
        // Owned before the first thread starts, so that a failure below ends those that did.
        let pool = Self(Arc::new(Owner(Arc::clone(&shared))));
        for index in 0..shared.workers {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Puts a job into the queue, if it can be done: there is room, and by what was learned there is time.
    pub fn submit(&self, job: Job) -> Result<Ticket, SubmitError> {
        self.reserve(&job.profile, &job.info, job.deadline)?.submit(job)
    }

    /// Holds a place in the queue for a job whose input is still on its way, under the same conditions as
    /// [`Self::submit`]. The place is free again when the [`Place`] is dropped unused.
    pub fn reserve(
        &self,
        profile: &Profile,
        info: &MediaInfo,
        deadline: Instant,
    ) -> Result<Place, SubmitError> {
        let shared = &self.0.0;
        profile.suits(info)?;
        let mut state = shared.lock();
        if state.draining || state.closed {
            return Err(SubmitError::Draining);
        }
        let estimate = shared.estimate(&state, profile, info);
        let idle = shared.workers.saturating_sub(state.running.len());
        let taken = state.queue.len() + state.reserved;
        if taken >= shared.queue_capacity + idle {
            let retry_after = estimate.wait.max(Duration::from_secs(1));
            return Err(SubmitError::QueueFull { queued: taken, retry_after });
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let needs = estimate.wait + estimate.service.unwrap_or_default();
        if left.is_zero() || needs > left {
            return Err(SubmitError::TooLate { needs, left });
        }
        state.reserved += 1;
        Ok(Place { shared: Arc::clone(shared), held: true })
    }

    /// How long such a job would wait and take here.
    pub fn estimate(&self, profile: &Profile, info: &MediaInfo) -> Estimate {
        self.0.0.estimate(&self.0.0.lock(), profile, info)
    }

    /// The ffprobe that goes with this pool.
    pub fn prober(&self) -> &Prober {
        &self.0.0.bench.prober
    }

    /// The programs this pool runs.
    pub fn tools(&self) -> &Tools {
        &self.0.0.bench.tools
    }

    /// A reading of the pool.
    pub fn stats(&self) -> PoolStats {
        let shared = &self.0.0;
        let state = shared.lock();
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        PoolStats {
            queued: state.queue.len(),
            queue_capacity: shared.queue_capacity,
            running: state.running.len(),
            workers: shared.workers,
            service_ms: state.speeds.service().map_or(0, millis),
            kilopixels_per_s: state.speeds.pixels_per_s().map_or(0, |speed| (speed / 1000.0) as u32),
            wait_ms: millis(shared.wait(&state)),
            transcodes_total: state.totals.transcodes,
            completed_total: state.totals.completed,
            failures_total: state.totals.failures,
            cancelled_total: state.totals.cancelled,
        }
    }

    /// Takes nothing more, and comes back when no job is left; after `bound` the rest are killed.
    pub async fn drain(&self, bound: Duration, queued: Queued) {
        let shared = &self.0.0;
        let mut left = shared.left.subscribe();
        shared.begin_drain(queued);
        let all_gone = left.wait_for(|_| shared.is_idle());
        if tokio::time::timeout(bound, all_gone).await.is_err() {
            shared.cancel_all();
            // Each child is being killed now; its worker says so within moments. The sender lives as long as we do.
            if left.wait_for(|_| shared.is_idle()).await.is_err() {
                tracing::error!("the worker pool went away while it was drained");
            }
        }
    }
}

/// A place in the queue that is held for one job.
pub struct Place {
    shared: Arc<Shared>,
    held: bool,
}

impl Place {
    /// Puts the job into the place.
    pub fn submit(mut self, job: Job) -> Result<Ticket, SubmitError> {
        job.profile.suits(&job.info)?;
        let (reply_to, reply) = oneshot::channel();
        let task = Arc::new(Task {
            cancel: Cancel::new()?,
            progress: watch::Sender::new(Progress::default()),
            submitted: Instant::now(),
            reply: Mutex::new(Some(reply_to)),
            job,
        });
        let mut state = self.shared.lock();
        if state.draining || state.closed {
            return Err(SubmitError::Draining);
        }
        state.reserved -= 1;
        self.held = false;
        state.queue.push_back(Arc::clone(&task));
        drop(state);
        self.shared.work.notify_one();
        Ok(Ticket { task, shared: Arc::clone(&self.shared), reply })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            self.shared.lock().reserved -= 1;
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.cancel_all();
        self.0.work.notify_all();
    }
}

impl Task {
    /// Answers whoever waits, if anyone still does.
    fn answer(&self, result: Result<Transcoded, TranscodeError>) {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            // An answer that nobody hears is dropped, and its file with it.
            drop(reply.send(result));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A worker that panicked has left the state whole: nothing in a critical section can.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
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

    fn begin_drain(&self, queued: Queued) {
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

    fn cancel_all(&self) {
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
    fn wait(&self, state: &State) -> Duration {
        if state.running.len() + state.queue.len() + state.reserved < self.workers {
            return Duration::ZERO;
        }
        let cost = |task: &Task| {
            state.speeds.estimate(&task.job.profile.name, task.job.work_pixels()).unwrap_or_default()
        };
        let queued: Duration = state.queue.iter().map(|task| cost(task)).sum();
        let running: Duration = state
            .running
            .iter()
            .map(|running| cost(&running.task).saturating_sub(running.since.elapsed()))
            .sum();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let reserved = state.speeds.service().unwrap_or_default() * count(state.reserved);
        (queued + reserved + running) / count(self.workers)
    }

    fn estimate(&self, state: &State, profile: &Profile, info: &MediaInfo) -> Estimate {
        Estimate {
            wait: self.wait(state),
            service: state.speeds.estimate(&profile.name, profile.work_pixels(info)),
        }
    }

    /// A worker thread's life.
    fn work(&self) {
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
            self.finished(&task, elapsed, result.as_ref().err());
            task.answer(result.map(|made| Transcoded {
                output: made.output,
                bytes: made.bytes,
                sha256: made.sha256,
                info: made.info,
                elapsed,
                queued,
                threads,
            }));
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
            if task.cancel.is_set() || now >= task.job.deadline {
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
            return Some((task, threads_for(self.cores, busy)));
        }
    }

    fn finished(&self, task: &Arc<Task>, elapsed: Duration, error: Option<&TranscodeError>) {
        let mut state = self.lock();
        state.running.retain(|running| !Arc::ptr_eq(&running.task, task));
        match error {
            None => {
                state.totals.completed += 1;
                state.speeds.learn(&task.job.profile.name, task.job.work_pixels(), elapsed);
            }
            Some(TranscodeError::Cancelled | TranscodeError::DeadlinePassed { .. }) => {
                state.totals.cancelled += 1;
            }
            Some(_) => state.totals.failures += 1,
        }
        drop(state);
        self.left.send_modify(|count| *count += 1);
    }
}

/// Threads for a child that starts while `busy` workers (itself among them) have or will have work: the machine is full,
/// and not fuller.
fn threads_for(cores: usize, busy: usize) -> u16 {
    let share = cores.div_ceil(busy.max(1)).clamp(1, THREADS_PER_CHILD_MAX);
    u16::try_from(share).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::threads_for;

    #[test]
    fn the_cores_are_shared_out_among_the_busy() {
        assert_eq!(threads_for(2, 1), 2);
        assert_eq!(threads_for(2, 2), 1);
        assert_eq!(threads_for(2, 9), 1);
        assert_eq!(threads_for(8, 2), 4);
        assert_eq!(threads_for(8, 3), 3);
        assert_eq!(threads_for(64, 1), 4);
        assert_eq!(threads_for(1, 0), 1);
    }
}
