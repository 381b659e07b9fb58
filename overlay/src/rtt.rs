//! Round-trip time to one member: RFC 6298's estimator and a windowed minimum.

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
}

impl RttEstimator {
    pub fn update(&mut self, now: Time, sample: Duration) {
        let us = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.samples == 0 {
            *self = Self { mean_us: us, jitter_us: us / 2, min_us: [us, us], half_began: now, samples: 1 };
            return;
        }
        if now.since(self.half_began) > WINDOW / 2 {
            self.min_us = [us, self.min_us[0]];
            self.half_began = now;
        }
        self.min_us[0] = self.min_us[0].min(us);
        // Until enough samples have come in, the plain average: a first sample that was unlucky must not linger.
        let weight = 8.min(u64::from(self.samples) + 1);
        let deviation = self.mean_us.abs_diff(us);
        self.jitter_us = blend(self.jitter_us, deviation, 4);
        self.mean_us = blend(self.mean_us, us, weight);
        self.samples = self.samples.saturating_add(1);
    }

    pub fn get(&self) -> Option<Rtt> {
        (self.samples > 0).then(|| Rtt {
            mean: Duration::from_micros(self.mean_us.into()),
            min: Duration::from_micros(self.min_us[0].min(self.min_us[1]).into()),
            jitter: Duration::from_micros(self.jitter_us.into()),
        })
    }

    /// How long to wait for an answer (RFC 6298's RTO without its bounds).
    pub fn timeout(&self) -> Option<Duration> {
        self.get().map(|rtt| rtt.mean + 4 * rtt.jitter)
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
        assert_eq!(rtt.timeout(), Some(Duration::from_millis(270)));
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
