//! What a job costs here, learned from those that were done; and from those that were not done in time, that it costs more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::belief::Speed;
use crate::profile::ProfileName;

/// What is left of a measurement's weight with each newer one.
const DECAY: f64 = 0.8;
/// Before so many jobs of a profile were done, nothing is said about the next one.
const JOBS_MIN: u32 = 3;
/// Profiles to learn apart; more than any node has.
const PROFILES_MAX: usize = 256;
/// Below this relative variance the sizes are too alike to tell a job's fixed cost from the cost of its pixels.
const RELATIVE_VARIANCE_MIN: f64 = 0.01;

/// What a line is made of: a fixed cost, and one of the pixels.
const PARAMETERS: f64 = 2.0;
/// Three measurements are worth a little less than three, since older ones count less.
const COUNT_MIN: f64 = 0.5;

/// What is thought of a job before anything was learned: so many pixels of work a second with one worker. Rather too
/// few: a queue that is too short costs less than work that comes too late.
const PIXELS_PER_S_GUESS: f64 = 50e6;
/// And for so long it is set up and looked at.
const FIXED_GUESS_S: f64 = 0.5;
/// From this part on, what is done of a job tells how long it takes.
pub(super) const TELLING_PART: f64 = 0.05;
/// How much of a job is taken to be done that was ended and did not tell.
const UNTOLD_PART: f64 = 0.5;
/// By how much one job that was not done in time may make the next ones look longer: it may be that one video's doing.
const SLOWER_MAX: f64 = 2.0;
/// And by how much all of them may.
const SLOWEST: f64 = 64.0;
/// After so long half of what such jobs have taught is forgotten. When they have made a node refuse everything, there is
/// nothing else that could tell it that its machine is fast again.
const SLOWER_HALF_LIFE: Duration = Duration::from_secs(30);
/// What is left of it below this is not worth a word.
const SLOWER_MIN: f64 = 1.01;

/// What a job takes before anything is known of the machine, in seconds.
pub(super) fn guess_s(work_pixels: u64) -> f64 {
    FIXED_GUESS_S + work_pixels as f64 / PIXELS_PER_S_GUESS
}

/// What one worker does with one client's jobs, by profile and over all.
#[derive(Debug, Default)]
pub(super) struct Book {
    by_profile: BTreeMap<ProfileName, Line>,
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
    seconds_squared: f64,
    /// The squares of the measurements' weights: how many they are worth.
    weight_squared: f64,
    slower: Slower,
}

/// How many times longer than the line says jobs take now, by those that were ended before they were done.
#[derive(Clone, Copy, Debug, Default)]
struct Slower {
    /// And when that was learned.
    learned: Option<(f64, Instant)>,
}

impl Slower {
    /// 1: as the line says.
    fn times(&self, now: Instant) -> f64 {
        let Some((times, at)) = self.learned else { return 1.0 };
        let halved = now.saturating_duration_since(at).div_duration_f64(SLOWER_HALF_LIFE);
        1.0 + (times - 1.0) * 0.5f64.powf(halved)
    }

    /// A job took at least this many times what the line says.
    fn at_least(&mut self, times: f64, now: Instant) {
        let known = self.times(now);
        if times > known && known < SLOWEST {
            self.learned = Some((times.min(known * SLOWER_MAX).min(SLOWEST), now));
        }
    }

    /// A job was done in this many times what the line said.
    fn at_most(&mut self, times: f64, now: Instant) {
        let times = times.min(self.times(now));
        self.learned = (times > SLOWER_MIN).then_some((times, now));
    }
}

impl Line {
    /// What the line says, or who has no line guesses.
    fn or_guess(&self, work: f64) -> f64 {
        let known = (self.jobs >= JOBS_MIN).then(|| self.seconds_for(work)).flatten();
        known.unwrap_or_else(|| guess_s(work as u64))
    }

    fn done(&mut self, work: f64, seconds: f64, now: Instant) {
        self.learn(work, seconds);
        self.slower.at_most(seconds / self.or_guess(work), now);
    }

    fn not_done(&mut self, work: f64, seconds: f64, now: Instant) {
        self.slower.at_least(seconds / self.or_guess(work), now);
    }

