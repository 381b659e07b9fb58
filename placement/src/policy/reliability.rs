//! How often jobs that peers took came to nothing there, lately.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_overlay::NodeName;

/// Weight of a job against all before it.
const WEIGHT: f64 = 0.3;
/// After so long half of what was seen is forgotten: a peer that is not tried can't show that it has become better.
const HALVED_AFTER: Duration = Duration::from_secs(30);
/// No peer is thought to fail more often: so a job is never predicted to take more than ten times as long.
const RATIO_MAX: f64 = 0.9;
/// What is less than that is forgotten.
const RATIO_MIN: f64 = 0.01;
/// Peers remembered at the most; the one that fails least is forgotten then.
const PEERS_MAX: usize = 4096;

/// One peer's part of jobs that fail, 0 to 1, and when that was so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    ratio: f64,
    at: Instant,
}

/// The peers at which jobs failed lately.
#[derive(Clone, Debug, Default)]
pub struct Reliability {
    peers: BTreeMap<NodeName, Failing>,
}

impl Failing {
    fn ratio(&self, now: Instant) -> f64 {
        let halvings = now.saturating_duration_since(self.at).as_secs_f64() / HALVED_AFTER.as_secs_f64();
        self.ratio * (-halvings).exp2()
    }

    /// How many tries a job takes there until it is done, on average: a job that fails has to be done again.
    pub(super) fn tries(&self, now: Instant) -> f64 {
        1.0 / (1.0 - self.ratio(now).min(RATIO_MAX))
    }
}

impl Reliability {
    /// A job that a peer had has come to its end there.
    pub fn learn(&mut self, now: Instant, peer: &NodeName, failed: bool) {
        let before = self.peers.get(peer).map_or(0.0, |failing| failing.ratio(now));
        let ratio = before + WEIGHT * (f64::from(u8::from(failed)) - before);
        if ratio < RATIO_MIN {
            self.peers.remove(peer);
            return;
        }
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(peer) {
            let ratio = |failing: &Failing| failing.ratio(now);
            let least = self.peers.iter().min_by(|(_, a), (_, b)| ratio(a).total_cmp(&ratio(b)));
            if let Some(least) = least.map(|(name, _)| name.clone()) {
                self.peers.remove(&least);
            }
        }
        self.peers.insert(peer.clone(), Failing { ratio, at: now });
    }

    /// How many tries a job takes at a peer until it is done, on average: 1 where none failed.
    pub fn tries(&self, now: Instant, peer: &NodeName) -> f64 {
        self.peers.get(peer).map_or(1.0, |failing| failing.tries(now))
    }

    /// All of it, by name.
    pub(super) fn by_name(&self) -> impl Iterator<Item = (&NodeName, &Failing)> {
        self.peers.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn failures_count_and_are_forgotten_by_time_and_by_success() {
        let (mut reliability, now, peer) = (Reliability::default(), start(), "b".parse().unwrap());
        assert!((reliability.tries(now, &peer) - 1.0).abs() < 1e-9);
        reliability.learn(now, &peer, true);
        assert!((reliability.tries(now, &peer) - 1.0 / 0.7).abs() < 1e-9);
        for _ in 0..50 {
            reliability.learn(now, &peer, true);
        }
        assert!((reliability.tries(now, &peer) - 10.0).abs() < 1e-9, "bounded");
        let later = now + HALVED_AFTER;
        assert!((reliability.tries(later, &peer) - 2.0).abs() < 1e-3);
        for _ in 0..20 {
            reliability.learn(later, &peer, false);
        }
        assert!(reliability.peers.is_empty(), "nothing is left of it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut reliability, now) = (Reliability::default(), start());
        for number in 0..PEERS_MAX + 10 {
            reliability.learn(now, &format!("node{number}").parse().unwrap(), true);
        }
        assert_eq!(reliability.peers.len(), PEERS_MAX);
    }
}
