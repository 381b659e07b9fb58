//! What nobody is believed: claims that would leave their subject nothing to answer with.
//!
//! Claims are ordered, and the greatest counts. So the greatest claim of all would be the last word on a member, whoever
//! said it. Boots ahead of the clock and the top of the incarnations are therefore out of reach for everybody.

use std::time::Duration;

use super::Swim;
use crate::members::Peer;
use crate::precedence::INCARNATION_MAX;
use crate::{BootEpoch, Incarnation, NodeKey, Time};

/// How far ahead of this node's clock a boot may lie that others tell of, or that comes from elsewhere than where the member of that
/// name is: anyone may come in any name. Clocks differ, but not by a day.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The same of this node's own name: whatever others with clocks ahead of this one believe of it, it must hear, to outbid it.
const AHEAD_MAX_OWN: Duration = Duration::from_secs(36 * 60 * 60);
/// The same if the member says it itself, where it is known to be: it may have outbid a claim that lay at the limit before, and to
/// say so it must be believed by members whose clocks are behind.
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
    /// Whether a claim about this boot and incarnation of a member may be true; `first_hand` if the member says it itself.
    pub(super) fn is_believable(
        &self,
        of: NodeKey,
        boot: BootEpoch,
        incarnation: Incarnation,
        first_hand: bool,
    ) -> bool {
        if incarnation <= INCARNATION_MAX && self.is_within(boot, AHEAD_MAX) {
            return true;
        }
        let own = of == self.key && self.is_within(boot, AHEAD_MAX_OWN);
        !self.is_beyond_belief(boot, incarnation) && (own || (first_hand && self.speaks_from_where_it_is(of)))
    }

    /// Whether what a datagram says of its sender can't be true, wherever it comes from.
    pub(super) fn is_beyond_belief(&self, boot: BootEpoch, incarnation: Incarnation) -> bool {
        incarnation > INCARNATION_MAX || !self.is_within(boot, AHEAD_MAX_FIRST_HAND)
    }

    fn is_within(&self, boot: BootEpoch, ahead: Duration) -> bool {
        boot <= self.wall.ahead(self.now, ahead)
    }

    /// Whether the datagram in hand comes from where this member is known to be.
    fn speaks_from_where_it_is(&self, key: NodeKey) -> bool {
        let is_there = |peer: &Peer| {
            self.source.is_some_and(|(from, _)| from == peer.identity.gossip || from == peer.address())
        };
        self.members.by_key(key).is_some_and(is_there)
    }
}
