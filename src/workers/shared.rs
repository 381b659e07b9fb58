//! What the pool's handles and its worker threads have in common: the desk, the jobs on it, and how they are told.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use starling_placement::desk::{Desk, Ending, JobId, JobSpec, Next, Over, Unseen};
use tokio::sync::{oneshot, watch};

use super::cancel::Cancel;
use super::error::TranscodeError;
use super::job::{Bench, Job, Made, Transcoded};
use super::pool::Queued;
use super::progress::Progress;
use crate::content::{ClientTag, ContentId};
use crate::events::{Departure, Events, NodeEvent};
use crate::profile::ProfileName;
use crate::trace::{self, Scope};

/// x264's `fast` gains little beyond this many threads.
const THREADS_PER_CHILD_MAX: usize = 4;

/// One job in the pool.
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) cancel: Cancel,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) submitted: Instant,
    pub(super) reply: Mutex<Option<Reply>>,
    /// The request that it was put in for.
    pub(super) scope: Option<Scope>,
}

type Reply = oneshot::Sender<Result<Transcoded, TranscodeError>>;

/// What the pool's handles and its threads have in common.
pub(super) struct Shared {
    pub(super) bench: Bench,
    pub(super) cores: usize,
    pub(super) state: Mutex<State>,
    pub(super) work: Condvar,
    /// The same for the thread that works for guests: see [`Desk::next_guest`].
    pub(super) guests: Condvar,
    /// Counts up whenever a job leaves the pool.
    pub(super) left: watch::Sender<u64>,
    /// Told of what becomes of jobs.
    pub(super) events: Events,
}

pub(super) struct State {
    pub(super) desk: Desk,
    /// The jobs that are on the desk.
    pub(super) tasks: BTreeMap<JobId, Arc<Task>>,
    pub(super) closed: bool,
    /// Cores that the last child kept busy.
    pub(super) cores_used: Option<f64>,
}

/// A job that a worker begins.
struct Begun {
    id: JobId,
    task: Arc<Task>,
    threads: u16,
    /// How long it is going to take, by what was learned.
    predicted: Option<Duration>,
}

impl Task {
    /// What it is called in events.
    pub(super) fn name(&self) -> (&ContentId, &ProfileName) {
        (&self.job.content, &self.job.profile.name)
    }

    /// Answers the ticket's holder, if there still is one.
    pub(super) fn answer(&self, result: Result<Transcoded, TranscodeError>) {
        tell(self.reply.lock().take(), result);
    }
}

fn tell(reply: Option<Reply>, result: Result<Transcoded, TranscodeError>) {
    if let Some(reply) = reply {
        // An answer that nobody hears is dropped, and its file with it.
        drop(reply.send(result));
    }
}

