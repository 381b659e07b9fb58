//! What really happened: what no member may contradict.

use std::collections::{BTreeMap, BTreeSet};

use crate::{BootEpoch, Incarnation, NodeKey, Time};

/// What members said of themselves, and when they were gone.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The highest incarnation that each boot ever had.
    incarnations: BTreeMap<(NodeKey, BootEpoch), Incarnation>,
    /// When a boot was over.
    ended: BTreeMap<(NodeKey, BootEpoch), Time>,
    /// Boots that were asked to leave.
    left: BTreeSet<(NodeKey, BootEpoch)>,
    /// Members that went back on what they had said of themselves.
    broken: Vec<(NodeKey, BootEpoch, Incarnation)>,
    /// Datagrams larger than any may be.
    oversized: u64,
}

impl Truth {
    /// A member's word on itself has changed. Its first word in a process comes after the boot 0.
    pub fn said(&mut self, key: NodeKey, before: (BootEpoch, Incarnation), now: (BootEpoch, Incarnation)) {
        if now < before {
            self.broken.push((key, now.0, now.1));
        }
        if self.left.contains(&(key, before.0)) {
            self.left.insert((key, now.0));
        }
        self.ended.remove(&(key, now.0));
        let highest = self.incarnations.entry((key, now.0)).or_default();
        *highest = now.1.max(*highest);
    }

    pub fn ended(&mut self, key: NodeKey, boot: BootEpoch, at: Time) {
        self.ended.insert((key, boot), at);
    }

    pub fn left(&mut self, key: NodeKey, boot: BootEpoch) {
        self.left.insert((key, boot));
    }

    pub fn oversized(&mut self) {
        self.oversized += 1;
    }

    /// The highest incarnation that this boot ever had; none if there was no such boot.
    pub fn incarnation(&self, key: NodeKey, boot: BootEpoch) -> Option<Incarnation> {
        self.incarnations.get(&(key, boot)).copied()
    }

    /// When this boot was over; none if it is not, or never was.
    pub fn end(&self, key: NodeKey, boot: BootEpoch) -> Option<Time> {
        self.ended.get(&(key, boot)).copied()
    }

    pub fn has_left(&self, key: NodeKey, boot: BootEpoch) -> bool {
        self.left.contains(&(key, boot))
    }

    pub fn went_back(&self) -> &[(NodeKey, BootEpoch, Incarnation)] {
        &self.broken
    }

    pub fn oversized_datagrams(&self) -> u64 {
        self.oversized
    }
}
