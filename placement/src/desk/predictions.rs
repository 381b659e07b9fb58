//! How many times their predicted time jobs took, by profile: of the last ones, since machines and videos change.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::profile::ProfileName;

/// Jobs of a profile that are remembered.
const JOBS_MAX: usize = 100;
/// Profiles that are told apart; more than any node has.
const PROFILES_MAX: usize = 256;

/// How many times what was predicted each of the last jobs took.
#[derive(Clone, Debug, Default)]
struct Ratios(VecDeque<f32>);

impl Ratios {
    fn push(&mut self, took_by_predicted: f64) {
        if self.0.len() >= JOBS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(took_by_predicted as f32);
    }

    /// The least that so great a part of them does not exceed; none of none.
    fn quantile(&self, part: f64, of: impl Fn(f32) -> f32) -> Option<f64> {
        let mut values: Vec<f32> = self.0.iter().copied().map(of).collect();
        values.sort_by(f32::total_cmp);
        let rank = (part * values.len() as f64).ceil() as usize;
        values.get(rank.max(1) - 1).copied().map(f64::from)
    }
}

/// What was predicted beside what came of it.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    by_profile: BTreeMap<ProfileName, Ratios>,
}

impl Predictions {
    /// Takes in one job that was done. What was predicted to take no time says nothing.
    pub fn learn(&mut self, profile: &ProfileName, predicted: Duration, took: Duration) {
        if predicted.is_zero() {
            return;
        }
        if self.by_profile.len() >= PROFILES_MAX && !self.by_profile.contains_key(profile) {
            return;
        }
        self.by_profile.entry(profile.clone()).or_default().push(took.div_duration_f64(predicted));
    }

    /// Profiles of which something was predicted.
    pub fn profiles(&self) -> impl Iterator<Item = &ProfileName> {
        self.by_profile.keys()
    }

    /// How many times its predicted time a job takes that is in this part of them, from the shortest on: 0.9 for all but the longest
    /// tenth. None before any was predicted.
    pub fn took_by_predicted(&self, profile: &ProfileName, part: f64) -> Option<f64> {
        self.by_profile.get(profile)?.quantile(part, |ratio| ratio)
    }

    /// The relative error, `|took - predicted| / predicted`, that this part of the jobs does not exceed.
    pub fn error(&self, profile: &ProfileName, part: f64) -> Option<f64> {
        self.by_profile.get(profile)?.quantile(part, |ratio| (ratio - 1.0).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_jobs_of_each_profile_tell_how_far_off_predictions_are() {
        let (mut predictions, [p, q]) =
            (Predictions::default(), ["p", "q"].map(|name| name.parse().unwrap()));
        let second = Duration::from_secs(1);
        assert_eq!(predictions.error(&p, 0.9), None);
        // Forgotten by the hundred that come after it.
        predictions.learn(&p, second, 50 * second);
        for percent in 1..=100 {
            predictions.learn(&p, second, second.mul_f64(0.5 + f64::from(percent) / 100.0));
        }
        predictions.learn(&q, Duration::ZERO, second);
        let near = |got: Option<f64>, expected: f64| got.is_some_and(|got| (got - expected).abs() < 1e-6);
        assert!(near(predictions.took_by_predicted(&p, 0.5), 1.0));
        assert!(near(predictions.took_by_predicted(&p, 0.9), 1.4));
        assert!(near(predictions.took_by_predicted(&p, 1.0), 1.5));
        assert!(near(predictions.error(&p, 0.5), 0.25), "{:?}", predictions.error(&p, 0.5));
        assert!(near(predictions.error(&p, 0.9), 0.45));
        assert_eq!(predictions.profiles().collect::<Vec<_>>(), [&p]);
        assert_eq!(predictions.error(&q, 0.5), None);
    }
}
