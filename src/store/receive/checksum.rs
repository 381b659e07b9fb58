//! What a client says that the bytes it sends hash to.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A digest of one piece of an upload, as the client gave it with the piece. It guards against what goes wrong on the way and not against
/// whoever sends it, so SHA-1 will do: it is what clients of tus take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Checksum {
    /// The names of the algorithms, as tus lists them.
    pub const ALGORITHMS: &str = "sha1,sha256";

    /// A digest by the name of its algorithm. None: there is no such algorithm here, or the digest has another length.
    pub fn of(algorithm: &str, digest: &[u8]) -> Option<Self> {
        match algorithm {
            "sha1" => Some(Self::Sha1(digest.try_into().ok()?)),
            "sha256" => Some(Self::Sha256(digest.try_into().ok()?)),
            _ => None,
        }
    }

    /// The sum of nothing yet, by the same algorithm.
    pub(super) fn begin(&self) -> Sum {
        match self {
            Self::Sha1(_) => Sum::Sha1(Sha1::new()),
            Self::Sha256(_) => Sum::Sha256(Sha256::new()),
        }
    }

    /// Whether that is what came.
    pub(super) fn is(&self, sum: Sum) -> bool {
        match (self, sum) {
            (Self::Sha1(digest), Sum::Sha1(sum)) => sum.finalize()[..] == digest[..],
            (Self::Sha256(digest), Sum::Sha256(sum)) => sum.finalize()[..] == digest[..],
            _ => false,
        }
    }
}

/// A digest in the making.
#[derive(Clone)]
pub(super) enum Sum {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Sum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(sum) => sum.update(bytes),
            Self::Sha256(sum) => sum.update(bytes),
        }
    }
}
