//! Members of one cluster share a timing profile: a member with a longer period answers no sooner than its own probes ask, and is
//! suspected by those with a shorter one when a packet is late. The protocol goes on, so that a profile can be changed node by node;
//! an operator who did not mean to is told.

use super::{Event, Swim};
use crate::Time;
use crate::members::Slot;
use crate::wire::Datagram;

/// Periods until the next member with another one is told of: where one node's profile is wrong, that node meets all others.
const INTERVAL_PERIODS: u32 = 60;

impl Swim {
    /// Takes note of the period that a live member says it has.
    pub(super) fn note_timing(&mut self, sender: Option<Slot>, datagram: &Datagram<'_>) {
        let ours = self.params.period;
        let Some(theirs) = datagram.cluster.and_then(|claim| claim.period).filter(|theirs| *theirs != ours)
        else {
            return;
        };
        let lately = |told: Time| self.now.since(told) < ours * INTERVAL_PERIODS;
        if self.other_timing_told.is_some_and(lately) {
            return;
        }
        let Some(slot) =
            sender.filter(|slot| self.members.get(*slot).is_some_and(crate::members::Peer::is_live))
        else {
            return;
        };
        if let Some(member) = self.subject(slot) {
            self.other_timing_told = Some(self.now);
            self.event(Event::OtherTiming { member, theirs, ours });
        }
    }
}
