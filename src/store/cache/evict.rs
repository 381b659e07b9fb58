//! How entries go: damaged ones, and those used longest ago where there is no room.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::index::Index;
use super::key::Meta;
use super::results::{Cache, Inner};
use crate::events::NodeEvent;
use crate::store::folder::Reserve;

impl Cache {
    /// Takes an entry out of place, atomically; the deletion of what is then in `tmp/` may take its time.
    pub(super) fn move_away(&self, name: &str) -> io::Result<tempfile::TempDir> {
        let grave = self.0.dir.scratch_folder("evicted-")?;
        self.0.steps.rename(&self.folder(name), &grave.path().join("entry"))?;
        Ok(grave)
    }

    pub(super) fn discard(&self, name: &str, meta: &Arc<Meta>) {
        let _moves = self.moves();
        // Replaced meanwhile by a sound one? Then that one stays.
        if self.index().meta(name).is_some_and(|current| Arc::ptr_eq(&current, meta)) {
            self.index().remove(name);
            drop(self.take_away(name));
        }
    }

    /// Takes an entry out of place for good; what is returned is deleted when it is dropped.
    pub(super) fn take_away(&self, name: &str) -> Option<tempfile::TempDir> {
        self.hot().remove(name);
        match self.move_away(name) {
            Ok(grave) => return Some(grave),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A full disk has no room for the grave; the entry can go where it lies.
            Err(_) => match self.0.steps.remove(&self.folder(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(entry = name, %error, "a cache entry can't be deleted: the disk needs a look");
                }
                _ => {}
            },
        }
        None
    }

    pub(super) fn evict_down_to(&self, target_bytes: u64) {
        self.evict_while(|index, _| index.bytes() > target_bytes);
    }

    /// Gives up entries until `bytes` are free of what they took. Answers with how many bytes are.
    pub(super) fn give_up(&self, bytes: u64) -> u64 {
        let freed = self.evict_while(|_, freed| freed < bytes);
        if freed > 0 {
            tracing::info!(freed, "the disk is full: results left the cache to make room");
        }
        freed
    }

    /// Evicts for as long as `more` says so of the index and the bytes freed, and there is something that nobody uses.
    /// Answers with the bytes freed. Takes the index's lock: the caller must not hold it.
    fn evict_while(&self, more: impl Fn(&Index, u64) -> bool) -> u64 {
        let mut freed = 0;
        loop {
            let moves = self.moves();
            let mut index = self.index();
            if !more(&index, freed) {
                return freed;
            }
            let before = index.bytes();
            let Some(name) = index.evict_one() else { return freed };
            let bytes = before - index.bytes();
            freed += bytes;
            drop(index);
            let grave = self.take_away(&name);
            // To delete a big file takes the kernel a while: nobody has to wait for that.
            drop(moves);
            self.0.events.tell(&NodeEvent::Evicted { entry: &name, bytes });
            drop(grave);
        }
    }

    pub(super) fn trim_soon(&self) {
        let cache = self.clone();
        let trim = move || cache.evict_down_to(cache.0.budget_bytes);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(trim)),
            Err(_) => trim(),
        }
    }
}

impl Reserve for Inner {
    fn give_up(self: Arc<Self>, bytes: u64) -> bool {
        Cache(self).give_up(bytes) > 0
    }
}
