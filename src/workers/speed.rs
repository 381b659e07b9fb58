//! What a job costs here, learned from those that were done.

use std::collections::HashMap;
use std::time::Duration;

use crate::profile::ProfileName;

/// What is left of a measurement's weight with each newer one.
const DECAY: f64 = 0.8;
/// Before so many jobs of a profile were done, nothing is said about the next one.
const JOBS_MIN: u32 = 3;
/// Profiles to learn apart; more than any node has.
const PROFILES_MAX: usize = 256;
/// Below this relative variance the sizes are too alike to tell a job's fixed cost from the cost of its pixels.
const RELATIVE_VARIANCE_MIN: f64 = 0.01;

/// How long a job is likely to take on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Until a worker is free for it.
    pub wait: Duration,
    /// From then to its result. `None` before enough like it was done here.
    pub service: Option<Duration>,
}

/// What one worker does, by profile and over all.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    by_profile: HashMap<ProfileName, Line>,
    all: Line,
}

/// Seconds as a line over work, `seconds = fixed + work * slope`: least squares over measurements that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    jobs: u32,
    weight: f64,
    work: f64,
    seconds: f64,
    work_squared: f64,
    work_seconds: f64,
}

impl Line {
    fn learn(&mut self, work: f64, seconds: f64) {
        self.jobs = self.jobs.saturating_add(1);
        for (sum, value) in [
            (&mut self.weight, 1.0),
            (&mut self.work, work),
            (&mut self.seconds, seconds),
            (&mut self.work_squared, work * work),
            (&mut self.work_seconds, work * seconds),
        ] {
            *sum = *sum * DECAY + value;
        }
    }

    fn mean_seconds(&self) -> Option<f64> {
        (self.jobs > 0).then(|| self.seconds / self.weight)
    }

    fn work_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0 && self.work > 0.0).then(|| self.work / self.seconds)
    }

    /// Seconds for this much work; for work of unknown size, what the last jobs took.
    fn seconds_for(&self, work: f64) -> Option<f64> {
        if work <= 0.0 || self.work <= 0.0 {
            return self.mean_seconds();
        }
        let proportional = self.seconds / self.work * work;
        let variance = self.weight * self.work_squared - self.work * self.work;
        if variance < RELATIVE_VARIANCE_MIN * self.work * self.work {
            return Some(proportional);
        }
        let slope = (self.weight * self.work_seconds - self.work * self.seconds) / variance;
        let fixed = (self.seconds - slope * self.work) / self.weight;
        // A line that falls, or starts below nothing, is noise.
        Some(if slope > 0.0 && fixed >= 0.0 { fixed + slope * work } else { proportional })
    }
}

impl Speeds {
    /// Takes in one finished job: so many pixels of work ([`crate::profile::Profile::work_pixels`]) in `took`.
    pub(super) fn learn(&mut self, profile: &ProfileName, work_pixels: u64, took: Duration) {
        let (work, seconds) = (work_pixels as f64, took.as_secs_f64());
        self.all.learn(work, seconds);
        if self.by_profile.len() < PROFILES_MAX || self.by_profile.contains_key(profile) {
            self.by_profile.entry(profile.clone()).or_default().learn(work, seconds);
        }
    }

    /// Pixels of work a second, over all profiles.
    pub(super) fn pixels_per_s(&self) -> Option<f64> {
        self.all.work_per_second()
    }

    /// Mean time of one job.
    pub(super) fn service(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.all.mean_seconds()?).ok()
    }

    /// Mean time of one job of this profile, once enough of them were done.
    pub(super) fn usual(&self, profile: &ProfileName) -> Option<Duration> {
        let line = self.by_profile.get(profile).filter(|line| line.jobs >= JOBS_MIN)?;
        Duration::try_from_secs_f64(line.mean_seconds()?).ok()
    }

    /// How long this job would keep a worker, once enough jobs of its profile were done to tell.
    pub(super) fn estimate(&self, profile: &ProfileName, work_pixels: u64) -> Option<Duration> {
        let line = self.by_profile.get(profile).filter(|line| line.jobs >= JOBS_MIN)?;
        Duration::try_from_secs_f64(line.seconds_for(work_pixels as f64)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProfileName {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_said_before_enough_was_done() {
        let mut speeds = Speeds::default();
        for _ in 0..JOBS_MIN {
            assert_eq!(speeds.estimate(&name("p"), 10), None);
            speeds.learn(&name("p"), 10, Duration::from_secs(1));
        }
        assert_eq!(
            speeds.estimate(&name("p"), 20),
            Some(Duration::from_secs(2)),
            "alike sizes: in proportion"
        );
        assert_eq!(speeds.estimate(&name("other"), 20), None);
    }

    #[test]
    fn the_fixed_cost_of_small_jobs_is_not_taken_for_slowness() {
        let mut speeds = Speeds::default();
        // 0.4 s each, and a second for 1,000 pixels.
        for work in [100u32, 200, 100, 300] {
            speeds.learn(&name("p"), work.into(), Duration::from_millis(u64::from(work) + 400));
        }
        let estimate = speeds.estimate(&name("p"), 10_000).unwrap().as_secs_f64();
        assert!((estimate - 10.4).abs() < 1e-6, "{estimate}");
    }

    #[test]
    fn noise_never_makes_a_bigger_job_cheaper() {
        let mut speeds = Speeds::default();
        for (work, ms) in [(100, 1_000), (200, 900), (300, 800)] {
            speeds.learn(&name("p"), work, Duration::from_millis(ms));
        }
        assert!(speeds.estimate(&name("p"), 1_000).unwrap() > speeds.estimate(&name("p"), 100).unwrap());
    }

    #[test]
    fn where_the_work_is_unknown_the_mean_time_has_to_do() {
        let mut speeds = Speeds::default();
        for _ in 0..JOBS_MIN {
            speeds.learn(&name("p"), 0, Duration::from_secs(3));
        }
        assert_eq!(speeds.pixels_per_s(), None);
        assert_eq!(speeds.estimate(&name("p"), 0), Some(Duration::from_secs(3)));
        assert_eq!(speeds.estimate(&name("p"), 5), Some(Duration::from_secs(3)));
    }

    #[test]
    fn newer_measurements_count_more() {
        let mut speeds = Speeds::default();
        for _ in 0..20 {
            speeds.learn(&name("p"), 1_000, Duration::from_secs(1));
        }
        for _ in 0..20 {
            speeds.learn(&name("p"), 1_000, Duration::from_secs(4));
        }
        assert!(speeds.estimate(&name("p"), 1_000).unwrap() > Duration::from_millis(3_900));
    }
}