    /// Seconds for this much work, once there is something to tell by.
    fn estimate(&self, work: f64, now: Instant) -> Option<f64> {
        let slower = self.slower.times(now);
        (self.jobs >= JOBS_MIN || slower > SLOWER_MIN).then(|| self.or_guess(work) * slower)
    }

    fn learn(&mut self, work: f64, seconds: f64) {
        self.jobs = self.jobs.saturating_add(1);
        for (sum, value) in [
            (&mut self.weight, 1.0),
            (&mut self.work, work),
            (&mut self.seconds, seconds),
            (&mut self.work_squared, work * work),
            (&mut self.work_seconds, work * seconds),
            (&mut self.seconds_squared, seconds * seconds),
        ] {
            *sum = *sum * DECAY + value;
        }
        self.weight_squared = self.weight_squared * DECAY * DECAY + 1.0;
    }

    /// The standard error of what the line says, as a part of it: by how far its jobs lie from their mean rate, and by how many they are.
    /// None where there are too few to tell.
    fn error(&self) -> Option<f64> {
        if self.jobs < JOBS_MIN || self.seconds <= 0.0 {
            return None;
        }
        // As many as count, of measurements that fade (Kish, "Survey Sampling", 1965).
        let count = self.weight * self.weight / self.weight_squared;
        let squares = if self.work > 0.0 {
            let rate = self.seconds / self.work;
            self.seconds_squared - 2.0 * rate * self.work_seconds + rate * rate * self.work_squared
        } else {
            self.seconds_squared - self.seconds * self.seconds / self.weight
        };
        let mean = self.seconds / self.weight;
        let variance = squares.max(0.0) / self.weight / (mean * mean);
        // Two of them are used up by the line itself.
        Some((variance / (count - PARAMETERS).max(COUNT_MIN)).sqrt())
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

impl Book {
    /// Takes in one finished job: so many pixels of work in `took`.
    pub(super) fn learn(&mut self, profile: &ProfileName, work_pixels: u64, took: Duration, now: Instant) {
        let (work, seconds) = (work_pixels as f64, took.as_secs_f64());
        self.all.done(work, seconds, now);
        if let Some(line) = self.line(profile) {
            line.done(work, seconds, now);
        }
    }

    /// Takes in a job that was ended at its deadline after `ran`, with this part of it done, if it told.
    ///
    /// It is no measurement, and does not become one: it makes jobs look longer, by [`SLOWER_MAX`] at the most, until one is
    /// done in less than that, or time has passed.
    pub(super) fn learn_unfinished(
        &mut self,
        profile: &ProfileName,
        work_pixels: u64,
        ran: Duration,
        part: Option<f64>,
        now: Instant,
    ) {
        let part = part.filter(|part| *part >= TELLING_PART).unwrap_or(UNTOLD_PART).min(1.0);
        let (work, seconds) = (work_pixels as f64, ran.as_secs_f64() / part);
        self.all.not_done(work, seconds, now);
        if let Some(line) = self.line(profile) {
            line.not_done(work, seconds, now);
        }
    }

    /// Whether what it says stays the same until more is learned: nothing is to be forgotten with time.
    pub(super) fn is_steady(&self) -> bool {
        self.by_profile.values().chain([&self.all]).all(|line| line.slower.learned.is_none())
    }

    /// Whether what is said of this profile was learned of jobs that were done, and of no others.
    pub(super) fn is_sure(&self, profile: &ProfileName, now: Instant) -> bool {
        self.by_profile
            .get(profile)
            .is_some_and(|line| line.jobs >= JOBS_MIN && line.slower.times(now) <= SLOWER_MIN)
    }

    fn line(&mut self, profile: &ProfileName) -> Option<&mut Line> {
        (self.by_profile.len() < PROFILES_MAX || self.by_profile.contains_key(profile))
            .then(|| self.by_profile.entry(profile.clone()).or_default())
    }

    /// Pixels of work a second, over all profiles.
    pub(super) fn speed(&self) -> Option<Speed> {
        let pixels_per_s = self.all.work_per_second()?;
        Some(Speed { pixels_per_s, error: self.all.error() })
    }

    /// The standard error of [`Self::estimate`], as a part of it; none where that was not learned of enough jobs that were done.
    pub(super) fn error(&self, profile: &ProfileName) -> Option<f64> {
        self.by_profile.get(profile)?.error()
    }

    /// Mean time of one job, as jobs go now.
    pub(super) fn service(&self, now: Instant) -> Option<Duration> {
        Duration::try_from_secs_f64(self.all.mean_seconds()? * self.all.slower.times(now)).ok()
    }

    /// The same of this profile, once enough of them were done.
    pub(super) fn usual(&self, profile: &ProfileName, now: Instant) -> Option<Duration> {
        let line = self.by_profile.get(profile).filter(|line| line.jobs >= JOBS_MIN)?;
        Duration::try_from_secs_f64(line.mean_seconds()? * line.slower.times(now)).ok()
    }

    /// How long this job would keep a worker, once enough jobs of its profile were done to tell, or not done in time.
    pub(super) fn estimate(&self, profile: &ProfileName, work_pixels: u64, now: Instant) -> Option<Duration> {
        let line = self.by_profile.get(profile)?;
        Duration::try_from_secs_f64(line.estimate(work_pixels as f64, now)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn name(text: &str) -> ProfileName {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_said_before_enough_was_done() {
        let mut speeds = Book::default();
        for _ in 0..JOBS_MIN {
            assert_eq!(speeds.estimate(&name("p"), 10, start()), None);
            speeds.learn(&name("p"), 10, Duration::from_secs(1), start());
        }
        assert_eq!(
            speeds.estimate(&name("p"), 20, start()),
            Some(Duration::from_secs(2)),
            "alike sizes: in proportion"
        );
        assert_eq!(speeds.estimate(&name("other"), 20, start()), None);
    }

    #[test]
    fn the_fixed_cost_of_small_jobs_is_not_taken_for_slowness() {
        let mut speeds = Book::default();
        // 0.4 s each, and a second for 1,000 pixels.
        for work in [100u32, 200, 100, 300] {
            speeds.learn(&name("p"), work.into(), Duration::from_millis(u64::from(work) + 400), start());
        }
        let estimate = speeds.estimate(&name("p"), 10_000, start()).unwrap().as_secs_f64();
        assert!((estimate - 10.4).abs() < 1e-6, "{estimate}");
    }

    #[test]
    fn noise_never_makes_a_bigger_job_cheaper() {
        let mut speeds = Book::default();
        for (work, ms) in [(100, 1_000), (200, 900), (300, 800)] {
            speeds.learn(&name("p"), work, Duration::from_millis(ms), start());
        }
        assert!(
            speeds.estimate(&name("p"), 1_000, start()).unwrap()
                > speeds.estimate(&name("p"), 100, start()).unwrap()
        );
    }

    #[test]
    fn where_the_work_is_unknown_the_mean_time_has_to_do() {
        let mut speeds = Book::default();
        for _ in 0..JOBS_MIN {
            speeds.learn(&name("p"), 0, Duration::from_secs(3), start());
        }
        assert_eq!(speeds.speed(), None);
        assert_eq!(speeds.estimate(&name("p"), 0, start()), Some(Duration::from_secs(3)));
        assert_eq!(speeds.estimate(&name("p"), 5, start()), Some(Duration::from_secs(3)));
    }

    #[test]
    fn the_error_is_that_of_the_jobs_and_less_the_more_of_them_there_are() {
        let of = |jobs: usize, spread: u64| {
            let mut speeds = Book::default();
            for at in 0..jobs as u64 {
                let ms = if at % 2 == 0 { 1_000 - spread } else { 1_000 + spread };
                speeds.learn(&name("p"), 1_000, Duration::from_millis(ms), start());
            }
            speeds.error(&name("p"))
        };
        assert_eq!(of(2, 300), None, "two jobs tell nothing");
        assert_eq!(of(50, 0), Some(0.0));
        let [few, many, wide] = [of(3, 100), of(50, 100), of(50, 400)].map(Option::unwrap);
        // Nine of measurements that fade by 0.8 count, and two are used up: 0.1 by the root of seven.
        assert!((many - 0.1 / 7.0f64.sqrt()).abs() < 2e-3, "{many}");
        assert!(few > 2.0 * many && wide > 3.5 * many, "{few} {many} {wide}");
        assert_eq!(Book::default().error(&name("p")), None);
    }

    #[test]
    fn newer_measurements_count_more() {
        let mut speeds = Book::default();
        for _ in 0..20 {
            speeds.learn(&name("p"), 1_000, Duration::from_secs(1), start());
        }
        for _ in 0..20 {
            speeds.learn(&name("p"), 1_000, Duration::from_secs(4), start());
        }
        assert!(speeds.estimate(&name("p"), 1_000, start()).unwrap() > Duration::from_millis(3_900));
    }

    /// 20 jobs of one second for 1,000 pixels.
    fn used_to_a_second(now: Instant) -> Book {
        let mut speeds = Book::default();
        for _ in 0..20 {
            speeds.learn(&name("p"), 1_000, Duration::from_secs(1), now);
        }
        speeds
    }

    fn seconds(speeds: &Book, now: Instant) -> f64 {
        speeds.estimate(&name("p"), 1_000, now).unwrap().as_secs_f64()
    }

    #[test]
    fn jobs_that_are_never_done_in_time_soon_look_too_long() {
        let now = start();
        let mut speeds = used_to_a_second(now);
        let mut wasted = 0;
        while seconds(&speeds, now) <= 10.0 {
            speeds.learn_unfinished(&name("p"), 1_000, Duration::from_secs(10), None, now);
            wasted += 1;
            assert!(wasted <= 4, "{} s after {wasted}", seconds(&speeds, now));
        }
        // Nor does it go on for ever: more than what was seen is not made of it.
        for _ in 0..20 {
            speeds.learn_unfinished(&name("p"), 1_000, Duration::from_secs(10), None, now);
        }
        assert!((seconds(&speeds, now) - 20.0).abs() < 1e-6);
        assert!((speeds.usual(&name("p"), now).unwrap().as_secs_f64() - 20.0).abs() < 1e-6);
        assert!((speeds.service(now).unwrap().as_secs_f64() - 20.0).abs() < 1e-6);
        assert_eq!(speeds.estimate(&name("other"), 1_000, now), None, "other profiles are others");
    }

    #[test]
    fn what_is_done_of_it_tells_how_long_it_would_have_taken() {
        let now = start();
        let mut speeds = used_to_a_second(now);
        for _ in 0..5 {
            speeds.learn_unfinished(&name("p"), 1_000, Duration::from_secs(4), Some(0.8), now);
        }
        assert!((seconds(&speeds, now) - 5.0).abs() < 1e-6);
        // An hour's video that was given a second teaches nothing.
        let mut speeds = used_to_a_second(now);
        speeds.learn_unfinished(&name("p"), 3_600_000, Duration::from_secs(1), None, now);
        speeds.learn_unfinished(&name("p"), 3_600_000, Duration::from_secs(1), Some(0.01), now);
        assert!((seconds(&speeds, now) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn one_job_that_is_done_tells_that_the_machine_is_fast_again() {
        let now = start();
        let mut speeds = used_to_a_second(now);
        for _ in 0..10 {
            speeds.learn_unfinished(&name("p"), 1_000, Duration::from_secs(10), None, now);
        }
        // Without one, time does, so that there can be one again.
        let later = now + 5 * SLOWER_HALF_LIFE;
        assert!(seconds(&speeds, later) < 2.0, "{}", seconds(&speeds, later));
        speeds.learn(&name("p"), 1_000, Duration::from_secs(1), now);
        assert!((seconds(&speeds, now) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn one_video_that_takes_for_ever_does_not_spoil_the_figures_of_all_others() {
        let now = start();
        let mut speeds = used_to_a_second(now);
        // It says that it is small, and has had a day.
        speeds.learn_unfinished(&name("p"), 1, Duration::from_secs(86_400), Some(0.05), now);
        assert!(seconds(&speeds, now) <= SLOWER_MAX);
        speeds.learn(&name("p"), 1_000, Duration::from_secs(1), now);
        assert!((seconds(&speeds, now) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_machine_that_never_did_one_in_time_is_known_for_it_and_then_tried_again() {
        let (mut speeds, now) = (Book::default(), start());
        for _ in 0..5 {
            speeds.learn_unfinished(&name("p"), 1_000, Duration::from_secs(10), None, now);
        }
        assert!(seconds(&speeds, now) > 10.0);
        assert_eq!(speeds.estimate(&name("p"), 1_000, now + 20 * SLOWER_HALF_LIFE), None);
    }
}
