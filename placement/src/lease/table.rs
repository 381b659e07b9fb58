//! The leases of the contents whose home this node is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use starling_overlay::{BootEpoch, NodeName};
use tokio::sync::Notify;

use super::Verdict;
use crate::content::Key;
use crate::journey::clock;

/// Contents known at the most; the longest untouched is forgotten first, which costs a transcode at the worst.
const ENTRIES_MAX: usize = 65_536;
/// How long the holders of a result are remembered.
const HELD: Duration = Duration::from_secs(3600);
/// Longest lease, whatever is asked for: its holder renews it while it works. One that its holder never learned of, or whose
/// end was lost, keeps others waiting no longer than that.
pub const LEASE_MAX: Duration = Duration::from_secs(6);
/// Holders named in an answer.
const HOLDERS_MAX: usize = 4;
/// How often a claim that waits looks whether the lessee still lives.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The holder of a lease: one boot of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lessee {
    /// Its name.
    pub name: NodeName,
    /// Its boot.
    pub boot: BootEpoch,
}

#[derive(Debug)]
enum State {
    Leased { lessee: Lessee, until: Instant },
    Held { holders: Vec<NodeName>, until: Instant },
}

impl State {
    fn until(&self) -> Instant {
        match self {
            Self::Leased { until, .. } | Self::Held { until, .. } => *until,
        }
    }
}

/// All leases given here.
#[derive(Debug)]
pub struct Leases {
    entries: Mutex<BTreeMap<Key, State>>,
    /// Wakes those that wait for another node's lease to end, in the order in which they came.
    changed: Notify,
}

impl Default for Leases {
    fn default() -> Self {
        Self { entries: Mutex::default(), changed: Notify::new() }
    }
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, State>> {
        self.entries.lock()
    }

    /// Contents of which something is known.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Answers at once. `lives` tells whether a lessee is still believed to live.
    pub fn claim(
        &self,
        key: &Key,
        lessee: &Lessee,
        lease: Duration,
        now: Instant,
        lives: impl Fn(&Lessee) -> bool,
    ) -> Verdict {
        let mut entries = self.lock();
        match entries.get(key) {
            Some(State::Held { holders, until }) if *until > now => {
                return Verdict::Held { holders: holders.clone() };
            }
            Some(State::Leased { lessee: other, until })
                if *until > now && other != lessee && lives(other) =>
            {
                return Verdict::Busy { by: other.name.clone() };
            }
            _ => {}
        }
        make_room(&mut entries, now);
        let until = now + lease.min(LEASE_MAX);
        entries.insert(key.clone(), State::Leased { lessee: lessee.clone(), until });
        Verdict::Yours
    }

    /// Answers as [`Self::claim`], but waits for another's lease to end for at most `wait`.
    pub async fn claim_or_wait(
        &self,
        key: &Key,
        lessee: &Lessee,
        lease: Duration,
        wait: Duration,
        lives: impl Fn(&Lessee) -> bool,
    ) -> Verdict {
        let end = clock::now() + wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look: a lease that ends after it is not missed.
            changed.as_mut().enable();
            let now = clock::now();
            let verdict = self.claim(key, lessee, lease, now, &lives);
            if !matches!(verdict, Verdict::Busy { .. }) || now >= end {
                return verdict;
            }
            // Whichever comes first.
            drop(clock::timeout_at((now + LOOK_INTERVAL).min(end), changed).await);
        }
    }

    /// A lease's end: with holders the result is there, without them any other node may try. Of a node that has no lease only
    /// the good news are taken.
    pub fn end(&self, key: Key, lessee: &Lessee, mut holders: Vec<NodeName>, now: Instant) {
        holders.truncate(HOLDERS_MAX);
        let mut entries = self.lock();
        if holders.is_empty() {
            let own =
                matches!(entries.get(&key), Some(State::Leased { lessee: holder, .. }) if holder == lessee);
            if own {
                entries.remove(&key);
            }
        } else {
            make_room(&mut entries, now);
            entries.insert(key, State::Held { holders, until: now + HELD });
        }
        drop(entries);
        self.changed.notify_waiters();
    }

    /// A result that was said to be held could not be had: forgets who held it.
    pub fn lost(&self, key: &Key) {
        let mut entries = self.lock();
        if matches!(entries.get(key), Some(State::Held { .. })) {
            entries.remove(key);
        }
    }
}

