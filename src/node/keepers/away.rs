//! Nodes that are away, and for how long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_overlay::{MemberState, NodeName};

/// How long a node that the membership takes for dead may be back before another one does its part: time for one that is started again.
const DEAD_GRACE: Duration = Duration::from_secs(5);
/// The same of one that has said that it leaves, which ends its work and hands over what waits, or of which nothing was heard since this
/// node has started.
const AWAY_GRACE: Duration = Duration::from_secs(60);

/// Since when nodes are away.
#[derive(Debug, Default)]
pub(super) struct Away(BTreeMap<NodeName, Instant>);

impl Away {
    /// Whether a node has been away for long enough to be given up, by what the membership says of it now.
    pub(super) fn is_gone(&mut self, name: &NodeName, state: Option<MemberState>, now: Instant) -> bool {
        if state.is_some_and(MemberState::is_live) {
            self.0.remove(name);
            return false;
        }
        let since = *self.0.entry(name.clone()).or_insert(now);
        let grace = if state == Some(MemberState::Dead) { DEAD_GRACE } else { AWAY_GRACE };
        now.duration_since(since) >= grace
    }

    /// Forgets the others.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&NodeName) -> bool) {
        self.0.retain(|name, _| is_wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_gone_when_its_time_to_come_back_is_over() {
        let (mut away, name, start) = (Away::default(), "node1".parse().unwrap(), Instant::now());
        let mut gone = |state, after_s| away.is_gone(&name, state, start + Duration::from_secs(after_s));
        assert!(!gone(Some(MemberState::Alive), 0));
        assert!(!gone(Some(MemberState::Dead), 1) && !gone(Some(MemberState::Dead), 5));
        assert!(gone(Some(MemberState::Dead), 6));
        // It was back meanwhile: its time begins anew.
        assert!(!gone(Some(MemberState::Suspect), 7) && !gone(Some(MemberState::Dead), 8));
        assert!(!gone(Some(MemberState::Left), 60) && gone(Some(MemberState::Left), 68));
        assert!(gone(None, 68), "of one that is not known any more nothing else is known");
    }
}
