use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::disk::{DATA, META, Steps, open_verified, read_entry, touch};
use super::hot::{CONTENT_BYTES_MAX, Hot, HotSet};
use super::index::{Index, Stamp};
use super::key::{Key, Meta};
use super::object::{Hold, Object};
use crate::store::DataDir;
use crate::store::folder::{Reserve, layout};
use crate::workers::Verified;

/// The cache of finished results. Clones are the same cache.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: DataDir,
    budget_bytes: u64,
    encoder_version: String,
    index: Mutex<Index>,
    hot: Mutex<HotSet>,
    /// Held while folders are renamed into or out of place, so that index and disk change as one. Taken before `index`.
    moves: Mutex<()>,
    steps: Steps,
}

/// A cache that can't be opened or read.
#[derive(Debug, thiserror::Error)]
#[error("the cache in {path} can't be used: {source}; check the disk, or give another --data-dir")]
pub struct CacheError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
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
pub(super) struct Pin {
    cache: Cache,
    name: String,
    meta: Arc<Meta>,
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
    /// Opens the cache and reads its index back from the disk; what isn't whole is removed. Blocks.
    pub fn open(dir: &DataDir, budget_bytes: u64, encoder_version: &str) -> Result<Self, CacheError> {
        let failed = |source| CacheError { path: dir.objects().to_owned(), source };
        let cache = Self(Arc::new(Inner {
            dir: dir.clone(),
            budget_bytes,
            encoder_version: encoder_version.to_owned(),
            index: Mutex::default(),
            hot: Mutex::default(),
            moves: Mutex::default(),
            steps: Steps::default(),
        }));
        cache.rebuild().map_err(failed)?;
        cache.evict_down_to(budget_bytes);
        let reserve: Weak<Inner> = Arc::downgrade(&cache.0);
        dir.set_reserve(reserve);
        Ok(cache)
    }

    /// Whether there is an entry, as far as the index knows. Touches no disk.
    pub fn contains(&self, key: &Key) -> bool {
        self.index().contains(&self.name(key))
    }

    /// What is known of an entry. Touches no disk.
    pub fn meta(&self, key: &Key) -> Option<Arc<Meta>> {
        self.index().meta(&self.name(key))
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
            let (meta, hold) = (Arc::clone(&pin.meta), Hold::Cached { _pin: pin });
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

    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.index.lock()
    }

    fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.0.hot.lock()
    }

    fn moves(&self) -> MutexGuard<'_, ()> {
        self.0.moves.lock()
    }

    fn name(&self, key: &Key) -> String {
        key.folder(&self.0.encoder_version)
    }

    /// Entries lie in folders by their first two digits: a hundred thousand in one is slow to list.
    fn folder(&self, name: &str) -> PathBuf {
        self.0.dir.objects().join(name.get(..2).unwrap_or("xx")).join(name)
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
                let hold = Hold::Cached { _pin: Arc::clone(pin) };
                Some(Object { file, meta: Arc::clone(&pin.meta), hold, content })
            }
            Err(error) => {
                tracing::warn!(entry = pin.name, %error, "a cached result is damaged: removed, to be made anew");
                self.discard(&pin.name, &pin.meta);
                None
            }
        }
    }

    /// Reads a small result into memory, for those who come next.
    fn heat(&self, pin: &Pin, file: &Arc<File>) -> Option<Bytes> {
        if pin.meta.bytes > CONTENT_BYTES_MAX {
            return None;
        }
        let mut content = vec![0; usize::try_from(pin.meta.bytes).ok()?];
        // The disk has it all the same; whoever reads it there learns of the error.
        file.read_exact_at(&mut content, 0).ok()?;
        let content = Bytes::from(content);
        let hot = Hot { meta: Arc::clone(&pin.meta), file: Arc::clone(file), content: content.clone() };
        self.hot().put(&pin.name, hot, Instant::now());
        Some(content)
    }

    fn insert_blocking(&self, result: Verified) -> io::Result<Object> {
        let profile = result.profile();
        let name = self.name(&Key::new(result.content(), profile));
        let meta = Arc::new(Meta {
            content: result.content(),
            profile: profile.name.clone(),
            encoder: self.0.encoder_version.clone(),
            bytes: result.bytes(),
            sha256: result.sha256(),
            media_type: profile.media_type().to_owned(),
            extension: profile.extension().to_owned(),
            damage: result.damage().copied(),
        });
        let file = File::open(result.path())?;
        let stamp = Stamp::of(&file)?;
        if stamp.bytes != meta.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the result changed after it was verified",
            ));
        }
        // What it needs of the disk is little: the result itself lies there already.
        let put = self.0.dir.with_room(0, || {
            let staged = self.stage(&file, result.path(), &meta)?;
            self.commit(&name, staged, &meta, stamp)
        });
        let hold = match put {
            Ok(pin) => {
                // The file lies in the entry now, under another name.
                drop(result);
                self.evict_down_to(self.0.budget_bytes);
                Hold::Cached { _pin: pin }
            }
            Err(error) => {
                tracing::warn!(entry = name, %error, "a result can't be cached");
                Hold::Uncached { _file: Arc::new(result.into_file()) }
            }
        };
        Ok(Object { file: Arc::new(file), meta, hold, content: None })
    }

    /// Makes the entry's folder in `tmp/`, synced. The file is linked, not moved: if anything fails it is still there.
    fn stage(&self, file: &File, path: &Path, meta: &Meta) -> io::Result<tempfile::TempDir> {
        let folder = self.0.dir.scratch_folder("object-")?;
        fs::hard_link(path, folder.path().join(DATA))?;
        file.sync_all()?;
        let mut description = File::create_new(folder.path().join(META))?;
        description.write_all(&serde_json::to_vec_pretty(meta)?)?;
        description.sync_all()?;
        self.0.steps.sync(folder.path())?;
        Ok(folder)
    }

    /// Renames the folder into place and enters it in the index, as one.
    fn commit(
        &self,
        name: &str,
        staged: tempfile::TempDir,
        meta: &Arc<Meta>,
        stamp: Stamp,
    ) -> io::Result<Arc<Pin>> {
        let target = self.folder(name);
        let shelf = target.parent().unwrap_or_else(|| self.0.dir.objects());
        let steps = &self.0.steps;
        let _moves = self.moves();
        if !shelf.exists() {
            steps.make_folder(shelf)?;
            steps.sync(self.0.dir.objects())?;
        }
        // A new result for an old name takes its place: both are right, or the old one is damaged.
        if target.exists() {
            self.move_away(name)?;
        }
        let placed = steps.rename(staged.path(), &target).and_then(|()| {
            // Gone from there; nothing is left to delete.
            let _moved = staged.keep();
            steps.sync(shelf)
        });
        if let Err(error) = placed {
            // What is not safe there is not there at all: neither this one nor the old one.
            self.index().remove(name);
            drop(self.take_away(name));
            return Err(error);
        }
        let mut index = self.index();
        index.insert(name, Arc::clone(meta), Some(stamp));
        index.pin(name);
        drop(index);
        Ok(Arc::new(Pin { cache: self.clone(), name: name.to_owned(), meta: Arc::clone(meta) }))
    }

    /// Takes an entry out of place, atomically; the deletion of what is then in `tmp/` may take its time.
    fn move_away(&self, name: &str) -> io::Result<tempfile::TempDir> {
        let grave = self.0.dir.scratch_folder("evicted-")?;
        self.0.steps.rename(&self.folder(name), &grave.path().join("entry"))?;
        Ok(grave)
    }

    fn discard(&self, name: &str, meta: &Arc<Meta>) {
        let _moves = self.moves();
        // Replaced meanwhile by a sound one? Then that one stays.
        if self.index().meta(name).is_some_and(|current| Arc::ptr_eq(&current, meta)) {
            self.index().remove(name);
            drop(self.take_away(name));
        }
    }

    /// Takes an entry out of place for good; what is returned is deleted when it is dropped.
    fn take_away(&self, name: &str) -> Option<tempfile::TempDir> {
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

    fn evict_down_to(&self, target_bytes: u64) {
        self.evict_while(|index, _| index.bytes() > target_bytes);
    }

    /// Gives up entries until `bytes` are free of what they took. Answers with how many bytes are.
    fn give_up(&self, bytes: u64) -> u64 {
        let freed = self.evict_while(|_, freed| freed < bytes);
        if freed > 0 {
            tracing::info!(freed, "the disk is full: results left the cache to make room");
        }
        freed
    }

    /// Evicts for as long as `more` says so of the index and the bytes freed, and there is something that nobody uses.
    /// Answers with the bytes freed. Takes the index's lock: whoever calls must not hold it.
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
            freed += before - index.bytes();
            drop(index);
            tracing::debug!(entry = name, "evicted");
            let grave = self.take_away(&name);
            // To delete a big file takes the kernel a while: nobody has to wait for that.
            drop(moves);
            drop(grave);
        }
    }

    fn trim_soon(&self) {
        let cache = self.clone();
        let trim = move || cache.evict_down_to(cache.0.budget_bytes);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(trim)),
            Err(_) => trim(),
        }
    }

    fn rebuild(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for (name, path, meta) in layout::list(self.0.dir.objects())? {
            if !layout::is_shelf(&name) {
                tracing::warn!(path = %path.display(), "not from a node: left alone");
            } else if meta.is_dir() {
                Self::read_shelf(&path, &mut found)?;
            } else {
                // In the way of what belongs there; where a link points to is nobody's business here.
                tracing::warn!(path = %path.display(), "no folder, where one belongs: removed");
                layout::remove(&path, &meta)?;
            }
        }
        found.sort_by(|(used, name, _), (other_used, other_name, _)| {
            (used, name).cmp(&(other_used, other_name))
        });
        let mut index = self.index();
        for (_, name, meta) in found {
            index.insert(&name, Arc::new(meta), None);
        }
        Ok(())
    }

    /// Reads the entries of one shelf back; those that aren't whole are removed.
    fn read_shelf(shelf: &Path, found: &mut Vec<(SystemTime, String, Meta)>) -> io::Result<()> {
        for (name, path, file) in layout::list(shelf)? {
            if !layout::is_entry(&name) {
                tracing::warn!(path = %path.display(), "not from a node: left alone");
                continue;
            }
            let read = if file.is_dir() {
                read_entry(&path, &name)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            };
            match read {
                Ok((used, meta)) => found.push((used, name, meta)),
                Err(error) => {
                    tracing::warn!(entry = name, %error, "a cache entry is not whole: removed");
                    layout::remove(&path, &file)?;
                }
            }
        }
        Ok(())
    }
}

impl Reserve for Inner {
    fn give_up(self: Arc<Self>, bytes: u64) -> bool {
        Cache(self).give_up(bytes) > 0
    }
}
