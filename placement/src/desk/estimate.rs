//! What jobs are thought to cost: as learned from those that were done, else from what runs, else by a guess.

use std::time::{Duration, Instant};

use super::job::{Running, Waiting};
use super::speed::{TELLING_PART, guess_s};
use super::speeds::{Known, Memo};
use super::{Desk, JobSpec, count};
use crate::content::ClientTag;
use crate::profile::ProfileName;

/// What is thought of a job of which nothing is known, before anything was learned.
pub(super) const USUAL_GUESS: Duration = Duration::from_secs(5);
/// A job that has less than this part of its time left is not begun.
const HOPELESS_PART: f64 = 0.6;
/// What was expected of a job weighs as much as so great a part of it that is done. A job's start says little: it may take long to be
/// set up, or have lost its core to others, and so may a twentieth of it that took ten seconds.
const EXPECTED_PART: f64 = 0.2;

/// How long a job is likely to take on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Until a worker is free for it.
    pub wait: Duration,
    /// From then to its result. `None` before enough like it was done here.
    pub service: Option<Duration>,
    /// Whether `service` was learned of this client's own jobs, all of which were done: what it says may be final.
    pub sure: bool,
}

/// What a job's time depends on.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) client: ClientTag,
    pub(super) profile: &'a ProfileName,
    pub(super) pixels: u64,
    /// Of a job that is here.
    pub(super) memo: Option<&'a Memo>,
}

impl<'a> From<&'a JobSpec> for Work<'a> {
    fn from(job: &'a JobSpec) -> Self {
        Self { client: job.client, profile: &job.profile, pixels: job.work_pixels, memo: None }
    }
}

impl<'a> From<&'a Running> for Work<'a> {
    fn from(Running { job, memo, .. }: &'a Running) -> Self {
        Self { memo: Some(memo), ..Self::from(job) }
    }
}

impl<'a> From<&'a Waiting> for Work<'a> {
    fn from(Waiting { job, memo, .. }: &'a Waiting) -> Self {
        Self { memo: Some(memo), ..Self::from(job) }
    }
}

impl Running {
    /// How much of it is done, once that says something.
    fn telling_part(&self) -> Option<f64> {
        self.part.filter(|part| *part >= TELLING_PART)
    }

    fn ran(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Desk {
    /// Whether a job can't be done in time any more: to begin it would be in vain.
    pub(super) fn is_hopeless(&self, job: &JobSpec, now: Instant) -> bool {
        let left = job.deadline.saturating_duration_since(now);
        let service = self.learned(Work::from(job), now);
        left.is_zero() || service.is_some_and(|known| left < known.time.mul_f64(HOPELESS_PART))
    }

    /// The running jobs of a client from which something is to be learned already, with how long they take in all.
    fn telling(&self, client: ClientTag, now: Instant) -> impl Iterator<Item = (&Running, Duration)> {
        let own = self.running.iter().filter(move |running| running.job.client == client);
        own.filter_map(move |running| Some((running, self.takes(running, running.telling_part()?, now))))
    }

    /// How long a job takes in all, of which this part is done: the mean of its rate so far and of what was expected, each by its weight
    /// (as a gamma prior's; see [`EXPECTED_PART`]).
    fn takes(&self, running: &Running, part: f64, now: Instant) -> Duration {
        let expected = self.expected(Work::from(running), now);
        (running.ran(now) + expected.mul_f64(EXPECTED_PART)).div_f64(part + EXPECTED_PART)
    }

    /// How long a job keeps a worker, by the jobs that have ended alone: as learned, else as guessed.
    fn expected(&self, work: Work<'_>, now: Instant) -> Duration {
        self.time(work, now)
            .or_else(|| self.speeds.mean(work.client, now))
            .unwrap_or_else(|| guess(work.pixels))
    }

    fn time(&self, work: Work<'_>, now: Instant) -> Option<Duration> {
        let Work { client, profile, pixels, memo } = work;
        match memo {
            Some(memo) => self.speeds.time_by(memo, (client, profile, pixels), now),
            None => self.speeds.time(client, profile, pixels, now),
        }
    }

    /// How long a job keeps a worker, by what was learned.
    pub(super) fn learned(&self, work: Work<'_>, now: Instant) -> Option<Known> {
        self.speeds.estimate(work.client, work.profile, work.pixels, now)
    }

    /// How long a job keeps a worker: as learned, else as it looks from what runs, else as guessed.
    pub(super) fn cost(&self, work: Work<'_>, now: Instant) -> Duration {
        let from_running = || {
            let (pixels, took) =
                self.telling(work.client, now).fold((0.0, 0.0), |(pixels, took), (running, takes)| {
                    (pixels + running.job.work_pixels as f64, took + takes.as_secs_f64())
                });
            (pixels > 0.0)
                .then(|| Duration::try_from_secs_f64(work.pixels as f64 / pixels * took).ok())
                .flatten()
        };
        self.time(work, now).or_else(from_running).unwrap_or_else(|| self.expected(work, now))
    }

    /// How long a job takes of which nothing is known but its profile.
    pub(super) fn usual_cost(&self, client: ClientTag, profile: &ProfileName, now: Instant) -> Duration {
        let usual = self.speeds.usual(client, profile, now);
        usual.or_else(|| self.usual(client, now)).unwrap_or(USUAL_GUESS)
    }

    /// How long a client's job takes of which nothing is known; none before anything was learned.
    pub(super) fn usual(&self, client: ClientTag, now: Instant) -> Option<Duration> {
        self.speeds.mean(client, now).or_else(|| {
            let (jobs, sum) = self
                .telling(client, now)
                .fold((0, Duration::ZERO), |(jobs, sum), (_, takes)| (jobs + 1, sum.saturating_add(takes)));
            (jobs > 0).then(|| sum / count(jobs))
        })
    }

    /// How much of a running job's time is left.
    pub(super) fn remains(&self, running: &Running, now: Instant) -> Duration {
        let ran = running.ran(now);
        match running.telling_part() {
            Some(part) => self.takes(running, part, now).mul_f64((1.0 - part).max(0.0)),
            None => self.cost(Work::from(running), now).saturating_sub(ran),
        }
    }
}

fn guess(work_pixels: u64) -> Duration {
    Duration::try_from_secs_f64(guess_s(work_pixels)).unwrap_or(Duration::MAX)
}
