//! The queue of news to piggyback: least sent first, each as often as SWIM section 4.1 says.

use std::collections::BTreeMap;

use crate::NodeKey;

/// Members there is news about, each with a tag. What the news says is looked up when it is sent, so it is never stale.
#[derive(Debug)]
pub(crate) struct GossipQueue<T = ()> {
    /// By times sent, then the newest first.
    order: BTreeMap<(u8, u64), (NodeKey, T)>,
    place: BTreeMap<NodeKey, (u8, u64)>,
    /// Counts down, so that newer news sorts first.
    next: u64,
}

impl<T> Default for GossipQueue<T> {
    fn default() -> Self {
        Self { order: BTreeMap::new(), place: BTreeMap::new(), next: 0 }
    }
}

impl GossipQueue {
    /// There is (other) news about this member.
    pub fn push(&mut self, key: NodeKey) {
        self.push_for(key, 0, ());
    }
}

impl<T: Copy> GossipQueue<T> {
    /// The same, as if it had been sent `sent` times already.
    pub fn push_for(&mut self, key: NodeKey, sent: u8, tag: T) {
        self.remove(key);
        let place = (sent, self.number());
        self.order.insert(place, (key, tag));
        self.place.insert(key, place);
    }

    /// Keeps only the first `most`.
    pub fn truncate(&mut self, most: usize) {
        while self.order.len() > most {
            if let Some((_, (key, _))) = self.order.pop_last() {
                self.place.remove(&key);
            }
        }
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
        self.order.values().take(most).map(|(key, _)| *key)
    }

    /// All of them with their tags, in order.
    pub fn tagged(&self) -> impl Iterator<Item = (NodeKey, T)> {
        self.order.values().copied()
    }

    /// News about this member was sent once more; after `limit` times it is news no more.
    pub fn sent(&mut self, key: NodeKey, limit: u8) {
        let Some(place) = self.place.remove(&key) else { return };
        let Some(entry) = self.order.remove(&place) else { return };
        if place.0 + 1 < limit {
            let place = (place.0 + 1, place.1);
            self.order.insert(place, entry);
            self.place.insert(key, place);
        }
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_sub(1);
        self.next
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
