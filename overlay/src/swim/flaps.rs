//! Members that fail and come back again and again.
//!
//! Such a member is a member each time that it is back, and is probed like any other. But work that it takes is lost with
//! its next failure. So it is left alone for a time that doubles with each failure, and forgiven when it stays (RFC 2439 does
//! the same with routes).

use std::collections::BTreeMap;

use crate::config::Params;
use crate::{NodeKey, Time};

/// Most members whose failures are counted; beyond it the one that failed longest ago is forgotten.
pub(super) const FLAPS_MAX: usize = 1_024;
/// A member may fail so often within [`Params::forgive`] and get work at once when it is back.
const FAILURES_FREE: u32 = 2;

/// What is held against a member.
#[derive(Clone, Copy, Debug)]
struct Flap {
    failures: u32,
    /// When it last failed, or came back.
    last: Time,
    /// Until then it gets no work.
    until: Time,
}

/// Members that failed lately.
#[derive(Debug, Default)]
pub(super) struct Flaps(BTreeMap<NodeKey, Flap>);

impl Flaps {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A member has failed, or was found to have started anew.
    pub fn failed(&mut self, key: NodeKey, now: Time, params: &Params) {
        if self.0.len() >= FLAPS_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, flap| !is_over(flap, now, params));
            let oldest = self.0.iter().min_by_key(|(_, flap)| flap.last).map(|(key, _)| *key);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= FLAPS_MAX) {
                self.0.remove(&oldest);
            }
        }
        let flap = self.0.entry(key).or_insert(Flap { failures: 0, last: now, until: now });
        if is_over(flap, now, params) {
            flap.failures = 0;
        }
        flap.failures = flap.failures.saturating_add(1);
        flap.last = now;
        flap.until = now + params.damped(flap.failures.saturating_sub(FAILURES_FREE));
    }

    /// It is back.
    pub fn returned(&mut self, key: NodeKey, now: Time, params: &Params) {
        if let Some(flap) = self.0.get_mut(&key) {
            flap.last = now;
            flap.until = now + params.damped(flap.failures.saturating_sub(FAILURES_FREE));
        }
    }

    /// How often this member failed lately, and until when it gets no work; none if it may get some.
    pub fn damping(&self, key: NodeKey, now: Time) -> Option<(u32, Time)> {
        let flap = self.0.get(&key).filter(|flap| flap.until > now)?;
        Some((flap.failures, flap.until))
    }
}

/// Whether it has been quiet for so long that nothing counts any more.
fn is_over(flap: &Flap, now: Time, params: &Params) -> bool {
    now.since(flap.last.max(flap.until)) > params.forgive()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Timing;

    const PARAMS: Params = Params::new(Timing::Lan);

    fn at(second: u64) -> Time {
        Time::from_micros(second * 1_000_000)
    }

    /// Seconds that a member still gets no work for, after each failure of one every `every` seconds.
    fn damped(flaps: &mut Flaps, failures: u64, every: u64) -> Vec<u64> {
        (0..failures)
            .map(|number| {
                flaps.failed(NodeKey(1), at(number * every), &PARAMS);
                let back = at(number * every + 1);
                flaps.returned(NodeKey(1), back, &PARAMS);
                flaps.damping(NodeKey(1), back).map_or(0, |(_, until)| until.since(back).as_secs())
            })
            .collect()
    }

    #[test]
    fn who_fails_again_and_again_gets_no_work_for_a_growing_time() {
        let mut flaps = Flaps::default();
        assert_eq!(damped(&mut flaps, 12, 5), [0, 0, 5, 10, 20, 40, 80, 160, 320, 320, 320, 320]);
        assert_eq!(flaps.damping(NodeKey(1), at(57)).unwrap().0, 12);
        assert_eq!(flaps.damping(NodeKey(1), at(60) + Duration::from_secs(320)), None);
        assert_eq!(flaps.damping(NodeKey(2), at(57)), None);
    }

    #[test]
    fn who_stays_is_forgiven() {
        let mut flaps = Flaps::default();
        assert_eq!(damped(&mut flaps, 5, 100), [0; 5], "failures far apart");
        damped(&mut flaps, 4, 5);
        flaps.failed(NodeKey(1), at(1_000), &PARAMS);
        flaps.returned(NodeKey(1), at(1_001), &PARAMS);
        assert_eq!(flaps.damping(NodeKey(1), at(1_001)), None);
    }

    #[test]
    fn those_held_against_are_bounded() {
        let mut flaps = Flaps::default();
        for key in 0..5_000 {
            flaps.failed(NodeKey(key), at(0), &PARAMS);
            assert!(flaps.len() <= FLAPS_MAX);
        }
    }
}
