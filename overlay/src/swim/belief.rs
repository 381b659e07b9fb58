//! What nobody is believed: claims that would leave their subject nothing to answer with.
//!
//! Claims are ordered, and the greatest counts. So the greatest claim of all would be the last word on a member, whoever
//! said it. Boots ahead of the clock and the top of the incarnations are therefore out of reach for everybody.

use std::time::Duration;

use super::Swim;
use crate::precedence::INCARNATION_MAX;
use crate::{BootEpoch, Incarnation, Time};

/// How far ahead of this node's clock a boot may lie that others tell of. Clocks differ, but not by a day.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The same if the member says it itself: it may have outbid a claim that lay at the other limit, and to say so it must be
/// believed by members whose clocks are behind.
const AHEAD_MAX_FIRST_HAND: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The wall clock, as this node was last told.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    /// Milliseconds since 1970, as boots are.
    told: BootEpoch,
    at: Time,
}

impl WallClock {
    /// It was this time then.
    pub fn new(told: BootEpoch, at: Time) -> Self {
        Self { told, at }
    }

    fn ahead(self, now: Time, by: Duration) -> BootEpoch {
        let passed = now.since(self.at) + by;
        let passed_ms = passed.as_secs() * 1_000 + u64::from(passed.subsec_millis());
        BootEpoch(self.told.0.saturating_add(passed_ms))
    }
}

impl Swim {
    /// Whether a claim about this boot and incarnation may be true; `first_hand` if its subject says it itself.
    pub(super) fn is_believable(&self, boot: BootEpoch, incarnation: Incarnation, first_hand: bool) -> bool {
        let by = if first_hand { AHEAD_MAX_FIRST_HAND } else { AHEAD_MAX };
        boot <= self.wall.ahead(self.now, by) && incarnation <= INCARNATION_MAX
    }
}
