use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::key::Meta;
use super::results::Pin;
use crate::content::{ContentId, Damage};
use crate::store::Scratch;
use crate::store::files::{Entry, FilesError, Index};

/// A result, open for reading: a set of named files. Most have one; what has several keeps them in one tar, so that there is one
/// digest, one length and one open file for all of it, and a file of it is a range of its bytes.
///
/// The entry stays in the cache at least as long as this or a clone of it lives.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) file: Arc<File>,
    pub(super) meta: Arc<Meta>,
    pub(super) hold: Hold,
    pub(super) content: Option<Bytes>,
}

/// What keeps the file there.
#[derive(Clone, Debug)]
pub(in crate::store) enum Hold {
    Cached {
        pin: Arc<Pin>,
    },
    /// The cache could not take it; it goes with its last reader.
    Uncached {
        file: Arc<Scratch>,
    },
    /// A job keeps it, here.
    Kept {
        path: PathBuf,
    },
}

impl Object {
    pub(in crate::store) fn held_by(file: File, meta: Meta, hold: Hold) -> Self {
        Self { file: Arc::new(file), meta: Arc::new(meta), hold, content: None }
    }

    /// The open file. Read it with positioned reads: all clones share one file position.
    pub const fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its files, in their order; the first is the one that a person opens. A single file is named after its profile.
    pub async fn files(&self) -> Result<Vec<Entry>, FilesError> {
        if !self.meta.is_set() {
            let name = format!("{}.{}", self.meta.profile, self.meta.extension);
            let name = name.parse().map_err(|source| FilesError::Name { at: 0, source })?;
            return Ok(vec![Entry { name, offset: 0, bytes: self.bytes() }]);
        }
        let index = if let Some(content) = &self.content {
            Index::read_from(content.len() as u64, |buffer, at| {
                let part = content.get(at as usize..at as usize + buffer.len());
                buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            })
        } else {
            let file = Arc::clone(&self.file);
            let read = spawn_blocking(move || Index::read(&file)).await;
            read.unwrap_or_else(|error| Err(io::Error::other(error).into()))
        };
        index.map(Index::into_entries)
    }

    /// All of it, if it is in memory already: small, and asked for before.
    pub const fn content(&self) -> Option<&Bytes> {
        self.content.as_ref()
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.meta.bytes
    }

    /// SHA-256 of the bytes: the entity tag, and the Repr-Digest.
    pub fn sha256(&self) -> ContentId {
        self.meta.sha256
    }

    /// Content-Type.
    pub fn media_type(&self) -> &str {
        &self.meta.media_type
    }

    /// File name extension, without the dot.
    pub fn extension(&self) -> &str {
        &self.meta.extension
    }

    /// What of its input could not be read.
    pub fn damage(&self) -> Option<&Damage> {
        self.meta.damage.as_ref()
    }

    /// All that is known of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether another request will find it.
    pub const fn is_cached(&self) -> bool {
        matches!(self.hold, Hold::Cached { .. })
    }
}
