use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::disk::{DATA, Steps, open_verified, touch};
use super::hot::{CONTENT_BYTES_MAX, Hot, HotSet};
use super::index::{Index, Stamp};
use super::key::{Key, Meta};
use super::object::{Hold, Object};
use super::version;
use crate::events::{Events, NodeEvent};
use crate::store::DataDir;
use crate::store::folder::{Reserve, layout};
use crate::trace::spawn_blocking;
use crate::workers::Verified;

/// The cache of finished results. Clones are the same cache.
#[derive(Clone, Debug)]
pub struct Cache(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) dir: DataDir,
    pub(super) budget_bytes: u64,
    pub(super) encoder_version: String,
    index: Mutex<Index>,
    hot: Mutex<HotSet>,
    /// Held while folders are renamed into or out of place, so that index and disk change as one. Taken before `index`.
    moves: Mutex<()>,
    pub(super) steps: Steps,
    /// Told of what becomes of entries.
    pub(super) events: Events,
}

/// A cache that can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refused.
    #[error("the cache in {path} can't be used: {source}; check the disk, or give another --data-dir")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What lies there is no cache. Nothing was changed.
    #[error(
        "{path} is no node's cache: its file {} does not say of which version it is; move that folder away, or give another --data-dir",
        layout::VERSION
    )]
    Foreign {
        /// Where.
        path: PathBuf,
    },
}

/// A reading of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// Number of entries.
    pub entries: usize,
    /// What they take on disk.
    pub bytes: u64,
    /// What they may take.
    pub budget_bytes: u64,
}

/// Keeps an entry from eviction while it lives.
#[derive(Debug)]
pub(in crate::store) struct Pin {
    pub(super) cache: Cache,
    pub(super) name: String,
    pub(super) meta: Arc<Meta>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut index = self.cache.index();
        index.unpin(&self.name, &self.meta);
        let over = index.bytes() > self.cache.0.budget_bytes;
        drop(index);
        if over {
            self.cache.trim_soon();
        }
    }
}

impl Cache {
    /// Opens the cache and reads its index back from the disk; what isn't whole is removed. A cache of another version is emptied; the
    /// log says which it was. Blocks.
    pub fn open(
        dir: &DataDir,
        budget_bytes: u64,
        encoder_version: &str,
        events: Events,
    ) -> Result<Self, CacheError> {
        let failed = |source| CacheError::Io { path: dir.objects().to_owned(), source };
        let found = version::open(dir).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => CacheError::Foreign { path: dir.objects().to_owned() },
            _ => failed(error),
        })?;
        let cache = Self(Arc::new(Inner {
            dir: dir.clone(),
            budget_bytes,
            encoder_version: encoder_version.to_owned(),
            index: Mutex::default(),
            hot: Mutex::default(),
            moves: Mutex::default(),
            steps: Steps::default(),
            events,
        }));
        cache.rebuild().map_err(failed)?;
        cache.evict_down_to(budget_bytes);
        found.tell(&cache.stats());
        let reserve: Weak<dyn Reserve> = Arc::downgrade(&cache.reserve());
        dir.set_reserve(reserve);
        Ok(cache)
    }

    /// Its results, as what gives up some of the disk.
    pub fn reserve(&self) -> Arc<dyn Reserve> {
        Arc::<Inner>::clone(&self.0)
    }

    /// Whether there is an entry, as far as the index knows.
    #[cfg(test)]
    pub fn contains(&self, key: &Key) -> bool {
        self.index().contains(&self.name(key))
    }

    /// The result for this key, verified: by its digest when it is first used since the start or was changed, else by
    /// its size and time. A damaged entry is removed, so that the next request makes it anew.
    pub async fn get(&self, key: &Key) -> Option<Object> {
        let name = self.name(key);
        let (meta, verified) = self.index().pin(&name)?;
        let hot = self.hot().get(&name, &meta, Instant::now());
        let pin = Arc::new(Pin { cache: self.clone(), name, meta });
        if let Some((hot, due)) = hot {
            if due {
                let folder = self.folder(&pin.name);
                drop(spawn_blocking(move || touch(&folder)));
            }
            let (meta, hold) = (Arc::clone(&pin.meta), Hold::Cached { pin });
            return Some(Object { file: hot.file, meta, hold, content: Some(hot.content) });
        }
        let opened = spawn_blocking(move || pin.cache.open_pinned(&pin, verified)).await;
        opened.ok().flatten()
    }

    /// Puts a result in and opens it. If the disk refuses, the object is given all the same, and is just not kept.
    pub async fn insert(&self, result: Verified) -> io::Result<Object> {
        let cache = self.clone();
        spawn_blocking(move || cache.insert_blocking(result)).await.map_err(io::Error::other)?
    }

    /// Gives up entries that nobody uses until at least `bytes` are free of what is now taken; for when the disk is full.
    /// False: there was none to give up.
    pub async fn make_room(&self, bytes: u64) -> bool {
        let cache = self.clone();
        spawn_blocking(move || cache.give_up(bytes) > 0).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the cache could not make room");
            false
        })
    }

    /// A reading of the cache.
    pub fn stats(&self) -> CacheStats {
        let index = self.index();
        CacheStats { entries: index.len(), bytes: index.bytes(), budget_bytes: self.0.budget_bytes }
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> &Steps {
        &self.0.steps
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.0.index.lock()
    }

    pub(super) fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.0.hot.lock()
    }

    pub(super) fn moves(&self) -> MutexGuard<'_, ()> {
        self.0.moves.lock()
    }

    pub(super) fn name(&self, key: &Key) -> String {
        super::key::folder(key, &self.0.encoder_version)
    }

    /// Entries lie in folders by their first two digits: a hundred thousand in one is slow to list.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.0.dir.objects().join(name.get(..2).unwrap_or("xx")).join(name)
    }

    /// Where the file of a result lies that is open.
    pub fn path_of(&self, result: &Object) -> PathBuf {
        match &result.hold {
            Hold::Cached { pin } => self.folder(&pin.name).join(DATA),
            Hold::Uncached { file } => file.to_path_buf(),
            Hold::Kept { path } => path.clone(),
        }
    }

    fn open_pinned(&self, pin: &Arc<Pin>, verified: Option<Stamp>) -> Option<Object> {
        let folder = self.folder(&pin.name);
        match open_verified(&folder, &pin.meta, verified) {
            Ok((file, stamp)) => {
                if verified != Some(stamp) {
                    self.index().set_verified(&pin.name, &pin.meta, stamp);
                }
                touch(&folder);
                let file = Arc::new(file);
                let content = self.heat(pin, &file);
                let hold = Hold::Cached { pin: Arc::clone(pin) };
                Some(Object { file, meta: Arc::clone(&pin.meta), hold, content })
            }
            Err(error) => {
                self.0.events.tell(&NodeEvent::ResultDamaged { entry: &pin.name, error: &error });
                self.discard(&pin.name, &pin.meta);
                None
            }
        }
    }

    /// Reads a small result into memory, for the requests that come next.
    fn heat(&self, pin: &Pin, file: &Arc<File>) -> Option<Bytes> {
        if pin.meta.bytes > CONTENT_BYTES_MAX {
            return None;
        }
        let mut content = vec![0; usize::try_from(pin.meta.bytes).ok()?];
        // The disk has it all the same; the request that reads it there learns of the error.
        file.read_exact_at(&mut content, 0).ok()?;
        let content = Bytes::from(content);
        let hot = Hot { meta: Arc::clone(&pin.meta), file: Arc::clone(file), content: content.clone() };
        self.hot().put(&pin.name, hot, Instant::now());
        Some(content)
    }
}
