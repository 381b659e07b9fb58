//! Which entries there are, how big, how lately used, and which are in use. Pure: the files are the store's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::key::Meta;

/// What tells that a file was not touched since it was last verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) inode: u64,
}

/// One entry.
#[derive(Clone, Debug)]
struct Entry {
    meta: Arc<Meta>,
    /// Its place in the order of use.
    used: u64,
    pins: usize,
    verified: Option<Stamp>,
}

/// All entries, in the order of their last use.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<String, Entry>,
    by_use: BTreeMap<u64, String>,
    clock: u64,
    bytes: u64,
}

impl Index {
    /// Puts in an entry as the one used last, in place of one of the same name.
    pub(super) fn insert(&mut self, name: &str, meta: Arc<Meta>, verified: Option<Stamp>) {
        self.remove(name);
        let used = self.tick();
        self.bytes += cost(&meta);
        self.by_use.insert(used, name.to_owned());
        self.entries.insert(name.to_owned(), Entry { meta, used, pins: 0, verified });
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn meta(&self, name: &str) -> Option<Arc<Meta>> {
        self.entries.get(name).map(|entry| Arc::clone(&entry.meta))
    }

    /// Marks an entry as used now and keeps it from eviction until [`Index::unpin`].
    pub(super) fn pin(&mut self, name: &str) -> Option<(Arc<Meta>, Option<Stamp>)> {
        let used = self.tick();
        let entry = self.entries.get_mut(name)?;
        self.by_use.remove(&entry.used);
        entry.used = used;
        entry.pins += 1;
        self.by_use.insert(used, name.to_owned());
        Some((Arc::clone(&entry.meta), entry.verified))
    }

    /// Takes back one pin. The entry may have been replaced meanwhile: then the pin went with the old one.
    pub(super) fn unpin(&mut self, name: &str, meta: &Arc<Meta>) {
        if let Some(entry) = self.entries.get_mut(name).filter(|entry| Arc::ptr_eq(&entry.meta, meta)) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }

    pub(super) fn set_verified(&mut self, name: &str, meta: &Arc<Meta>, stamp: Stamp) {
        if let Some(entry) = self.entries.get_mut(name).filter(|entry| Arc::ptr_eq(&entry.meta, meta)) {
            entry.verified = Some(stamp);
        }
    }

    /// Removes an entry, pinned or not.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        self.by_use.remove(&entry.used);
        self.bytes -= cost(&entry.meta);
        true
    }

    /// Removes the entry used longest ago among those not in use.
    pub(super) fn evict_one(&mut self) -> Option<String> {
        let name =
            self.by_use.values().find(|name| self.entries.get(*name).is_some_and(|e| e.pins == 0))?.clone();
        self.remove(&name);
        Some(name)
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    const fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// What an entry takes on disk: the result, and a block each for the folder and the description.
fn cost(meta: &Meta) -> u64 {
    meta.bytes.next_multiple_of(4096) + 8192
}
