//! Which cluster a node belongs to, beyond the cluster's name.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

/// Tells clusters of one name apart. Each node draws one at random at its first start; all members of a cluster come to hold
/// the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// Why a text is not a cluster's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cluster's id, which has 16 hexadecimal digits")]
pub struct ClusterIdError(String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, ClusterIdError> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or_else(|| ClusterIdError(text.chars().take(80).collect()))
    }
}

/// The cluster that a node takes itself for a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// The cluster's id.
    pub id: ClusterId,
    /// Whether it has stood for so long that, without a key, nobody talks it out of its id any more.
    pub settled: bool,
}

impl ClusterIdentity {
    /// That of a node which has met nobody yet.
    pub fn fresh(id: ClusterId) -> Self {
        Self { id, settled: false }
    }

    /// Whether a node of that other identity is to take this one: the settled one counts, of two alike that with the lower id.
    pub(crate) fn beats(self, other: Self) -> bool {
        (self.settled, Reverse(self.id)) > (other.settled, Reverse(other.id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_settled_one_counts_then_the_lower_id() {
        let identity = |id, settled| ClusterIdentity { id: ClusterId(id), settled };
        assert!(identity(9, true).beats(identity(1, false)));
        assert!(identity(1, false).beats(identity(9, false)));
        assert!(identity(1, true).beats(identity(9, true)));
        assert!(identity(1, true).beats(identity(1, false)), "its cluster has settled meanwhile");
        assert!(!identity(1, true).beats(identity(1, true)));
    }

    #[test]
    fn an_id_is_sixteen_digits() {
        assert_eq!("00000000000000ff".parse(), Ok(ClusterId(255)));
        for bad in ["", "ff", "00000000000000fg", "+0000000000000ff", "00000000000000ff0"] {
            assert_eq!(bad.parse::<ClusterId>(), Err(ClusterIdError(bad.into())));
        }
    }

    proptest! {
        #[test]
        fn of_two_clusters_one_gives_way(a: (u64, bool), b: (u64, bool)) {
            let [a, b] = [a, b].map(|(id, settled)| ClusterIdentity { id: ClusterId(id), settled });
            prop_assert_eq!(u8::from(a.beats(b)) + u8::from(b.beats(a)), u8::from(a != b));
            prop_assert_eq!(a.id.to_string().parse(), Ok(a.id));
        }
    }
}
