//! Nonces that were used, for as long as their time makes them usable.

use std::collections::{HashSet, VecDeque};

use super::CLOCK_SKEW_S_MAX;

/// Nonces remembered at the most: over 2,000 requests a second between two nodes. Only members can add any.
const NONCES_MAX: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct Seen {
    nonces: HashSet<u128>,
    /// In the order of arrival, each with the second after which its proof is stale.
    order: VecDeque<(u64, u128)>,
}

impl Seen {
    /// Remembers a nonce; false if it was known.
    pub(super) fn insert(&mut self, nonce: u128, time_s: u64, now_s: u64) -> bool {
        while let Some(&(over_s, oldest)) = self.order.front() {
            if over_s >= now_s && self.order.len() < NONCES_MAX {
                break;
            }
            self.order.pop_front();
            self.nonces.remove(&oldest);
        }
        let fresh = self.nonces.insert(nonce);
        if fresh {
            self.order.push_back((time_s + CLOCK_SKEW_S_MAX, nonce));
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_known_for_its_time_and_the_memory_is_bounded() {
        let mut seen = Seen::default();
        assert!(seen.insert(1, 100, 100));
        assert!(!seen.insert(1, 100, 100 + CLOCK_SKEW_S_MAX));
        assert!(seen.insert(1, 300, 100 + CLOCK_SKEW_S_MAX + 1), "its proof would be stale by now");
        for nonce in 2..NONCES_MAX as u128 + 100 {
            seen.insert(nonce, 300, 300);
        }
        assert!(seen.nonces.len() <= NONCES_MAX && seen.order.len() == seen.nonces.len());
    }
}
