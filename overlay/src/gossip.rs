//! The queue of news to piggyback: least sent first, each as often as SWIM section 4.1 says.

use std::collections::BTreeMap;

use crate::NodeKey;

/// Members there is news about. What the news says is looked up when it is sent, so it is never stale.
#[derive(Debug, Default)]
pub(crate) struct GossipQueue {
    /// By times sent, then the newest first.
    order: BTreeMap<(u8, u64), NodeKey>,
    place: BTreeMap<NodeKey, (u8, u64)>,
    /// Counts down, so that newer news sorts first.
    next: u64,
}

impl GossipQueue {
    /// There is (other) news about this member.
    pub fn push(&mut self, key: NodeKey) {
        self.remove(key);
        self.next = self.next.wrapping_sub(1);
        let place = (0, self.next);
        self.order.insert(place, key);
        self.place.insert(key, place);
    }

    pub fn remove(&mut self, key: NodeKey) {
        if let Some(place) = self.place.remove(&key) {
            self.order.remove(&place);
        }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The first `most` members to tell of, in order.
    pub fn first(&self, most: usize) -> impl Iterator<Item = NodeKey> {
        self.order.values().take(most).copied()
    }

    /// News about this member was sent once more; after `limit` times it is news no more.
    pub fn sent(&mut self, key: NodeKey, limit: u8) {
        let Some(place) = self.place.remove(&key) else { return };
        self.order.remove(&place);
        if place.0 + 1 < limit {
            let place = (place.0 + 1, place.1);
            self.order.insert(place, key);
            self.place.insert(key, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_sent_first_then_newest_until_the_limit() {
        let first = |queue: &GossipQueue, most| queue.first(most).collect::<Vec<_>>();
        let mut queue = GossipQueue::default();
        let [a, b, c] = [1, 2, 3].map(NodeKey);
        queue.push(a);
        queue.push(b);
        assert_eq!(first(&queue, 9), [b, a]);
        queue.sent(b, 2);
        assert_eq!(first(&queue, 9), [a, b]);
        queue.push(c);
        assert_eq!(first(&queue, 1), [c]);
        queue.sent(b, 2);
        assert_eq!(first(&queue, 9), [c, a], "b was sent twice");
        queue.push(a);
        assert_eq!(first(&queue, 9), [a, c], "fresh news about a counts anew");
        assert!(!queue.is_empty());
    }
}
