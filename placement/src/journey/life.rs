//! Signs of life of the work under way here: what other nodes ask for while they wait for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::content::Key;

/// A sign of life of work under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Grows whenever anything moves: bytes of the video that come in, pictures that are encoded, CPU that is used.
    pub moved: u64,
    /// It waits for a worker; nothing has to move meanwhile.
    pub waits: bool,
    /// What is done of it, for people; none where that is not known, or the node is of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What is done of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Of the whole, in thousandths; none while the whole is not known.
    pub permille: Option<u16>,
    /// Pictures encoded.
    pub frames: u64,
    /// Playing time encoded, in milliseconds.
    pub encoded_ms: u64,
}

/// The work under way, by what is made of what.
#[derive(Debug, Default)]
pub struct Lives(Arc<Mutex<BTreeMap<Key, Weak<Life>>>>);

/// One piece of work; everything that moves is counted. It is over when the last holder drops it.
#[derive(Debug)]
pub struct Life {
    moved: AtomicU64,
    /// Whether it waits for a worker: then nothing has to move.
    waits: AtomicBool,
    part: Mutex<Option<Part>>,
    key: Key,
    table: Weak<Mutex<BTreeMap<Key, Weak<Life>>>>,
}

impl Lives {
    /// The work on this, which begins with its first holder.
    pub fn enter(&self, key: &Key) -> Arc<Life> {
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
            part: Mutex::default(),
            key: key.clone(),
            table: Arc::downgrade(&self.0),
        });
        table.insert(key.clone(), Arc::downgrade(&life));
        life
    }

    /// How far the work on this has come, if there is any.
    pub fn progress(&self, key: &Key) -> Option<Progress> {
        let life = lock(&self.0).get(key).and_then(Weak::upgrade)?;
        Some(Progress {
            moved: life.moved.load(Ordering::Relaxed),
            waits: life.waits.load(Ordering::Relaxed),
            part: *life.part.lock(),
        })
    }
}

impl Life {
    /// Something moved.
    pub fn moves(&self) {
        self.waits.store(false, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// So much of it is done.
    pub fn has_come_to(&self, part: Part) {
        *self.part.lock() = Some(part);
    }

    /// It waits for a worker, here or on the node that it was given to.
    pub fn waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
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

fn lock(table: &Mutex<BTreeMap<Key, Weak<Life>>>) -> MutexGuard<'_, BTreeMap<Key, Weak<Life>>> {
    table.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;

    #[test]
    fn work_is_told_of_while_it_is_held() {
        let lives = Lives::default();
        let key = Key {
            content: ContentId::of(b"clip"),
            profile: "360p".parse().unwrap(),
            recipe: ContentId::of(b"recipe"),
        };
        assert_eq!(lives.progress(&key), None);
        let (first, second) = (lives.enter(&key), lives.enter(&key));
        assert_eq!(lives.progress(&key), Some(Progress { moved: 0, waits: true, part: None }));
        first.moves();
        second.moves();
        assert_eq!(lives.progress(&key), Some(Progress { moved: 2, waits: false, part: None }));
        second.waits();
        drop(second);
        assert_eq!(lives.progress(&key), Some(Progress { moved: 2, waits: true, part: None }));
        drop(first);
        assert_eq!(lives.progress(&key), None);
        assert!(lock(&lives.0).is_empty());
    }

    #[test]
    fn who_goes_late_takes_nothing_of_the_next_ones() {
        let lives = Lives::default();
        let key = Key {
            content: ContentId::of(b"clip"),
            profile: "360p".parse().unwrap(),
            recipe: ContentId::of(b"recipe"),
        };
        // The last holder of the one before is gone, and has not come to the table yet.
        let before = Life {
            moved: AtomicU64::new(0),
            waits: AtomicBool::new(true),
            part: Mutex::default(),
            key: key.clone(),
            table: Arc::downgrade(&lives.0),
        };
        let life = lives.enter(&key);
        drop(before);
        life.moves();
        assert_eq!(lives.progress(&key).map(|progress| progress.moved), Some(1));
    }
}
