use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::key::Meta;
use super::results::Pin;
use crate::content::{ContentId, Damage};
use crate::store::Scratch;

/// A result, open for reading. The entry stays in the cache at least as long as this or a clone of it lives.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) file: Arc<File>,
    pub(super) meta: Arc<Meta>,
    pub(super) hold: Hold,
    pub(super) content: Option<Bytes>,
}

/// What keeps the file there.
#[derive(Clone, Debug)]
pub(super) enum Hold {
    Cached {
        _pin: Arc<Pin>,
    },
    /// The cache could not take it; it goes with its last reader.
    Uncached {
        _file: Arc<Scratch>,
    },
}

impl Object {
    /// The open file. Read it with positioned reads: all clones share one file position.
    pub const fn file(&self) -> &Arc<File> {
        &self.file
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
