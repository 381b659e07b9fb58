//! Single flight: concurrent requests for one result share one piece of work.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The work under way, by key.
#[derive(Debug)]
pub struct Flights<K: Eq + Hash + Clone, T: Clone> {
    under_way: Arc<Table<K, T>>,
}

#[derive(Debug)]
struct Table<K: Eq + Hash + Clone, T: Clone>(Mutex<HashMap<K, Weak<Flight<K, T>>>>);

impl<K: Eq + Hash + Clone, T: Clone> Table<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<Flight<K, T>>>> {
        self.0.lock()
    }
}

/// One piece of work and the right to wait for it. When the last holder drops it, the work is cancelled.
#[derive(Debug)]
pub struct Flight<K: Eq + Hash + Clone, T: Clone> {
    key: K,
    outcome: watch::Receiver<Option<T>>,
    work: AbortHandle,
    table: Weak<Table<K, T>>,
}

/// Whether a caller began the work or found it begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Began it.
    Leader,
    /// Joined it.
    Joined,
}

impl<K, T> Default for Flights<K, T>
where
    K: Eq + Hash + Clone,
    T: Clone,
{
    fn default() -> Self {
        Self { under_way: Arc::new(Table(Mutex::default())) }
    }
}

impl<K, T> Flights<K, T>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work for `key`, or begins it with `work`. Work that has ended is not joined: what it achieved is in
    /// the cache, and what it failed at may be tried again.
    pub fn join_or_lead<F>(&self, key: K, work: impl FnOnce() -> F) -> (Arc<Flight<K, T>>, Role)
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
        let (tell, outcome) = watch::channel(None);
        let work = work();
        let task = tokio::spawn(async move {
            // If nobody waits any more, nobody needs to be told.
            let done = work.await;
            tell.send_replace(Some(done));
        });
        let flight = Arc::new(Flight {
            key: key.clone(),
            outcome,
            work: task.abort_handle(),
            table: Arc::downgrade(&self.under_way),
        });
        table.insert(key, Arc::downgrade(&flight));
        (flight, Role::Leader)
    }

    /// Whether a caller would join and not begin.
    pub fn is_under_way(&self, key: &K) -> bool {
        // Dropped after the guard: dropping a flight takes the same lock.
        let flight = self.under_way.lock().get(key).and_then(Weak::upgrade);
        flight.is_some_and(|flight| flight.is_open())
    }

    /// How many pieces of work are under way.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.under_way.lock().len()
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Flight<K, T> {
    fn is_open(&self) -> bool {
        self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok()
    }

    /// Waits for the outcome; `None` if the work ended without one (it panicked).
    pub async fn outcome(&self) -> Option<T> {
        let mut outcome = self.outcome.clone();
        outcome.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Drop for Flight<K, T> {
    fn drop(&mut self) {
        self.work.abort();
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

    #[tokio::test]
    async fn joins_share_one_piece_of_work() {
        let flights = Flights::<&str, u32>::default();
        let (go, wait) = oneshot::channel();
        let (first, led) = flights.join_or_lead("a", || async move { wait.await.unwrap_or(0) });
        let (second, joined) = flights.join_or_lead("a", || async { unreachable!() });
        assert_eq!((led, joined), (Role::Leader, Role::Joined));
        go.send(7).unwrap();
        assert_eq!((first.outcome().await, second.outcome().await), (Some(7), Some(7)));
        // Ended, though still held: the next caller begins anew.
        let (third, role) = flights.join_or_lead("a", || async { 8 });
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
        let (first, _) = flights.join_or_lead("a", || async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let (second, _) = flights.join_or_lead("a", || async {});
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
        let (flight, _) = flights.join_or_lead("a", || async { panic!("on purpose") });
        assert_eq!(flight.outcome().await, None);
    }
}
