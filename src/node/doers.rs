//! Which node does what of the jobs that this node holds: heard from what happens, while they are under way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use starling_overlay::NodeName;
use starling_placement::content::Key;
use starling_placement::journey::What;

use crate::content::ContentId;
use crate::events::{NodeEvent, Observer};
use crate::profile::ProfileName;

/// What is made of what.
type Part = (ContentId, ProfileName);

/// The parts of jobs that are under way.
#[derive(Debug)]
pub(super) struct Doers {
    node: NodeName,
    parts: Mutex<BTreeMap<Part, Doer>>,
}

#[derive(Debug, Default)]
struct Doer {
    /// How many jobs wait for it: two may be for the same.
    jobs: usize,
    word: Word,
}

/// What is known of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// The node that has it to do; none while none has taken it.
    pub(super) by: Option<NodeName>,
    /// Its result is there.
    pub(super) made: bool,
}

/// A part that is followed until this is dropped.
#[derive(Debug)]
pub(super) struct Followed {
    doers: Arc<Doers>,
    part: Part,
}

impl Word {
    /// This node has given it up, if it was the one.
    fn is_not_at(&mut self, node: &NodeName) {
        if self.by.as_ref() == Some(node) {
            self.by = None;
        }
    }
}

impl Doers {
    pub(super) const fn new(node: NodeName) -> Self {
        Self { node, parts: Mutex::new(BTreeMap::new()) }
    }

    /// Listens from now on to what becomes of this.
    pub(super) fn follow(self: &Arc<Self>, content: ContentId, profile: ProfileName) -> Followed {
        let part = (content, profile);
        self.parts.lock().entry(part.clone()).or_default().jobs += 1;
        Followed { doers: Arc::clone(self), part }
    }

    /// What is known of it; none where nobody follows it.
    pub(super) fn word(&self, content: ContentId, profile: &ProfileName) -> Option<Word> {
        self.parts.lock().get(&(content, profile.clone())).map(|doer| doer.word.clone())
    }

    /// A peer gets its video now: several may have offered to take it.
    pub(super) fn sent(&self, key: &Key, peer: &NodeName) {
        self.change(&key.content, &key.profile, |word| word.by = Some(peer.clone()));
    }

    /// A peer says how far it is with it, which it may do for another request, too.
    pub(super) fn is_at(&self, key: &Key, peer: &NodeName) {
        self.change(&key.content, &key.profile, |word| {
            word.by.get_or_insert_with(|| peer.clone());
        });
    }

    fn change(&self, content: &ContentId, profile: &ProfileName, change: impl FnOnce(&mut Word)) {
        let mut parts = self.parts.lock();
        // Most of what happens is about uploads.
        if parts.is_empty() {
            return;
        }
        if let Some(doer) = parts.get_mut(&(*content, profile.clone())) {
            change(&mut doer.word);
        }
    }
}

impl Followed {
    /// Its result is there.
    pub(super) fn is_made(&self) {
        let (content, profile) = &self.part;
        self.doers.change(content, profile, |word| word.made = true);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut parts = self.doers.parts.lock();
        if let Entry::Occupied(mut doer) = parts.entry(self.part.clone()) {
            doer.get_mut().jobs -= 1;
            if doer.get().jobs == 0 {
                doer.remove();
            }
        }
    }
}

impl Observer for Doers {
    fn observe(&self, event: &NodeEvent<'_>) {
        match event {
            NodeEvent::Enqueued { content, profile } | NodeEvent::Begun { content, profile, .. } => {
                self.change(content, profile, |word| word.by = Some(self.node.clone()));
            }
            NodeEvent::Withdrawn { content, profile, .. } | NodeEvent::NotMade { content, profile, .. } => {
                self.change(content, profile, |word| word.is_not_at(&self.node));
            }
            NodeEvent::Job { key, what: What::HandedOver { peer, done: false, .. } } => {
                self.change(&key.content, &key.profile, |word| word.is_not_at(peer));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use starling_placement::content::Key;
    use starling_placement::policy::RouteKind;

    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn a_part_is_with_the_node_that_took_it_last_until_its_last_job_is_over() {
        let doers = Arc::new(Doers::new(name("node1")));
        let (content, profile): (_, ProfileName) = (ContentId::of(b"film"), "360p".parse().unwrap());
        let key = Key { content, profile: profile.clone(), recipe: ContentId::of(b"recipe") };
        let by = || doers.word(content, &profile).map(|word| word.by.map(|name| name.to_string()));
        let happens = |event: NodeEvent<'_>| doers.observe(&event);
        // Nobody follows it.
        happens(NodeEvent::Enqueued { content: &content, profile: &profile });
        assert_eq!(by(), None);
        let followed = doers.follow(content, profile.clone());
        assert_eq!(by(), Some(None));
        let (peer, route) = (name("node2"), RouteKind::CrossRegion);
        doers.sent(&key, &peer);
        doers.is_at(&key, &name("node3"));
        assert_eq!(by(), Some(Some("node2".into())));
        // What this node withdraws is not what that one does.
        let why = crate::events::Departure::Cancelled;
        happens(NodeEvent::Withdrawn { content: &content, profile: &profile, why });
        assert_eq!(by(), Some(Some("node2".into())));
        happens(NodeEvent::Job { key: &key, what: &What::HandedOver { peer, route, done: false } });
        assert_eq!(by(), Some(None));
        happens(NodeEvent::Enqueued { content: &content, profile: &profile });
        assert_eq!(by(), Some(Some("node1".into())));
        happens(NodeEvent::Withdrawn { content: &content, profile: &profile, why });
        assert_eq!(by(), Some(None));
        doers.is_at(&key, &name("node3"));
        assert_eq!(by(), Some(Some("node3".into())));
        let other = doers.follow(content, profile.clone());
        followed.is_made();
        drop(followed);
        assert!(doers.word(content, &profile).unwrap().made);
        drop(other);
        assert_eq!(by(), None);
    }
}
