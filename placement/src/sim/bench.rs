//! A node's workers: the real desk, and jobs that take their time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::node::SimNode;
use crate::content::Key;
use crate::desk::{Desk, Ending, Entry, Granted, JobId, JobSpec, Next, Over, ReservationId, Unseen};
use crate::error::WorkError;
use crate::journey::{self, Life, clock};

/// How often a job says how far it is, at the least.
const STEP: Duration = Duration::from_millis(500);
/// And in how many steps it goes at the least.
const STEPS_MIN: f64 = 4.0;

/// How a job ends.
pub(super) type Made = Result<(), WorkError>;

/// The desk, and the jobs on it.
pub(super) struct Bench {
    pub desk: Desk,
    pub tasks: BTreeMap<JobId, Arc<Task>>,
    /// Workers with a job, and whether the one more for guests has one.
    busy: usize,
    guest: bool,
    /// When it is looked next whether a guest is due.
    guest_at: Option<Instant>,
}

/// One job.
pub(super) struct Task {
    pub key: Key,
    /// What it takes a usual worker that has a core of its own.
    pub seconds: f64,
    /// What is left of that.
    pub left: Mutex<f64>,
    limit: Instant,
    gone: AtomicBool,
    cancelled: Notify,
    pub running: AtomicBool,
    /// Told of each step, if anybody still wants its work.
    life: Weak<Life>,
    reply: Mutex<Option<oneshot::Sender<Made>>>,
    /// The node whose request it is.
    pub requester: usize,
}

impl Task {
    fn moves(&self) {
        if let Some(life) = self.life.upgrade() {
            life.moves();
        }
    }

    fn answer(&self, made: Made) {
        if let Some(reply) = self.reply.lock().take() {
            // A result for which no request waits is in the cache all the same.
            drop(reply.send(made));
        }
    }
}

impl Bench {
    pub fn new(workers: usize, queue: usize) -> Self {
        let desk = Desk::new(workers, queue);
        Self { desk, tasks: BTreeMap::new(), busy: 0, guest: false, guest_at: None }
    }

    /// Jobs that have a worker.
    pub fn running(&self) -> usize {
        self.busy + usize::from(self.guest)
    }
}

/// A place in the queue, given back when it is dropped unused.
pub(super) struct Place {
    node: Arc<SimNode>,
    id: ReservationId,
    booked: bool,
}

impl journey::Reservation for Place {
    fn is_booked(&self) -> bool {
        self.booked
    }
}

impl Place {
    pub const fn id(&self) -> ReservationId {
        self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.node.gives_back(self.id);
    }
}

/// A job that was taken; it is cancelled when this is dropped.
pub(super) struct Ticket {
    node: Arc<SimNode>,
    id: JobId,
    pub task: Arc<Task>,
    pub reply: oneshot::Receiver<Made>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.task.gone.store(true, Ordering::Relaxed);
        self.task.cancelled.notify_one();
        let mut bench = self.node.bench();
        if bench.desk.withdraw(self.id) {
            bench.tasks.remove(&self.id);
        }
    }
}

impl SimNode {
    /// A place for a job of which no more is known than its content.
    pub(super) fn place_unseen(&self, job: &Unseen<'_>, key: &Key) -> Option<Place> {
        let granted = self.bench().desk.reserve_unseen(clock::now(), job)?;
        Some(self.granted(granted, key))
    }

    /// A place for a job that was looked at.
    pub(super) fn place(&self, job: &JobSpec, entry: Entry, key: &Key) -> Result<Place, WorkError> {
        let granted = self.bench().desk.reserve(clock::now(), job, entry)?;
        Ok(self.granted(granted, key))
    }

    pub(super) fn granted(&self, Granted { reservation, booked, displaced }: Granted, key: &Key) -> Place {
        if let Some((id, retry_after)) = displaced
            && let Some(task) = self.bench().tasks.remove(&id)
        {
            task.answer(Err(WorkError::Saturated { retry_after }));
        }
        self.held_places.lock().insert(reservation, key.clone());
        let place = Place { node: self.me(), id: reservation, booked };
        self.publish_load();
        place
    }

    fn gives_back(&self, id: ReservationId) {
        if self.keeps_places() {
            return;
        }
        self.held_places.lock().remove(&id);
        self.bench().desk.release(id);
    }

    /// Puts a job into its place, and has a worker begin it if one is free.
    pub(super) fn submit(
        &self,
        place: &Place,
        (spec, key): (JobSpec, Key),
        (seconds, limit): (f64, Instant),
        (requester, life): (usize, &Arc<Life>),
    ) -> Result<Ticket, WorkError> {
        let (tell, reply) = oneshot::channel();
        let task = Arc::new(Task {
            key,
            seconds,
            left: Mutex::new(seconds),
            limit,
            gone: AtomicBool::new(false),
            cancelled: Notify::new(),
            running: AtomicBool::new(false),
            life: Arc::downgrade(life),
            reply: Mutex::new(Some(tell)),
            requester,
        });
        let id = {
            let mut bench = self.bench();
            let id = bench.desk.submit(clock::now(), place.id, spec)?;
            bench.tasks.insert(id, Arc::clone(&task));
            id
        };
        // The desk knows it no more.
        self.held_places.lock().remove(&place.id);
        let ticket = Ticket { node: self.me(), id, task, reply };
        self.pump();
        self.publish_load();
        Ok(ticket)
    }

