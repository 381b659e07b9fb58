//! What a job costs here, learned from those that were done.

use std::collections::HashMap;
use std::time::Duration;

use crate::content::MediaInfo;
use crate::profile::ProfileName;

/// How much the newest measurement counts.
const WEIGHT: f64 = 0.2;
/// Profiles to learn apart; more than any node has. Beyond it, the mean over all has to do.
const PROFILES_MAX: usize = 256;

/// How long a job is likely to take on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Until a worker is free for it.
    pub wait: Duration,
    /// From then to its result. `None` before anything like it was ever done here.
    pub service: Option<Duration>,
}

/// Means, each over the last few transcodes, of what one worker does.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    by_profile: HashMap<ProfileName, Mean>,
    all: Mean,
    service_s: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean(Option<f64>);

impl Mean {
    fn learn(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |mean| mean + WEIGHT * (value - mean)));
    }
}

impl Speeds {
    /// Takes in one finished job: `pixels` of input in `took`.
    pub(super) fn learn(&mut self, profile: &ProfileName, pixels: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        self.service_s.learn(seconds);
        if pixels == 0 || seconds <= 0.0 {
            return;
        }
        let speed = pixels as f64 / seconds;
        self.all.learn(speed);
        if self.by_profile.len() < PROFILES_MAX || self.by_profile.contains_key(profile) {
            self.by_profile.entry(profile.clone()).or_default().learn(speed);
        }
    }

    /// Pixels of input a second, for this profile or else for all.
    pub(super) fn pixels_per_s(&self, profile: Option<&ProfileName>) -> Option<f64> {
        profile.and_then(|name| self.by_profile.get(name)).unwrap_or(&self.all).0
    }

    /// Mean time of one job.
    pub(super) fn service(&self) -> Option<Duration> {
        self.service_s.0.map(Duration::from_secs_f64)
    }

    /// How long this job would keep a worker: by its pixels if they are known, else as long as the mean.
    pub(super) fn estimate(&self, profile: &ProfileName, info: &MediaInfo) -> Option<Duration> {
        let pixels = info.pixels();
        match self.pixels_per_s(Some(profile)) {
            Some(speed) if pixels > 0 => Duration::try_from_secs_f64(pixels as f64 / speed).ok(),
            _ => self.service(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::VideoInfo;

    fn clip(frames: u64) -> MediaInfo {
        let video = VideoInfo { width: 100, height: 10, frames, ..VideoInfo::default() };
        MediaInfo { video: Some(video), ..MediaInfo::default() }
    }

    #[test]
    fn cost_is_learned_per_profile_in_pixels_a_second() {
        let (fast, slow): (ProfileName, ProfileName) = ("fast".parse().unwrap(), "slow".parse().unwrap());
        let mut speeds = Speeds::default();
        assert_eq!(speeds.estimate(&fast, &clip(10)), None);
        speeds.learn(&fast, 10_000, Duration::from_secs(1));
        speeds.learn(&slow, 10_000, Duration::from_secs(10));
        assert_eq!(speeds.estimate(&fast, &clip(20)), Some(Duration::from_secs(2)));
        assert_eq!(speeds.estimate(&slow, &clip(20)), Some(Duration::from_secs(20)));
        // A new measurement moves the mean by its weight.
        speeds.learn(&fast, 20_000, Duration::from_secs(1));
        assert_eq!(speeds.pixels_per_s(Some(&fast)), Some(12_000.0));
    }

    #[test]
    fn where_the_pixels_are_unknown_the_mean_time_has_to_do() {
        let name: ProfileName = "p".parse().unwrap();
        let mut speeds = Speeds::default();
        speeds.learn(&name, 0, Duration::from_secs(3));
        assert_eq!(speeds.pixels_per_s(Some(&name)), None);
        assert_eq!(speeds.estimate(&name, &clip(0)), Some(Duration::from_secs(3)));
        assert_eq!(speeds.estimate(&name, &clip(5)), Some(Duration::from_secs(3)));
    }
}
