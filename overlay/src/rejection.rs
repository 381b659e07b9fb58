//! Why datagrams were ignored, and how many.

use crate::{DecodeError, OpenError};

/// Why a datagram was ignored, as far as the wire format can tell: under a seal, another key, another cluster's name and
/// damage look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// Shorter than an envelope, or longer than any datagram that is sent.
    Length,
    /// In a version of the protocol that this node does not speak.
    Version,
    /// Plain, and this node has a key.
    Unsealed,
    /// Sealed, and this node has no key.
    Keyless,
    /// Plain with a wrong checksum: of a cluster with another name, or damaged.
    Checksum,
    /// No key of this node opens it: sealed with another key, of a cluster with another name, or damaged.
    Unopened,
    /// The envelope is right or of no known kind, and what is in it is not as the protocol has it.
    Malformed,
    /// Of a boot more than two days ahead of this node's clock, or of an incarnation that no member gets to.
    Ahead,
    /// This node's own, come back: a reflector, or a seed's address that is its own.
    Echo,
    /// Of a member of another cluster that has the same name.
    OtherCluster,
}

impl Rejection {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Length,
        Self::Version,
        Self::Unsealed,
        Self::Keyless,
        Self::Checksum,
        Self::Unopened,
        Self::Malformed,
        Self::Ahead,
        Self::Echo,
        Self::OtherCluster,
    ];

    /// One word, for metrics and log lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Unsealed => "unsealed",
            Self::Keyless => "keyless",
            Self::Checksum => "checksum",
            Self::Unopened => "unopened",
            Self::Malformed => "malformed",
            Self::Ahead => "ahead",
            Self::Echo => "echo",
            Self::OtherCluster => "other-cluster",
        }
    }
}

impl From<DecodeError> for Rejection {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Open(OpenError::Length) => Self::Length,
            DecodeError::Open(OpenError::Version(_)) => Self::Version,
            DecodeError::Open(OpenError::Unsealed) => Self::Unsealed,
            DecodeError::Open(OpenError::Keyless) => Self::Keyless,
            DecodeError::Open(OpenError::Checksum) => Self::Checksum,
            DecodeError::Open(OpenError::Sealed) => Self::Unopened,
            DecodeError::Ahead => Self::Ahead,
            DecodeError::OtherCluster { .. } => Self::OtherCluster,
            DecodeError::Open(OpenError::Mode(_)) | DecodeError::Malformed(_) => Self::Malformed,
        }
    }
}

/// Datagrams that were ignored, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected([u64; Rejection::ALL.len()]);

impl Rejected {
    pub(crate) fn count(&mut self, why: Rejection) {
        self.0[why as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, why: Rejection) -> u64 {
        self.0[why as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
