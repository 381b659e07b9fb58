//! Nonces that were used, for as long as their time makes them usable.

use hashlink::LinkedHashMap;

use super::CLOCK_SKEW_S_MAX;

/// Nonces remembered at the most: over 2,000 requests a second between two nodes. Only members can add any.
const NONCES_MAX: usize = 1 << 18;

/// In the order of arrival, each with the second after which its proof is stale.
#[derive(Debug, Default)]
pub(super) struct Seen(LinkedHashMap<u128, u64>);

impl Seen {
    /// Remembers a nonce; false if it was known.
    pub(super) fn insert(&mut self, nonce: u128, time_s: u64, now_s: u64) -> bool {
        while self.0.front().is_some_and(|(_, over_s)| *over_s < now_s) || self.0.len() >= NONCES_MAX {
            self.0.pop_front();
        }
        // One that is known keeps its place: its time does not begin anew.
        let fresh = !self.0.contains_key(&nonce);
        if fresh {
            self.0.insert(nonce, time_s + CLOCK_SKEW_S_MAX);
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
        assert!(seen.0.len() <= NONCES_MAX);
    }
}
