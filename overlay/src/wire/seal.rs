//! The envelope: what makes a datagram one of this cluster, undamaged.
//!
//! ```text
//! plain:   version | 0 | body | checksum (8: SipHash-2-4 of all before, keyed with the cluster's name)
//! sealed:  version | 1 | nonce (24, random) | body, encrypted | tag (16)
//!          XChaCha20-Poly1305 with a key of the keyring; additional data: version, mode and the cluster's name
//! ```

use std::sync::Arc;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use rand::RngCore;

use crate::key::siphash;
use crate::{Keyring, Versions};

/// Second byte: the body is plain, a checksum follows it.
const MODE_PLAIN: u8 = 0;
/// Second byte: the body is sealed.
const MODE_SEALED: u8 = 1;
const HEAD_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Why an envelope was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than an envelope, or longer than any datagram that is sent.
    #[error("impossible length")]
    Length,
    /// A version of the protocol that this node does not speak.
    #[error("unknown version {0}")]
    Version(u8),
    /// Plain, and this node has a key.
    #[error("not sealed, and this node has a key")]
    Unsealed,
    /// Sealed, and this node has no key.
    #[error("sealed, and this node has no key")]
    Keyless,
    /// Neither plain nor sealed.
    #[error("unknown mode {0}")]
    Mode(u8),
    /// Damaged, or of a cluster with another name.
    #[error("wrong checksum: damaged, or of another cluster")]
    Checksum,
    /// No key of the keyring opens it.
    #[error("does not open: damaged, or of another cluster or key")]
    Sealed,
}

/// Closes and opens envelopes. The first byte of each is the version of the protocol that all the rest is in: the one
/// thing that no version changes.
#[derive(Clone)]
pub(crate) struct Seal {
    versions: Versions,
    mode: Mode,
}

#[derive(Clone)]
enum Mode {
    /// A checksum keyed with the cluster's name: against damage and mistakes, not against enemies.
    Plain((u64, u64)),
    /// Authenticated encryption.
    Sealed {
        keys: Arc<[XChaCha20Poly1305]>,
        /// What is bound in, by version from the oldest.
        additional: Arc<[Box<[u8]>]>,
    },
}

impl Seal {
    /// Whether there is a key.
    pub fn is_sealed(&self) -> bool {
        matches!(self.mode, Mode::Sealed { .. })
    }

    /// For a node that speaks these versions.
    pub fn new(cluster: &str, keyring: Option<&Keyring>, versions: Versions) -> Self {
        let name = cluster.as_bytes();
        let Some(keyring) = keyring else {
            let key = (siphash((2, 0), name), siphash((3, 0), name));
            return Self { versions, mode: Mode::Plain(key) };
        };
        let keys = keyring.keys().iter().map(|key| XChaCha20Poly1305::new(key.into())).collect();
        let bound_in = |version: u8| [&[version, MODE_SEALED], name].concat().into();
        let additional = (versions.oldest()..=versions.newest()).map(bound_in).collect();
        Self { versions, mode: Mode::Sealed { keys, additional } }
    }

    /// Begins a datagram in this version, which must be one of the seal's.
    pub fn begin(&self, version: u8, bytes: &mut Vec<u8>, rng: &mut impl RngCore) {
        debug_assert!(self.versions.contains(version), "nobody sends what it does not speak");
        match self.mode {
            Mode::Plain(_) => bytes.extend_from_slice(&[version, MODE_PLAIN]),
            Mode::Sealed { .. } => {
                let mut nonce = [0; NONCE_BYTES];
                rng.fill_bytes(&mut nonce);
                bytes.extend_from_slice(&[version, MODE_SEALED]);
                bytes.extend_from_slice(&nonce);
            }
        }
    }

    /// What [`Self::seal`] adds.
    pub fn trailer_bytes(&self) -> usize {
        match self.mode {
            Mode::Plain(_) => CHECKSUM_BYTES,
            Mode::Sealed { .. } => TAG_BYTES,
        }
    }

    /// Ends a datagram.
    pub fn seal(&self, bytes: &mut Vec<u8>) {
        match &self.mode {
            Mode::Plain(key) => {
                let checksum = siphash(*key, bytes);
                bytes.extend_from_slice(&checksum.to_le_bytes());
            }
            Mode::Sealed { keys, additional } => {
                let additional = &additional[usize::from(bytes[0] - self.versions.oldest())];
                let (head, body) = bytes.split_at_mut(HEAD_BYTES + NONCE_BYTES);
                let tag = keys[0].encrypt_inout_detached(&nonce_of(head), additional, body.into());
                // Only a text of more than 256 GiB can't be encrypted.
                let tag = tag.expect("a datagram is short");
                bytes.extend_from_slice(&tag);
            }
        }
    }

    /// The version and the body, if the envelope is whole; it is decrypted in place.
    pub fn open<'a>(&self, bytes: &'a mut [u8]) -> Result<(u8, &'a [u8]), OpenError> {
        if bytes.len() > super::DATAGRAM_BYTES_MAX || bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
            return Err(OpenError::Length);
        }
        let version = bytes[0];
        if !self.versions.contains(version) {
            return Err(OpenError::Version(version));
        }
        match &self.mode {
            Mode::Plain(key) if bytes[1] == MODE_PLAIN => {
                let (signed, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
                if siphash(*key, signed).to_le_bytes() != checksum {
                    return Err(OpenError::Checksum);
                }
                Ok((version, &signed[HEAD_BYTES..]))
            }
            Mode::Sealed { keys, additional } if bytes[1] == MODE_SEALED => {
                let additional = &additional[usize::from(version - self.versions.oldest())];
                let body = bytes.len().checked_sub(TAG_BYTES).filter(|end| *end >= HEAD_BYTES + NONCE_BYTES);
                let (head, tag) = bytes.split_at_mut(body.ok_or(OpenError::Length)?);
                let (head, body) = head.split_at_mut(HEAD_BYTES + NONCE_BYTES);
                let tag = Tag::try_from(&*tag).map_err(|_| OpenError::Length)?;
                let nonce = nonce_of(head);
                for key in keys.iter() {
                    // The tag is checked before anything is decrypted: a wrong key leaves the body as it is.
                    if key.decrypt_inout_detached(&nonce, additional, (&mut *body).into(), &tag).is_ok() {
                        return Ok((version, body));
                    }
                }
                Err(OpenError::Sealed)
            }
            Mode::Sealed { .. } if bytes[1] == MODE_PLAIN => Err(OpenError::Unsealed),
            Mode::Plain(_) if bytes[1] == MODE_SEALED => Err(OpenError::Keyless),
            _ => Err(OpenError::Mode(bytes[1])),
        }
    }
}

fn nonce_of(head: &[u8]) -> XNonce {
    let mut nonce = XNonce::default();
    nonce.copy_from_slice(&head[HEAD_BYTES..]);
    nonce
}