    /// Gives workers that are free what comes next.
    pub(super) fn pump(&self) {
        while self.begin_next() {}
        while self.begin_guest() {}
    }

    fn begin_next(&self) -> bool {
        let mut bench = self.bench();
        if bench.busy >= bench.desk.workers() {
            return false;
        }
        let Bench { desk, tasks, .. } = &mut *bench;
        let is_gone = |id: JobId| tasks.get(&id).is_none_or(|task| task.gone.load(Ordering::Relaxed));
        match desk.next(clock::now(), is_gone) {
            Next::Begin(id) => {
                bench.busy += 1;
                drop(bench);
                self.begin(id, false);
            }
            Next::Over(id, over) => {
                drop(bench);
                self.over(id, over);
            }
            Next::Idle | Next::Later(_) => return false,
        }
        true
    }

    /// The same for the worker that works for guests.
    fn begin_guest(&self) -> bool {
        let mut bench = self.bench();
        if bench.guest {
            return false;
        }
        let now = clock::now();
        let Bench { desk, tasks, guest_at, .. } = &mut *bench;
        let is_gone = |id: JobId| tasks.get(&id).is_none_or(|task| task.gone.load(Ordering::Relaxed));
        match desk.next_guest(now, is_gone) {
            Next::Begin(id) => {
                bench.guest = true;
                drop(bench);
                self.begin(id, true);
                return true;
            }
            Next::Over(id, over) => {
                drop(bench);
                self.over(id, over);
                return true;
            }
            Next::Idle => {}
            Next::Later(after) => {
                let at = now + after;
                if guest_at.is_none_or(|planned| planned <= now || planned > at) {
                    *guest_at = Some(at);
                    let node = self.me();
                    self.process.spawn(Box::pin(async move {
                        clock::sleep_until(at).await;
                        node.pump();
                    }));
                }
            }
        }
        false
    }

    fn over(&self, id: JobId, over: Over) {
        let task = self.bench().tasks.remove(&id);
        if let Some(task) = task {
            if matches!(over, Over::Overtaken(_)) {
                self.cluster.overtaken(self.index, task.key.content);
            }
            task.answer(Err(match over {
                Over::Late => WorkError::TooLate,
                Over::Overtaken(retry_after) => WorkError::Saturated { retry_after },
            }));
        }
    }

    fn begin(&self, id: JobId, guest: bool) {
        let Some(task) = self.bench().tasks.get(&id).cloned() else { return };
        let node = self.me();
        self.process.spawn(Box::pin(async move { node.work(id, &task, guest).await }));
    }

    /// A worker's time with a job.
    async fn work(&self, id: JobId, task: &Task, guest: bool) {
        let begun = clock::now();
        let _running = self.cluster.begins(self.index, task);
        task.running.store(true, Ordering::Relaxed);
        task.moves();
        let made = self.work_off(id, task).await;
        let ending = match &made {
            Ok(()) => Ending::Done,
            Err(_) => Ending::Ended,
        };
        self.cluster.ends(self.index, task, made.is_ok(), clock::now() - begun);
        if made.is_ok() {
            self.keeps(&task.key);
        }
        {
            let mut bench = self.bench();
            bench.desk.end(clock::now(), id, ending);
            bench.tasks.remove(&id);
            if guest {
                bench.guest = false;
            } else {
                bench.busy -= 1;
            }
        }
        task.answer(made);
        self.pump();
        self.publish_load();
    }

    async fn work_off(&self, id: JobId, task: &Task) -> Made {
        loop {
            let left = *task.left.lock();
            if left <= 1e-9 {
                return Ok(());
            }
            if clock::now() >= task.limit {
                return Err(WorkError::TooLate);
            }
            let rate = self.cluster.rate(self.index, self.bench().running()).max(1e-3);
            let step = (left / rate).min(STEP.as_secs_f64()).min((task.seconds / STEPS_MIN / rate).max(1e-3));
            let before = clock::now();
            tokio::select! {
                biased;
                () = task.cancelled.notified() => return Err(WorkError::TooLate),
                () = clock::sleep_until(before + Duration::from_secs_f64(step)) => {}
            }
            if self.cluster.is_hung(self.index) {
                continue;
            }
            let left = {
                let mut left = task.left.lock();
                *left = (*left - (clock::now() - before).as_secs_f64() * rate).max(0.0);
                *left
            };
            self.bench().desk.progress(id, Some(1.0 - left / task.seconds.max(1e-9)));
            task.moves();
        }
    }

    /// This node is told to leave: it takes nothing more, and what waits is done elsewhere.
    pub(super) fn leave(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let tasks: Vec<_> = {
            let mut bench = self.bench();
            bench.desk.drain();
            let jobs = bench.desk.hand_over();
            jobs.iter().filter_map(|id| bench.tasks.remove(id)).collect()
        };
        for task in tasks {
            task.answer(Err(WorkError::Draining));
        }
    }
}