/// Keeps the table bounded: drops what is over, and then what would be over first.
fn make_room(entries: &mut BTreeMap<Key, State>, now: Instant) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    entries.retain(|_, state| state.until() > now);
    while entries.len() >= ENTRIES_MAX {
        let Some(first) = entries.iter().min_by_key(|(_, state)| state.until()).map(|(key, _)| key.clone())
        else {
            return;
        };
        entries.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::content::ContentId;
    use crate::testing::start;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key() -> Key {
        key_of(b"clip")
    }

    fn key_of(content: &[u8]) -> Key {
        let profile = "360p".parse().unwrap();
        Key { content: ContentId::of(content), profile, recipe: ContentId::of(b"recipe") }
    }

    fn node(name: &str, boot: u64) -> Lessee {
        Lessee { name: name.parse().unwrap(), boot: BootEpoch(boot) }
    }

    #[test]
    fn one_at_a_time_until_it_is_done_dead_or_late() {
        let (leases, now) = (Leases::default(), start());
        let claim = |who: &Lessee, now, alive| leases.claim(&key(), who, MINUTE, now, |_| alive);
        let (a, b) = (node("a", 1), node("b", 1));
        let busy = |by: &Lessee| Verdict::Busy { by: by.name.clone() };
        assert_eq!(claim(&a, now, true), Verdict::Yours);
        assert_eq!(claim(&a, now, true), Verdict::Yours, "asked again: its answer was lost");
        assert_eq!(claim(&b, now, true), busy(&a));
        assert_eq!(claim(&b, now, false), Verdict::Yours, "the lessee died");
        assert_eq!(claim(&a, now, true), busy(&b));
        let renewed = now + LEASE_MAX / 2;
        assert_eq!(claim(&b, renewed, true), Verdict::Yours, "renewed");
        assert_eq!(claim(&a, now + LEASE_MAX, true), busy(&b));
        let over = renewed + LEASE_MAX;
        assert_eq!(claim(&a, over, true), Verdict::Yours, "nobody renewed it, though a minute was asked for");
        leases.end(key(), &b, vec![], now);
        assert_eq!(claim(&b, now, true), busy(&a), "somebody else's lease is not b's to end");
        leases.end(key(), &a, vec![a.name.clone()], now);
        assert_eq!(claim(&b, now, true), Verdict::Held { holders: vec![a.name.clone()] });
        leases.lost(&key());
        assert_eq!(claim(&b, now, true), Verdict::Yours);
        leases.end(key(), &b, vec![], now);
        assert_eq!(claim(&a, now, true), Verdict::Yours, "given up");
    }

    #[test]
    fn two_recipes_of_one_name_are_two_works() {
        let (leases, now) = (Leases::default(), start());
        let other = Key { recipe: ContentId::of(b"another recipe"), ..key() };
        for (key, who) in [(key(), node("a", 1)), (other, node("b", 1))] {
            assert_eq!(leases.claim(&key, &who, MINUTE, now, |_| true), Verdict::Yours);
        }
    }

    /// What another node hears that waits for a lease which ends so, and how long after that.
    #[expect(clippy::disallowed_methods, reason = "the test's own runtime")]
    async fn told_of_an_end(holders: &[Lessee]) -> (Verdict, Duration) {
        let leases = std::sync::Arc::new(Leases::default());
        let (a, b) = (node("a", 1), node("b", 1));
        leases.claim(&key(), &a, MINUTE, clock::now(), |_| true);
        let waiter = std::sync::Arc::clone(&leases);
        let waiting =
            tokio::spawn(async move { waiter.claim_or_wait(&key(), &b, MINUTE, MINUTE, |_| true).await });
        tokio::task::yield_now().await;
        let ended = clock::now();
        leases.end(key(), &a, holders.iter().map(|holder| holder.name.clone()).collect(), ended);
        (waiting.await.unwrap(), clock::now() - ended)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_told_as_soon_as_it_is_there_or_was_given_up() {
        let a = node("a", 1);
        let held = Verdict::Held { holders: vec![a.name.clone()] };
        assert_eq!(told_of_an_end(&[a]).await, (held, Duration::ZERO));
        assert_eq!(told_of_an_end(&[]).await, (Verdict::Yours, Duration::ZERO));
    }

    #[test]
    fn the_table_is_bounded() {
        let (leases, now) = (Leases::default(), start());
        for index in 0..ENTRIES_MAX as u64 + 10 {
            let key = key_of(&index.to_le_bytes());
            leases.claim(&key, &node("a", 1), MINUTE, now + Duration::from_nanos(index), |_| true);
        }
        assert_eq!(leases.lock().len(), ENTRIES_MAX);
        // What would have been over first has made room.
        let claim =
            |index: u64| leases.claim(&key_of(&index.to_le_bytes()), &node("b", 1), MINUTE, now, |_| true);
        assert_eq!(claim(ENTRIES_MAX as u64 + 9), Verdict::Busy { by: node("a", 1).name });
        assert_eq!(claim(0), Verdict::Yours);
        // Nor do results make it larger, for which no lease was given here.
        for index in 0..10 {
            let key = key_of(&(u64::MAX - index).to_le_bytes());
            leases.end(key, &node("a", 1), vec![node("a", 1).name], now);
        }
        assert_eq!(leases.lock().len(), ENTRIES_MAX);
    }

    #[test]
    fn holders_are_few_and_remembered_for_a_while() {
        let (leases, now) = (Leases::default(), start());
        let names: Vec<NodeName> = ["a", "b", "c", "d", "e"].map(|name| name.parse().unwrap()).into();
        leases.end(key(), &node("a", 1), names.clone(), now);
        let claim = |now| leases.claim(&key(), &node("z", 1), MINUTE, now, |_| true);
        assert_eq!(claim(now), Verdict::Held { holders: names[..HOLDERS_MAX].to_vec() });
        assert_eq!(claim(now + HELD), Verdict::Yours);
    }

    #[test]
    fn what_another_node_makes_meanwhile_is_not_forgotten_with_a_result_that_was_lost() {
        let (leases, now) = (Leases::default(), start());
        let (a, b) = (node("a", 1), node("b", 1));
        leases.claim(&key(), &a, MINUTE, now, |_| true);
        leases.lost(&key());
        assert_eq!(leases.claim(&key(), &b, MINUTE, now, |_| true), Verdict::Busy { by: a.name });
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_asked_for_nor_for_a_lessee_that_has_died() {
        let (leases, begun) = (Leases::default(), clock::now());
        let (a, b) = (node("a", 1), node("b", 1));
        leases.claim(&key(), &a, MINUTE, begun, |_| true);
        let wait = 3 * LOOK_INTERVAL + LOOK_INTERVAL / 2;
        let verdict = leases.claim_or_wait(&key(), &b, MINUTE, wait, |_| true).await;
        assert_eq!(verdict, Verdict::Busy { by: a.name });
        assert!((wait..wait + LOOK_INTERVAL).contains(&(clock::now() - begun)));
        let dies = clock::now() + LOOK_INTERVAL;
        let verdict = leases.claim_or_wait(&key(), &b, MINUTE, MINUTE, |_| clock::now() < dies).await;
        assert_eq!(verdict, Verdict::Yours);
        assert!(clock::now() - dies < LOOK_INTERVAL, "it is seen at the next look");
    }
}
