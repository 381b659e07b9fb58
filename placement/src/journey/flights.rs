//! Single flight: concurrent requests for one result share one piece of work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::once::Once;

/// The work under way, by key.
#[derive(Debug)]
pub(super) struct Flights<K: Ord + Clone, T> {
    under_way: Arc<Table<K, T>>,
}

#[derive(Debug)]
struct Table<K: Ord + Clone, T>(Mutex<BTreeMap<K, Weak<Flight<K, T>>>>);

impl<K: Ord + Clone, T> Table<K, T> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Weak<Flight<K, T>>>> {
        self.0.lock()
    }
}

/// One piece of work and the right to wait for it. When the last holder drops it, the work is cancelled.
#[derive(Debug)]
pub(super) struct Flight<K: Ord + Clone, T> {
    key: K,
    /// None: it ended without one.
    outcome: Arc<Once<Option<T>>>,
    /// The work ends when this is dropped.
    _wanted: oneshot::Sender<()>,
    table: Weak<Table<K, T>>,
}

/// Held by the work: however it ends, it has ended.
struct Ends<T: Clone>(Arc<Once<Option<T>>>);

impl<T: Clone> Drop for Ends<T> {
    fn drop(&mut self) {
        self.0.tell(None);
    }
}

/// Whether a caller began the work or found it begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Began it.
    Leader,
    /// Joined it.
    Joined,
}

impl<K: Ord + Clone, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { under_way: Arc::new(Table(Mutex::default())) }
    }
}

impl<K: Ord + Clone, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// Joins the work for `key`, or begins it with `work`, which `spawn` runs. Work that has ended is not joined: what it achieved
    /// is in the cache, and what it failed at may be tried again.
    pub(super) fn join_or_lead<F>(
        &self,
        key: K,
        spawn: impl FnOnce(BoxFuture<'static, ()>),
        work: impl FnOnce() -> F,
    ) -> (Arc<Flight<K, T>>, Role)
    where
        F: Future<Output = T> + Send + 'static,
    {
        // Declared before the guard and so dropped after it: dropping a flight takes the same lock.
        let _ended;
        let mut table = self.under_way.lock();
        match table.get(&key).and_then(Weak::upgrade) {
            Some(flight) if flight.is_open() => return (flight, Role::Joined),
            other => _ended = other,
        }
        let outcome = Arc::new(Once::default());
        let (wanted, unwanted) = oneshot::channel::<()>();
        // Also what panics has ended.
        let (work, ends) = (work(), Ends(Arc::clone(&outcome)));
        spawn(Box::pin(async move {
            tokio::select! {
                biased;
                _ = unwanted => {}
                done = work => ends.0.tell(Some(done)),
            }
        }));
        let flight = Arc::new(Flight {
            key: key.clone(),
            outcome,
            _wanted: wanted,
            table: Arc::downgrade(&self.under_way),
        });
        table.insert(key, Arc::downgrade(&flight));
        (flight, Role::Leader)
    }

    /// Whether a caller would join and not begin.
    pub(super) fn is_under_way(&self, key: &K) -> bool {
        // Dropped after the guard: dropping a flight takes the same lock.
        let flight = self.under_way.lock().get(key).and_then(Weak::upgrade);
        flight.is_some_and(|flight| flight.is_open())
    }

    /// How many pieces of work are under way.
    pub(super) fn len(&self) -> usize {
        self.under_way.lock().len()
    }
}

impl<K: Ord + Clone, T: Clone> Flight<K, T> {
    fn is_open(&self) -> bool {
        !self.outcome.is_told()
    }

    /// Waits for the outcome; `None` if the work ended without one (it panicked).
    pub(super) async fn outcome(&self) -> Option<T> {
        self.outcome.wait().await
    }
}

impl<K: Ord + Clone, T> Drop for Flight<K, T> {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else { return };
        // A newer flight may have taken the place since this one ended.
        if let Entry::Occupied(entry) = table.lock().entry(self.key.clone())
            && entry.get().strong_count() == 0
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test's own runtime")]
    fn spawn(task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    #[tokio::test]
    async fn joins_share_one_piece_of_work() {
        let flights = Flights::<&str, u32>::default();
        let (go, wait) = oneshot::channel();
        let (first, led) = flights.join_or_lead("a", spawn, || async move { wait.await.unwrap_or(0) });
        let (second, joined) = flights.join_or_lead("a", spawn, || async { unreachable!() });
        assert_eq!((led, joined), (Role::Leader, Role::Joined));
        go.send(7).unwrap();
        assert_eq!((first.outcome().await, second.outcome().await), (Some(7), Some(7)));
        // Ended, though still held: the next caller begins anew.
        let (third, role) = flights.join_or_lead("a", spawn, || async { 8 });
        assert_eq!((role, third.outcome().await), (Role::Leader, Some(8)));
        drop((first, second, third));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn work_is_cancelled_when_the_last_waiter_is_gone_and_not_before() {
        struct OnDrop(Arc<AtomicUsize>);
        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let dropped = Arc::new(AtomicUsize::new(0));
        let flights = Flights::<&str, ()>::default();
        let guard = OnDrop(Arc::clone(&dropped));
        let (first, _) = flights.join_or_lead("a", spawn, || async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let (second, _) = flights.join_or_lead("a", spawn, || async {});
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        drop(second);
        while dropped.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn work_that_panics_ends_the_wait() {
        let flights = Flights::<&str, ()>::default();
        let (flight, _) = flights.join_or_lead("a", spawn, || async { panic!("on purpose") });
        assert_eq!(flight.outcome().await, None);
    }
}
