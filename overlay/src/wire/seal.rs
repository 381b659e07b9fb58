//! The envelope: what makes a datagram one of this cluster, undamaged.
//!
//! ```text
//! plain:   version 0 | body | checksum (8: SipHash-2-4 of all before, keyed with the cluster's name)
//! sealed:  version 1 | nonce (24, random) | body, encrypted | tag (16)
//!          XChaCha20-Poly1305 with a key of the keyring; additional data: version, mode and the cluster's name
//! ```

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use rand::RngCore;

use crate::Keyring;
use crate::key::siphash;

/// First byte of every datagram. A new number is a protocol that old nodes can't read; what they can skip comes in new
/// sections instead.
const WIRE_VERSION: u8 = 1;
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
    /// Sealed, or not sealed, unlike this cluster.
    #[error("mode {0} is not this cluster's: only one of us has a key")]
    Mode(u8),
    /// Damaged, or of a cluster with another name.
    #[error("wrong checksum: damaged, or of another cluster")]
    Checksum,
    /// No key of the keyring opens it.
    #[error("does not open: damaged, or of another cluster or key")]
    Sealed,
}

/// Closes and opens envelopes.
#[derive(Clone)]
pub(crate) enum Seal {
    /// A checksum keyed with the cluster's name: against damage and mistakes, not against enemies.
    Plain((u64, u64)),
    /// Authenticated encryption.
    Sealed { keys: std::sync::Arc<[XChaCha20Poly1305]>, additional: std::sync::Arc<[u8]> },
}

impl Seal {
    pub fn new(cluster: &str, keyring: Option<&Keyring>) -> Self {
        let name = cluster.as_bytes();
        let Some(keyring) = keyring else {
            return Self::Plain((siphash((2, 0), &[name]), siphash((3, 0), &[name])));
        };
        let keys = keyring.keys().iter().map(|key| XChaCha20Poly1305::new(key.into())).collect();
        let additional = [&[WIRE_VERSION, MODE_SEALED], name].concat().into();
        Self::Sealed { keys, additional }
    }

    /// Begins a datagram.
    pub fn begin(&self, bytes: &mut Vec<u8>, rng: &mut impl RngCore) {
        match self {
            Self::Plain(_) => bytes.extend([WIRE_VERSION, MODE_PLAIN]),
            Self::Sealed { .. } => {
                let mut nonce = [0; NONCE_BYTES];
                rng.fill_bytes(&mut nonce);
                bytes.extend([WIRE_VERSION, MODE_SEALED]);
                bytes.extend(nonce);
            }
        }
    }

    /// What [`Self::seal`] adds.
    pub fn trailer_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => CHECKSUM_BYTES,
            Self::Sealed { .. } => TAG_BYTES,
        }
    }

    /// Ends a datagram.
    pub fn seal(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Plain(key) => {
                let checksum = siphash(*key, &[bytes]);
                bytes.extend(checksum.to_le_bytes());
            }
            Self::Sealed { keys, additional } => {
                let (head, body) = bytes.split_at_mut(HEAD_BYTES + NONCE_BYTES);
                let tag = keys[0].encrypt_inout_detached(&nonce_of(head), additional, body.into());
                // Only a text of more than 256 GiB can't be encrypted.
                let tag = tag.expect("a datagram is short");
                bytes.extend_from_slice(&tag);
            }
        }
    }

    /// The body, if the envelope is whole; it is decrypted in place.
    pub fn open<'a>(&self, bytes: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        if bytes.len() > super::DATAGRAM_BYTES_MAX || bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
            return Err(OpenError::Length);
        }
        if bytes[0] != WIRE_VERSION {
            return Err(OpenError::Version(bytes[0]));
        }
        match self {
            Self::Plain(key) if bytes[1] == MODE_PLAIN => {
                let (signed, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
                if siphash(*key, &[signed]).to_le_bytes() != checksum {
                    return Err(OpenError::Checksum);
                }
                Ok(&signed[HEAD_BYTES..])
            }
            Self::Sealed { keys, additional } if bytes[1] == MODE_SEALED => {
                let body = bytes.len().checked_sub(TAG_BYTES).filter(|end| *end >= HEAD_BYTES + NONCE_BYTES);
                let (head, tag) = bytes.split_at_mut(body.ok_or(OpenError::Length)?);
                let (head, body) = head.split_at_mut(HEAD_BYTES + NONCE_BYTES);
                let tag = Tag::try_from(&*tag).map_err(|_| OpenError::Length)?;
                let nonce = nonce_of(head);
                for key in keys.iter() {
                    // The tag is checked before anything is decrypted: a wrong key leaves the body as it is.
                    if key.decrypt_inout_detached(&nonce, additional, (&mut *body).into(), &tag).is_ok() {
                        return Ok(body);
                    }
                }
                Err(OpenError::Sealed)
            }
            _ => Err(OpenError::Mode(bytes[1])),
        }
    }
}

fn nonce_of(head: &[u8]) -> XNonce {
    let mut nonce = XNonce::default();
    nonce.copy_from_slice(&head[HEAD_BYTES..]);
    nonce
}
