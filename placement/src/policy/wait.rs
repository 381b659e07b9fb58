//! What a load sample says of the time that a job takes on its node.

use std::time::Duration;

use starling_overlay::LoadSample;

use super::ledger::Handed;
use super::roster::Row;
use super::walk::Node;
use super::{Demand, OwnDesk};

/// What a job takes on a node that does not know yet.
const SERVICE_GUESS: Duration = Duration::from_secs(5);
/// So much of its cores a worker gets at the least, whatever else runs there: a scheduler shares them.
const IDLE_PART_MIN: f64 = 0.5;

/// How long a job keeps a worker on a node that says this of itself, as far as it knows.
pub(super) fn usual(load: &LoadSample) -> Duration {
    match load.service_ms {
        0 => SERVICE_GUESS,
        ms => Duration::from_millis(ms.into()),
    }
}

/// How long a job waits for a worker on a node that says this of itself, and has been given so many more jobs since.
pub fn wait_after(load: &LoadSample, more: u32) -> Duration {
    wait(load, &Handed { jobs: more, work: usual(load).saturating_mul(more), ..Handed::default() })
}

/// The same where it is known what it has been given.
pub(super) fn wait(load: &LoadSample, handed: &Handed) -> Duration {
    let workers = u32::from(load.workers.max(1));
    if handed.jobs(load) < workers {
        return handed.busy_for;
    }
    let (queued, running) = (u32::from(load.queued_jobs), u32::from(load.running_jobs));
    let shown = match load.backlog_ms {
        // A worker was free when it was taken, or an older release says nothing.
        0 => work_of(load, queued, running) / workers,
        ms => Duration::from_millis(ms.into()),
    };
    let gone = usual(load).saturating_mul(handed.ended) / workers;
    (shown + handed.work / workers).saturating_sub(gone).max(handed.busy_for)
}

/// How long a job waits for a worker on a node that has so many before it, in thousandths of a job for each worker, and does not know yet
/// what they take.
pub(super) fn wait_behind(load: &LoadSample, jobs_per_worker_permille: u32) -> Duration {
    let workers = u32::from(load.workers.max(1));
    let jobs = jobs_per_worker_permille.saturating_mul(workers) / 1000;
    if jobs < workers {
        return Duration::ZERO;
    }
    let running = u32::from(load.running_jobs).min(jobs);
    work_of(load, jobs - running, running) / workers
}

/// What so many jobs take as jobs usually do there. Of what runs, half is done on average.
fn work_of(load: &LoadSample, queued: u32, running: u32) -> Duration {
    usual(load).saturating_mul(queued.saturating_mul(2).saturating_add(running)) / 2
}

/// Whether a node that says this of itself will hardly take a job that has this much time left; one that says nothing may. Rather
/// yes than no: to ask in vain costs time when there is none.
pub fn is_full(load: Option<&LoadSample>, left: Duration) -> bool {
    is_full_with(load, &Handed::default(), left)
}

/// The same where it has been given something since.
pub(super) fn is_full_with(load: Option<&LoadSample>, handed: &Handed, left: Duration) -> bool {
    let Some(load) = load else { return false };
    let wait = wait(load, handed);
    !wait.is_zero() && wait + usual(load) * 2 > left / 2
}

/// Seconds that a node which says this of itself takes for a kilopixel; 0 before it knows.
pub(super) fn kilopixel_s(load: &LoadSample) -> f64 {
    if load.kilopixels_per_s == 0 { 0.0 } else { 1.0 / f64::from(load.kilopixels_per_s) }
}

/// How many times as long as it usually takes a job takes now on a free worker of a node that says this of itself. Nodes learn how fast
/// they are of jobs that are done, long after other work has come to a machine or has gone; its CPU shows it at once: of the cores that
/// the free workers would have, only what stands idle is left for the job. 1 where all workers are busy: whose the cores are is not to
/// be told then, and the job waits anyway.
pub(super) fn slowed(load: &LoadSample) -> f64 {
    let busy = (f64::from(load.running_jobs) / f64::from(load.workers.max(1))).min(1.0);
    if busy >= 1.0 {
        return 1.0;
    }
    let idle = 1.0 - f64::from(load.cpu_permille) / 1000.0;
    (idle / (1.0 - busy)).clamp(IDLE_PART_MIN, 1.0).recip()
}

/// How long a job keeps a worker on a node, in seconds: as it would here, by how much faster or slower that node is; else by its pixels
/// and that node's speed; else as jobs usually do there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// The job's size by the first two.
    kilopixels: Option<f64>,
    /// What it takes here, if that is known.
    here_s: Option<f64>,
    own: OwnDesk,
    slowed_here: f64,
}

impl Work {
    pub(super) fn new(job: &Demand<'_>, own: OwnDesk) -> Self {
        let here_s = own.service.map(|service| service.as_secs_f64());
        let own_speed = Some(f64::from(own.load.kilopixels_per_s)).filter(|speed| *speed > 0.0);
        let kilopixels = match (here_s, own_speed) {
            (Some(here_s), Some(speed)) => Some(here_s * speed),
            _ => job.work_pixels.filter(|pixels| *pixels > 0).map(|pixels| pixels as f64 / 1000.0),
        };
        Self { kilopixels, here_s, own, slowed_here: slowed(&own.load) }
    }

    /// At a peer, or, without a row, here.
    pub(super) fn of(&self, row: Option<&Row>, node: &Node) -> f64 {
        let guess_s = self.here_s.unwrap_or(SERVICE_GUESS.as_secs_f64());
        let usual_s = match row {
            Some(row) if node.known => return self.of_row(row),
            Some(_) => guess_s,
            None => self.here_s.unwrap_or_else(|| {
                let load = &self.own.load;
                self.at(kilopixel_s(load), f64::from(load.service_ms) / 1000.0, guess_s)
            }),
        };
        usual_s * self.slowed(row, node)
    }

    /// At a peer whose sample is fresh.
    #[inline]
    pub(super) fn of_row(&self, row: &Row) -> f64 {
        let guess_s = self.here_s.unwrap_or(SERVICE_GUESS.as_secs_f64());
        self.at(row.kilopixel_s, row.service_s, guess_s)
    }

    /// See [`slowed`].
    pub(super) fn slowed(&self, row: Option<&Row>, node: &Node) -> f64 {
        match row {
            Some(row) if node.known => row.slowed,
            Some(_) => 1.0,
            None => self.slowed_here,
        }
    }

    fn at(&self, kilopixel_s: f64, service_s: f64, guess_s: f64) -> f64 {
        match self.kilopixels {
            Some(kilopixels) if kilopixel_s > 0.0 => kilopixels * kilopixel_s,
            _ if service_s > 0.0 => service_s,
            _ => guess_s,
        }
    }
}
