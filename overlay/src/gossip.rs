//! The queue of news to piggyback: least sent first, each as often as SWIM section 4.1 says.

use std::collections::BTreeMap;

use crate::NodeKey;

/// News about a member, taken out of the queue to be told; it goes back with [`GossipQueue::told`] or [`GossipQueue::kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub key: NodeKey,
    /// Times sent, and its number.
    place: (u8, u64),
}

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
        self.place.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes out what is to be told next.
    pub fn take(&mut self) -> Option<News> {
        self.order.pop_first().map(|(place, key)| News { key, place })
    }

    /// It was told once more; after `limit` times it is news no more.
    pub fn told(&mut self, News { key, place: (times, number) }: News, limit: u8) {
        if times + 1 >= limit {
            self.place.remove(&key);
            return;
        }
        let place = (times + 1, number);
        self.order.insert(place, key);
        self.place.insert(key, place);
    }

    /// It was not told.
    pub fn kept(&mut self, News { key, place }: News) {
        self.order.insert(place, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_sent_first_then_newest_until_the_limit() {
        let first = |queue: &mut GossipQueue| {
            let all: Vec<News> = std::iter::from_fn(|| queue.take()).collect();
            for news in &all {
                queue.kept(*news);
            }
            all.iter().map(|news| news.key).collect::<Vec<_>>()
        };
        let tell = |queue: &mut GossipQueue, key| {
            let others: Vec<News> = std::iter::from_fn(|| queue.take()).collect();
            for news in others {
                if news.key == key { queue.told(news, 2) } else { queue.kept(news) }
            }
        };
        let mut queue = GossipQueue::default();
        let [a, b, c] = [1, 2, 3].map(NodeKey);
        queue.push(a);
        queue.push(b);
        assert_eq!(first(&mut queue), [b, a]);
        tell(&mut queue, b);
        assert_eq!(first(&mut queue), [a, b]);
        queue.push(c);
        assert_eq!(first(&mut queue), [c, a, b]);
        tell(&mut queue, b);
        assert_eq!(first(&mut queue), [c, a], "b was sent twice");
        queue.push(a);
        assert_eq!(first(&mut queue), [a, c], "fresh news about a counts anew");
        assert_eq!(queue.len(), 2);
    }
}
