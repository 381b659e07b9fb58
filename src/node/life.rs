//! Signs of life of the work under way here: what other nodes ask for while they wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::lease::LeaseKey;
use crate::offload::Progress;
use crate::workers;

/// The work under way, by what is made of what.
#[derive(Debug, Default)]
pub(super) struct Lives(Arc<Mutex<HashMap<LeaseKey, Weak<Life>>>>);

/// One piece of work; everything that moves is counted. It is over when the last holder drops it.
#[derive(Debug)]
pub(super) struct Life {
    moved: AtomicU64,
    /// Whether it waits for a worker: then nothing has to move.
    waits: AtomicBool,
    key: LeaseKey,
    table: Weak<Mutex<HashMap<LeaseKey, Weak<Life>>>>,
}

impl Lives {
    /// The work on this, which begins with its first holder.
    pub(super) fn enter(&self, key: &LeaseKey) -> Arc<Life> {
        // Declared before the guard and so dropped after it: dropping a life takes the same lock.
        let _over;
        let mut table = lock(&self.0);
        match table.get(key).map(Weak::upgrade) {
            Some(Some(life)) => return life,
            other => _over = other,
        }
        let life = Arc::new(Life {
            moved: AtomicU64::new(0),
            waits: AtomicBool::new(true),
            key: key.clone(),
            table: Arc::downgrade(&self.0),
        });
        table.insert(key.clone(), Arc::downgrade(&life));
        life
    }

    /// How far the work on this has come, if there is any.
    pub(super) fn progress(&self, key: &LeaseKey) -> Option<Progress> {
        let life = lock(&self.0).get(key).and_then(Weak::upgrade)?;
        Some(Progress {
            moved: life.moved.load(Ordering::Relaxed),
            waits: life.waits.load(Ordering::Relaxed),
        })
    }
}

impl Life {
    /// Something moved.
    pub(super) fn moves(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// It waits for a worker, here or on the node that it was given to.
    pub(super) fn waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Moves as a transcode does, for as long as this is polled.
    pub(super) async fn follow(&self, mut progress: watch::Receiver<workers::Progress>) {
        while progress.changed().await.is_ok() {
            if progress.borrow_and_update().running {
                self.moves();
            }
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else { return };
        let mut table = lock(&table);
        // A newer one may have taken the place since this one ended.
        if table.get(&self.key).is_some_and(|life| life.strong_count() == 0) {
            table.remove(&self.key);
        }
    }
}

fn lock(table: &Mutex<HashMap<LeaseKey, Weak<Life>>>) -> MutexGuard<'_, HashMap<LeaseKey, Weak<Life>>> {
    table.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;

    #[test]
    fn work_is_told_of_while_somebody_holds_it() {
        let lives = Lives::default();
        let key = LeaseKey {
            content: ContentId::of(b"clip"),
            profile: "360p".parse().unwrap(),
            recipe: ContentId::of(b"recipe"),
        };
        assert_eq!(lives.progress(&key), None);
        let (first, second) = (lives.enter(&key), lives.enter(&key));
        assert_eq!(lives.progress(&key), Some(Progress { moved: 0, waits: true }));
        first.moves();
        second.moves();
        assert_eq!(lives.progress(&key), Some(Progress { moved: 2, waits: false }));
        second.waits();
        drop(second);
        assert_eq!(lives.progress(&key), Some(Progress { moved: 2, waits: true }));
        drop(first);
        assert_eq!(lives.progress(&key), None);
        assert!(lock(&lives.0).is_empty());
    }
}
