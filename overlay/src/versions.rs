//! Versions of the wire format, so that a cluster is upgraded node by node.
//!
//! Each member says with its identity from which to which version it speaks; the others talk to it in the newest that
//! both speak. docs/PROTOCOL.md, section 2.3.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The versions that a node speaks: all from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Versions {
    oldest: u8,
    newest: u8,
}

impl Versions {
    /// Those that this code speaks.
    pub const SPOKEN: Self = Self { oldest: 1, newest: 1 };

    /// From `oldest` to `newest`; none if they are in the wrong order, or the first is 0.
    pub const fn new(oldest: u8, newest: u8) -> Option<Self> {
        if oldest >= 1 && oldest <= newest { Some(Self { oldest, newest }) } else { None }
    }

    /// The first one that is still spoken.
    pub const fn oldest(self) -> u8 {
        self.oldest
    }

    /// The last one that is spoken already.
    pub const fn newest(self) -> u8 {
        self.newest
    }

    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        u32::from(self.newest - self.oldest) + 1
    }

    /// Whether it is one of these.
    pub const fn contains(self, version: u8) -> bool {
        version >= self.oldest && version <= self.newest
    }

    /// The newest version that both speak; none if there is no such version.
    pub fn common(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// What to try the `turn`th time (from 0) with somebody of whom nothing is known: each in turn, the oldest first.
    pub(crate) fn in_turn(self, turn: u32) -> u8 {
        self.oldest + (turn % self.count()) as u8
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.newest)
        } else {
            write!(f, "{}-{}", self.oldest, self.newest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_both_speak() {
        let versions = |oldest, newest| Versions::new(oldest, newest).unwrap();
        assert_eq!(versions(1, 2).common(versions(2, 3)), Some(2));
        assert_eq!(versions(1, 3).common(versions(1, 2)), Some(2));
        assert_eq!(versions(1, 1).common(versions(2, 2)), None);
        assert_eq!((0..4).map(|turn| versions(2, 4).in_turn(turn)).collect::<Vec<_>>(), [2, 3, 4, 2]);
        assert_eq!(versions(1, 255).in_turn(254), 255);
        assert_eq!((Versions::new(0, 1), Versions::new(3, 2)), (None, None));
        assert_eq!(format!("{} {}", versions(1, 1), versions(1, 2)), "1 1-2");
    }
}
