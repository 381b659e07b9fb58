//! What a node keeps on its disk, behind one door: [`Store`].
//!
//! - the data folder ([`DataDir`]): files in the making, locked to one node, swept at the start (`folder/`);
//! - bodies to disk, hashed on the way, within the budget for uploads (`receive/`);
//! - finished results, found by what they were made of; small ones that were asked for lately also in memory (`cache/`);
//! - what jobs keep: their journal, their videos, their results (`kept.rs`), and videos for another try (`spare.rs`);
//! - uploads that come in parts, whatever becomes of the requests that bring them (`parts.rs`);
//! - [`files`]: a result is a set of named files; the form in which several of them lie in one.
//!
//! It knows nothing of HTTP, of peers or of what is in a video.

mod cache;
pub mod files;
mod folder;
mod kept;
mod parts;
mod receive;
mod spare;

use std::error::Error;
use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hyper::body::Body;

pub use cache::{CacheError, CacheStats, Key, Meta, OPEN_RESULTS_MAX, Object};
pub use folder::{DataDir, DataDirError, Scratch, is_full};
pub use receive::{
    AppendError, Budget, Checkpoint, Checksum, Container, IngestError, Limits, NoRoom, NotVideo, Order, Part,
    PerClient, Rate, Received, Room, Share, Upload, sniff,
};

use crate::events::Events;
use crate::workers::Verified;

/// All that may be asked of what lies on a node's disk. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    folder: DataDir,
    cache: cache::Cache,
    spares: Arc<spare::Spares>,
}

impl Store {
    /// Opens what is kept in a data folder: results of this version are found again, the log says how many; those of another version
    /// are removed, the log says of how many bytes. What is no cache is refused and left as it is. Blocks on the disk.
    ///
    /// Results take `results_bytes_max` at the most, and those of another encoder's version are not found.
    /// What happens to them is told to `events`.
    pub fn open(
        folder: DataDir,
        results_bytes_max: u64,
        encoder_version: &str,
        events: Events,
    ) -> Result<Self, CacheError> {
        let cache = cache::Cache::open(&folder, results_bytes_max, encoder_version, events)?;
        let spares = spare::Spares::new(folder.clone(), results_bytes_max, cache.reserve());
        let reserve: Weak<spare::Spares> = Arc::downgrade(&spares);
        folder.set_reserve(reserve);
        Ok(Self { folder, cache, spares })
    }

    /// The folder, for what makes files itself: results, and what goes into them.
    pub const fn folder(&self) -> &DataDir {
        &self.folder
    }

    /// Streams an upload to disk, hashing it on the way. Memory is bounded however big the body and however many uploads; when the
    /// caller stops waiting (its client is gone), what was written is deleted.
    pub async fn receive<B>(&self, body: B, limits: &Limits) -> Result<Upload, IngestError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        receive::receive(body, &self.folder, limits).await
    }

    /// The same of a peer's result: any bytes will do, since what they are is for their digest to say. It is in the making until
    /// [`Self::keep`] takes it.
    pub async fn receive_result<B>(&self, body: B, limits: &Limits) -> Result<Received, IngestError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        receive::receive_result(body, &self.folder, limits).await
    }

    /// A result of a peer's that was received for one answer, and is not kept.
    pub fn borrowed(received: Received, meta: Meta) -> io::Result<Object> {
        let file = std::fs::File::open(&received.file)?;
        Ok(Object::held_by(file, meta, cache::Hold::Uncached { file: std::sync::Arc::new(received.file) }))
    }

    /// The result of this key, if it is here: verified by its digest when it is first used since the start or was changed, else by its
    /// size and time. A damaged one is removed, so that the next request makes it anew. It stays as long as the object lives.
    pub async fn get(&self, key: &Key) -> Option<Object> {
        self.cache.get(key).await
    }

    /// Keeps a result under its key, and opens it. If the disk refuses, the object is given all the same, and is just not kept.
    pub async fn keep(&self, result: Verified) -> io::Result<Object> {
        self.cache.insert(result).await
    }

    /// Gives up results that are not in use until at least `bytes` are free of what is now taken; for when the disk is full.
    /// False: there was none to give up.
    pub async fn make_room(&self, bytes: u64) -> bool {
        self.cache.make_room(bytes).await
    }

    /// How many results are kept, and what they take.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    /// What passes for an MP4 by its first bytes, of this length.
    pub(crate) fn mp4(bytes: usize) -> Vec<u8> {
        let mut body = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
        body.extend((body.len()..bytes).map(|at| (at * 7 + at / 251) as u8));
        body.truncate(bytes);
        body
    }
}
