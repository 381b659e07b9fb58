//! Which entries there are, how big, how lately used, and which are in use. Pure: the files are the store's.

use std::sync::Arc;
use std::time::SystemTime;

use hashlink::LinkedHashMap;

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
    pins: usize,
    verified: Option<Stamp>,
}

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order of their last use: the one used longest ago is in front.
    entries: LinkedHashMap<String, Entry>,
    bytes: u64,
}

impl Index {
    /// Puts in an entry as the one used last, in place of one of the same name.
    pub(super) fn insert(&mut self, name: &str, meta: Arc<Meta>, verified: Option<Stamp>) {
        self.remove(name);
        self.bytes += cost(&meta);
        self.entries.insert(name.to_owned(), Entry { meta, pins: 0, verified });
    }

    #[cfg(test)]
    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn meta(&self, name: &str) -> Option<Arc<Meta>> {
        self.entries.get(name).map(|entry| Arc::clone(&entry.meta))
    }

    /// Marks an entry as used now and keeps it from eviction until [`Index::unpin`].
    pub(super) fn pin(&mut self, name: &str) -> Option<(Arc<Meta>, Option<Stamp>)> {
        let entry = self.entries.to_back(name)?;
        entry.pins += 1;
        Some((Arc::clone(&entry.meta), entry.verified))
    }

    /// Takes back one pin. The entry may have been replaced meanwhile: then the pin went with the old one.
    pub(super) fn unpin(&mut self, name: &str, meta: &Arc<Meta>) {
        if let Some(entry) = self.current(name, meta) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }

    pub(super) fn set_verified(&mut self, name: &str, meta: &Arc<Meta>, stamp: Stamp) {
        if let Some(entry) = self.current(name, meta) {
            entry.verified = Some(stamp);
        }
    }

    /// The entry of this name, unless it has been replaced since its description was this.
    fn current(&mut self, name: &str, meta: &Arc<Meta>) -> Option<&mut Entry> {
        self.entries.get_mut(name).filter(|entry| Arc::ptr_eq(&entry.meta, meta))
    }

    /// Removes an entry, pinned or not.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(entry) = self.entries.remove(name) else { return false };
        self.bytes -= cost(&entry.meta);
        true
    }

    /// Removes the entry used longest ago among those not in use.
    pub(super) fn evict_one(&mut self) -> Option<String> {
        let (name, _) = self.entries.iter().find(|(_, entry)| entry.pins == 0)?;
        let name = name.clone();
        self.remove(&name);
        Some(name)
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What an entry takes on disk: the result, and a block each for the folder and the description.
fn cost(meta: &Meta) -> u64 {
    meta.bytes.next_multiple_of(4096) + 8192
}
