//! How large results are, by profile.

use std::collections::BTreeMap;

use crate::profile::ProfileName;

/// What is thought before anything was seen.
const RATIO_GUESS: f64 = 0.5;
/// Weight of a result against all before it.
const WEIGHT: f64 = 0.2;
/// A preview of a song may be larger than the song; a ratio beyond is none.
const RATIO_MAX: f64 = 100.0;
/// Profiles remembered at the most; further ones are guessed.
const PROFILES_MAX: usize = 256;

/// Bytes of a result for a byte of its input.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    ratios: BTreeMap<ProfileName, f64>,
}

impl Sizes {
    /// A result has come.
    pub fn learn(&mut self, profile: &ProfileName, bytes_in: u64, bytes_out: u64) {
        if bytes_in == 0 || (self.ratios.len() >= PROFILES_MAX && !self.ratios.contains_key(profile)) {
            return;
        }
        let ratio = (bytes_out as f64 / bytes_in as f64).min(RATIO_MAX);
        let mean = self.ratios.entry(profile.clone()).or_insert(ratio);
        *mean += WEIGHT * (ratio - *mean);
    }

    /// How large the result of an input is likely to be.
    pub fn estimate(&self, profile: &ProfileName, bytes_in: u64) -> u64 {
        (self.ratios.get(profile).copied().unwrap_or(RATIO_GUESS) * bytes_in as f64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_as_large_as_it_was() {
        let mut sizes = Sizes::default();
        let [small, other] = ["poster", "360p"].map(|name| name.parse().unwrap());
        assert_eq!(sizes.estimate(&small, 1000), 500);
        sizes.learn(&small, 1000, 10);
        assert_eq!((sizes.estimate(&small, 1000), sizes.estimate(&other, 1000)), (10, 500));
        sizes.learn(&small, 1000, 60);
        assert_eq!(sizes.estimate(&small, 1000), 20);
        sizes.learn(&other, 0, 60);
        assert_eq!(sizes.estimate(&other, 1000), 500);
        for number in 0..PROFILES_MAX + 10 {
            sizes.learn(&format!("p{number}").parse().unwrap(), 1, u64::MAX);
        }
        assert_eq!(sizes.ratios.len(), PROFILES_MAX);
    }
}
