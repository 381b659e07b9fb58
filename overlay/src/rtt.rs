//! Round-trip time to one member: RFC 6298's estimator and a windowed minimum.
//!
//! Unlike there, the first sample counts for a deviation of an eighth of it and not of half: a ping that is repeated too
//! early costs a few bytes, one that is repeated too late costs time in which a dead member gets jobs.

use std::time::Duration;

use crate::{Rtt, Time};

/// How long a minimum counts: half of this to all of it.
const WINDOW: Duration = Duration::from_secs(60);

/// Smoothed RTT of one path, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RttEstimator {
    mean_us: u32,
    jitter_us: u32,
    /// Minimum of the current half-window and of the one before.
    min_us: [u32; 2],
    half_began: Time,
    samples: u32,
    /// The last three samples, newest first.
    recent_us: [u32; 3],
}

impl RttEstimator {
    pub fn update(&mut self, now: Time, sample: Duration) {
        let us = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.samples == 0 {
            *self = Self {
                mean_us: us,
                jitter_us: us / 8,
                min_us: [us, us],
                half_began: now,
                samples: 1,
                recent_us: [us; 3],
            };
            return;
        }
        if now.since(self.half_began) > WINDOW / 2 {
            self.min_us = [us, self.min_us[0]];
            self.half_began = now;
        }
        self.min_us[0] = self.min_us[0].min(us);
        // Until enough samples have come in, the plain average: a first sample that was unlucky must not linger.
        let weight = 8.min(u64::from(self.samples) + 1);
        self.recent_us = [us, self.recent_us[0], self.recent_us[1]];
        if let Some(level) = self.new_level() {
            self.mean_us = level;
            self.jitter_us = self.jitter_us.min(level / 4);
        } else {
            // The median of three: one answer of a member that was held up says nothing of the path.
            let mut three = self.recent_us;
            three.sort_unstable();
            self.jitter_us = blend(self.jitter_us, self.mean_us.abs_diff(three[1]), 4);
            self.mean_us = blend(self.mean_us, three[1], weight);
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// The path has changed when two samples in a row are off the mean to the same side and agree with each other.
    fn new_level(&self) -> Option<u32> {
        let [a, b, _] = self.recent_us;
        let off = |sample: u32| sample.abs_diff(self.mean_us) > self.mean_us / 5 + 1_000;
        let same_side = (a > self.mean_us) == (b > self.mean_us);
        let agree = a.abs_diff(b) <= a.max(b) / 4;
        (off(a) && off(b) && same_side && agree).then(|| a / 2 + b / 2)
    }

    pub fn get(&self) -> Option<Rtt> {
        (self.samples > 0).then(|| Rtt {
            mean: Duration::from_micros(self.mean_us.into()),
            min: Duration::from_micros(self.min_us[0].min(self.min_us[1]).into()),
            jitter: Duration::from_micros(self.jitter_us.into()),
        })
    }
}

fn blend(old: u32, new: u32, weight: u64) -> u32 {
    ((u64::from(old) * (weight - 1) + u64::from(new)) / weight) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_micros(ms * 1000)
    }

    #[test]
    fn first_sample_is_taken_whole() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.get(), None);
        rtt.update(at(0), Duration::from_millis(90));
        let got = rtt.get().unwrap();
        assert_eq!((got.mean, got.min), (Duration::from_millis(90), Duration::from_millis(90)));
        assert_eq!(rtt.get().map(|rtt| rtt.timeout()), Some(Duration::from_millis(135)));
    }

    #[test]
    fn a_new_level_is_taken_with_its_second_sample_and_one_outlier_never() {
        let mut rtt = RttEstimator::default();
        for second in 0..10 {
            rtt.update(at(second * 1000), Duration::from_millis(90));
        }
        rtt.update(at(10_000), Duration::from_millis(2_750));
        assert_eq!(rtt.get().unwrap().mean, Duration::from_millis(90), "held up once");
        rtt.update(at(11_000), Duration::from_millis(290));
        rtt.update(at(12_000), Duration::from_millis(290));
        assert_eq!(rtt.get().unwrap().mean, Duration::from_millis(290), "100 ms more each way");
    }

    #[test]
    fn mean_follows_and_minimum_leaves_the_window() {
        let mut rtt = RttEstimator::default();
        rtt.update(at(0), Duration::from_millis(10));
        for second in 1..=200 {
            rtt.update(at(second * 1000), Duration::from_millis(100));
        }
        let got = rtt.get().unwrap();
        assert!(got.mean > Duration::from_millis(99), "{got:?}");
        assert_eq!(got.min, Duration::from_millis(100));
        assert!(got.jitter < Duration::from_millis(1), "{got:?}");
    }
}
