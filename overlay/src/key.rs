//! Short names for members: what datagrams carry instead of the full identity.

use std::fmt;

use siphasher::sip::SipHasher24;

use crate::{BootEpoch, NodeName};

/// A member's name as 64 bits: SipHash-2-4 of its bytes, with a zero key.
///
/// Two names of one cluster that share a key can't both be members; with 10,000 members the odds are 1 in 10^11.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub(crate) u64);

impl NodeKey {
    /// The key of a name.
    pub fn of(name: &NodeName) -> Self {
        Self::of_text(name.as_str())
    }

    pub(crate) fn of_text(name: &str) -> Self {
        Self(siphash((0, 0), name.as_bytes()))
    }

    /// The upper half of it, for where a mistake costs little.
    pub(crate) fn head(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// This member's part in the digest of the live set, which is the exclusive or of all parts.
    pub(crate) fn live_part(self, boot: BootEpoch) -> u64 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].copy_from_slice(&boot.0.to_le_bytes());
        siphash((1, 0), &bytes)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// SipHash-2-4.
pub(crate) fn siphash(key: (u64, u64), bytes: &[u8]) -> u64 {
    SipHasher24::new_with_keys(key.0, key.1).hash(bytes)
}
