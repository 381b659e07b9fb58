//! The envelope: what makes a datagram one of this cluster, undamaged.

use crate::key::siphash;

/// First byte of every datagram.
const WIRE_VERSION: u8 = 1;
/// Second byte: the body is plain, a checksum follows it.
const MODE_PLAIN: u8 = 0;
const HEAD_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

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
    #[error("unknown mode {0}")]
    Mode(u8),
    /// Damaged, or of a cluster with another name.
    #[error("wrong checksum: damaged, or of another cluster")]
    Checksum,
}

/// Closes and opens envelopes.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    /// Keys of the checksum: made from the cluster's name.
    cluster: (u64, u64),
}

impl Seal {
    pub fn plain(cluster: &str) -> Self {
        let name = cluster.as_bytes();
        Self { cluster: (siphash((2, 0), &[name]), siphash((3, 0), &[name])) }
    }

    #[expect(clippy::unused_self, reason = "a sealed envelope has another head")]
    pub fn begin(&self, bytes: &mut Vec<u8>) {
        bytes.extend([WIRE_VERSION, MODE_PLAIN]);
    }

    #[expect(clippy::unused_self, reason = "a sealed envelope has another trailer")]
    pub fn trailer_bytes(&self) -> usize {
        CHECKSUM_BYTES
    }

    pub fn seal(&self, bytes: &mut Vec<u8>) {
        let checksum = siphash(self.cluster, &[bytes]);
        bytes.extend(checksum.to_le_bytes());
    }

    /// The body, if the envelope is whole.
    pub fn open<'a>(&self, bytes: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        if bytes.len() > super::DATAGRAM_BYTES_MAX || bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
            return Err(OpenError::Length);
        }
        if bytes[0] != WIRE_VERSION {
            return Err(OpenError::Version(bytes[0]));
        }
        if bytes[1] != MODE_PLAIN {
            return Err(OpenError::Mode(bytes[1]));
        }
        let (signed, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if siphash(self.cluster, &[signed]).to_le_bytes() != checksum {
            return Err(OpenError::Checksum);
        }
        Ok(&signed[HEAD_BYTES..])
    }
}
