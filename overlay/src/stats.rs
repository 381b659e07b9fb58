//! Counters.

use crate::{Event, Rejected, Traffic};

/// What one node's overlay did since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Their payload, in bytes.
    pub bytes_sent: u64,
    /// Datagrams that were not sent: their address has not shown that it is a member's, and had been sent enough.
    pub datagrams_held_back: u64,
    /// Datagrams that came in.
    pub datagrams_received: u64,
    /// Their payload, in bytes.
    pub bytes_received: u64,
    /// What was sent, by what it was for.
    pub sent: Traffic,
    /// What came in and was not ignored at the door, by what it was for.
    pub received: Traffic,
    /// Datagrams that were ignored, by reason.
    pub rejected: Rejected,
    /// What happened to the membership.
    pub events: EventCounts,
    /// Probes that ended without an answer.
    pub probes_failed: u64,
    /// Promises to be heard of that members did not keep in time.
    pub promises_broken: u64,
    /// Times this node refuted what was said of it.
    pub refutations: u64,
    /// Reports that nobody listens at an address.
    pub refusals: u64,
    /// Times this node found itself held up for more than half a period.
    pub freezes: u64,
    /// Times this node said that it has not converged for long.
    pub not_converged: u64,
    /// Members believed alive of which nothing was heard, while this node has not converged for ten periods or more; else
    /// zero. Not a counter.
    pub unheard_members: u64,
    /// Turns to ping a member that this node left out because it was behind with its work.
    pub turns_shed: u64,
    /// Pings for others that were left out for the same reason: a nack was sent at once.
    pub relays_shed: u64,
}

/// How often each [`Event`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventCounts {
    /// [`Event::Joined`].
    pub joined: u64,
    /// [`Event::Suspected`].
    pub suspected: u64,
    /// [`Event::Refuted`].
    pub refuted: u64,
    /// [`Event::Failed`].
    pub failed: u64,
    /// [`Event::Left`].
    pub left: u64,
    /// [`Event::Rejoined`].
    pub rejoined: u64,
    /// [`Event::NameConflict`].
    pub name_conflict: u64,
    /// [`Event::Converged`].
    pub converged: u64,
}

impl EventCounts {
    /// Each with its name in metrics.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("joined", self.joined),
            ("suspected", self.suspected),
            ("refuted", self.refuted),
            ("failed", self.failed),
            ("left", self.left),
            ("rejoined", self.rejoined),
            ("name_conflict", self.name_conflict),
            ("converged", self.converged),
        ]
    }
}

impl Stats {
    pub(crate) fn happened(&mut self, event: &Event) {
        let events = &mut self.events;
        *match event {
            Event::Joined(_) => &mut events.joined,
            Event::Suspected { .. } => &mut events.suspected,
            Event::Refuted(_) => &mut events.refuted,
            Event::Failed(_) => &mut events.failed,
            Event::Left(_) => &mut events.left,
            Event::Rejoined(_) => &mut events.rejoined,
            Event::NameConflict { .. } => &mut events.name_conflict,
            Event::Converged(_) => &mut events.converged,
            Event::Thawed { .. } => &mut self.freezes,
            Event::NotConverged { .. } => &mut self.not_converged,
            Event::Moved { .. }
            | Event::Elsewhere { .. }
            | Event::OtherTiming { .. }
            | Event::Cluster { .. } => return,
        } += 1;
    }
}

#[cfg(test)]
mod tests;
