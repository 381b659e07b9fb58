//! What jobs are thought to cost: as learned from those that were done, else from what runs, else by a guess.

use std::time::{Duration, Instant};

use super::shared::{Running, State, Task};
use super::speed::{TELLING_PART, guess_s};
use super::speeds::Known;
use crate::content::{ClientTag, MediaInfo};
use crate::profile::{Profile, ProfileName};

/// What is thought of a job of which nothing is known, before anything was learned.
pub(super) const USUAL_GUESS: Duration = Duration::from_secs(5);
/// A job that has less than this part of its time left is not begun.
const HOPELESS_PART: f64 = 0.6;

/// What a job's time depends on.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) client: ClientTag,
    pub(super) profile: &'a ProfileName,
    pub(super) pixels: u64,
}

impl<'a> Work<'a> {
    pub(super) fn of(client: ClientTag, profile: &'a Profile, info: &MediaInfo) -> Self {
        Self { client, profile: &profile.name, pixels: profile.work_pixels(info) }
    }

    pub(super) fn of_task(task: &'a Task) -> Self {
        Self::of(task.job.client, &task.job.profile, &task.job.info)
    }
}

impl Running {
    /// How much of it is done, once that says something.
    fn part(&self) -> Option<f64> {
        self.task.progress.borrow().fraction.filter(|part| *part >= TELLING_PART)
    }
}

impl State {
    /// Whether a job can't be done in time any more: to begin it would be in vain.
    pub(super) fn is_hopeless(&self, task: &Task, now: Instant) -> bool {
        let left = task.job.deadline.saturating_duration_since(now);
        let service = self.estimate(Work::of_task(task), now);
        left.is_zero() || service.is_some_and(|known| left < known.time.mul_f64(HOPELESS_PART))
    }

    /// The running jobs of a client from which something is to be learned already.
    fn telling(&self, client: ClientTag) -> impl Iterator<Item = (&Running, f64)> {
        let own = self.running.iter().filter(move |running| running.task.job.client == client);
        own.filter_map(|running| Some((running, running.part()?)))
    }

    /// How long a job keeps a worker, by what was learned.
    pub(super) fn estimate(&self, work: Work, now: Instant) -> Option<Known> {
        self.speeds.estimate(work.client, work.profile, work.pixels, now)
    }

    /// How long a job keeps a worker: as learned, else as it looks from what runs, else as guessed.
    pub(super) fn cost(&self, work: Work) -> Duration {
        let now = Instant::now();
        let guess = || Duration::try_from_secs_f64(guess_s(work.pixels)).unwrap_or(Duration::MAX);
        let from_running = || {
            let (pixels, took) =
                self.telling(work.client).fold((0.0, 0.0), |(pixels, took), (running, part)| {
                    let done = running.task.job.work_pixels() as f64 * part;
                    (pixels + done, took + running.since.elapsed().as_secs_f64())
                });
            (pixels > 0.0)
                .then(|| Duration::try_from_secs_f64(work.pixels as f64 / pixels * took).ok())
                .flatten()
        };
        self.estimate(work, now)
            .map(|known| known.time)
            .or_else(from_running)
            .or_else(|| self.speeds.mean(work.client, now))
            .unwrap_or_else(guess)
    }

    /// How long a job takes of which nothing is known but its profile.
    pub(super) fn usual_cost(&self, client: ClientTag, profile: &Profile) -> Duration {
        let usual = self.speeds.usual(client, &profile.name, Instant::now());
        usual.or_else(|| self.usual(client)).unwrap_or(USUAL_GUESS)
    }

    /// How long a client's job takes of which nothing is known; none before anything was learned.
    pub(super) fn usual(&self, client: ClientTag) -> Option<Duration> {
        self.speeds.mean(client, Instant::now()).or_else(|| {
            let (count, sum) =
                self.telling(client).fold((0u32, Duration::ZERO), |(count, sum), (running, part)| {
                    (count + 1, sum + running.since.elapsed().div_f64(part))
                });
            (count > 0).then(|| sum / count)
        })
    }

    /// How much of a running job's time is left.
    pub(super) fn remains(&self, running: &Running) -> Duration {
        let elapsed = running.since.elapsed();
        match running.part() {
            Some(part) => elapsed.mul_f64((1.0 - part) / part),
            None => self.cost(Work::of_task(&running.task)).saturating_sub(elapsed),
        }
    }
}