impl State {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, tasks: BTreeMap::new(), closed: false, cores_used: None }
    }

    /// Takes jobs that have left the desk out of the list, too.
    fn remove(&mut self, jobs: &[JobId]) -> Vec<Arc<Task>> {
        jobs.iter().filter_map(|id| self.tasks.remove(id)).collect()
    }

    /// What comes next, for a worker or for the one that works for guests.
    fn next(&mut self, for_guests: bool) -> Next {
        let Self { desk, tasks, .. } = self;
        let is_gone = |id: JobId| tasks.get(&id).is_none_or(|task| task.cancel.is_set());
        let now = Instant::now();
        if for_guests { desk.next_guest(now, is_gone) } else { desk.next(now, is_gone) }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().desk.is_idle()
    }

    fn one_left(&self) {
        self.left.send_modify(|count| *count += 1);
    }

    /// Takes a cancelled job out of the queue, so that its place is free at once.
    pub(super) fn forget(&self, id: JobId) {
        let mut state = self.lock();
        if state.desk.withdraw(id) {
            let task = state.tasks.remove(&id);
            drop(state);
            self.tell_withdrawn(task.as_ref(), Departure::Cancelled);
            self.one_left();
        }
    }

    pub(super) fn begin_drain(&self, queued: Queued) {
        let mut state = self.lock();
        state.desk.drain();
        let jobs = if queued == Queued::HandOver { state.desk.hand_over() } else { Vec::new() };
        let tasks = state.remove(&jobs);
        drop(state);
        for task in tasks {
            self.tell_withdrawn([&task], Departure::HandedOver);
            task.answer(Err(TranscodeError::Draining));
        }
        self.one_left();
    }

    pub(super) fn cancel_all(&self) {
        let mut state = self.lock();
        let queued = state.desk.cancel_waiting();
        let queued = state.remove(&queued);
        for running in state.tasks.values() {
            running.cancel.set();
        }
        drop(state);
        for task in queued {
            self.tell_withdrawn([&task], Departure::Cancelled);
            task.answer(Err(TranscodeError::Cancelled));
        }
        self.one_left();
    }

    /// Answers a job whose place was another client's turn. Not under the lock.
    pub(super) fn displace(&self, displaced: Option<(Arc<Task>, Duration)>) {
        let Some((task, retry_after)) = displaced else { return };
        self.tell_withdrawn([&task], Departure::Displaced);
        task.answer(Err(TranscodeError::Overtaken { retry_after }));
        self.one_left();
    }

    fn tell_withdrawn<'a>(&self, tasks: impl IntoIterator<Item = &'a Arc<Task>>, why: Departure) {
        for task in tasks {
            let (content, profile) = task.name();
            // It may be another request that has it go.
            trace::within_sync(task.scope.as_ref(), || {
                self.events.tell(&NodeEvent::Withdrawn { content, profile, why });
            });
        }
    }

    /// A worker thread's life.
    pub(super) fn work(&self) {
        while let Some(begun) = self.next() {
            let scope = begun.task.scope.clone();
            trace::within_sync(scope.as_ref(), || self.run(begun));
        }
    }

    /// The life of the thread that works for guests: clients that find all workers kept by one other for long. One job at a time,
    /// with what the kernel gives it of the cores.
    pub(super) fn work_for_guests(&self) {
        while let Some(begun) = self.next_guest() {
            let scope = begun.task.scope.clone();
            trace::within_sync(scope.as_ref(), || self.run(begun));
        }
    }

    fn run(&self, begun: Begun) {
        let Begun { id, task, threads, predicted } = begun;
        let since = Instant::now();
        task.progress.send_modify(|progress| progress.running = true);
        let queued = since.duration_since(task.submitted);
        let (content, profile) = task.name();
        self.events.tell(&NodeEvent::Begun { content, profile, waited: queued, predicted, threads });
        let run = || {
            self.bench.run(&task.job, threads, &task.cancel, |progress| {
                self.lock().desk.progress(id, progress.fraction);
                task.progress.send_replace(progress);
            })
        };
        // A panic is a bug, and it costs its own job alone.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(TranscodeError::Io(io::Error::other("the worker panicked"))));
        let elapsed = since.elapsed();
        self.finished(id, result.as_ref());
        self.events.tell(&match &result {
            Ok(made) => {
                let bytes = made.result.bytes();
                NodeEvent::Made { content, profile, took: elapsed, predicted, bytes }
            }
            Err(error) => NodeEvent::NotMade { content, profile, took: elapsed, error },
        });
        let reply = task.reply.lock().take();
        // The input goes first: a client that has its answer may send the next video at once, and this thread, which is nice to all
        // others, may not come to it for a while.
        drop(task);
        tell(reply, result.map(|made| Transcoded { result: made.result, elapsed, queued, threads }));
        // Last: who waits for the pool to be empty may end the process.
        self.one_left();
    }

    /// Waits for work; `None` when the pool is closed.
    fn next(&self) -> Option<Begun> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.next(false) {
                Next::Begin(id) => return self.begun(&state, id),
                Next::Over(id, over) => state = self.over(state, id, over),
                Next::Idle | Next::Later(_) => self.work.wait(&mut state),
            }
        }
    }

    /// The same for guests.
    fn next_guest(&self) -> Option<Begun> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            // Looked at again in time where a job waits, and with the next job that comes.
            match state.next(true) {
                Next::Begin(id) => return self.begun(&state, id),
                Next::Over(id, over) => state = self.over(state, id, over),
                Next::Idle => self.guests.wait(&mut state),
                Next::Later(after) => {
                    self.guests.wait_for(&mut state, after);
                }
            }
        }
    }

    fn begun(&self, state: &State, id: JobId) -> Option<Begun> {
        let (queued, running) = state.desk.jobs();
        let busy = (running + queued).min(state.desk.workers());
        let threads = threads_for(self.cores, busy, queued > 0).min(threads_of_use(state.cores_used));
        let task = Arc::clone(state.tasks.get(&id)?);
        let JobSpec { client, profile, work_pixels, .. } = spec(&task.job);
        let predicted = state.desk.estimate(Instant::now(), client, &profile, work_pixels).service;
        Some(Begun { id, task, threads, predicted })
    }

    /// Answers a job that was its turn and is not begun, and takes the lock again.
    fn over<'a>(&'a self, mut state: MutexGuard<'a, State>, id: JobId, over: Over) -> MutexGuard<'a, State> {
        let task = state.tasks.remove(&id);
        drop(state);
        if let Some(task) = task {
            let why = if matches!(over, Over::Late) { Departure::Late } else { Departure::Displaced };
            self.tell_withdrawn([&task], why);
            task.answer(Err(match over {
                Over::Late => TranscodeError::DeadlinePassed { running: false },
                Over::Overtaken(left) => TranscodeError::Overtaken { retry_after: left },
            }));
        }
        self.one_left();
        self.lock()
    }

    fn finished(&self, id: JobId, result: Result<&Made, &TranscodeError>) {
        let mut state = self.lock();
        let ending = match result {
            Ok(made) => {
                state.cores_used = made.cores_used.or(state.cores_used);
                Ending::Done
            }
            Err(TranscodeError::Cancelled | TranscodeError::DeadlinePassed { .. }) => Ending::Ended,
            Err(_) => Ending::Failed,
        };
        state.desk.end(Instant::now(), id, ending);
        state.tasks.remove(&id);
    }
}

/// What the desk has to know of a job.
pub(super) fn spec(job: &Job) -> JobSpec {
    JobSpec {
        client: job.client,
        content: job.content,
        profile: job.profile.name.clone(),
        work_pixels: job.profile.work_pixels(&job.info),
        deadline: job.deadline,
    }
}

/// The same of one of which nothing is known but its content.
pub(super) fn unseen(
    client: ClientTag,
    profile: &ProfileName,
    content: ContentId,
    deadline: Instant,
) -> Unseen<'_> {
    Unseen { client, content, profile, deadline }
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
