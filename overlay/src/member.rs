//! Who a member is, and what the cluster believes of it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Versions;

/// Longest node or zone name, in bytes (that of a DNS label).
pub const NAME_BYTES_MAX: usize = 63;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $error:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        #[doc = concat!("Why a text is not a ", $what, ".")]
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("{0:?} is not a {what}: use 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.', but not '.' or '..' alone", what = $what)]
        pub struct $error(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_name(text) { Ok(Self(text.into())) } else { Err($error(text.chars().take(80).collect())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                (*name.0).into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// A node's name, unique in its cluster.
    NodeName, NodeNameError, "node name"
);
name_type!(
    /// A zone's name: nodes of one zone are near each other.
    Zone, ZoneError, "zone name"
);

/// Names become names of folders and parts of paths: `.` and `..` would lead elsewhere.
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "." | "..")
        && (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Tells the boots of one node apart: a restarted node has a newer (greater) one. Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootEpoch(pub u64);

impl BootEpoch {
    /// The greatest one that there is: they travel in six bytes.
    pub const MAX: Self = Self((1 << 48) - 1);
}

/// A member's version of itself within one boot; only the member itself raises it, to refute (SWIM, section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u32);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a member says of itself; constant during one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Unique in the cluster.
    pub name: NodeName,
    /// Greater after each restart.
    pub boot: BootEpoch,
    /// Where its gossip datagrams go.
    pub gossip: SocketAddr,
    /// TCP port of its HTTP service, on the address of `gossip`.
    pub http_port: u16,
    /// Where it stands.
    pub zone: Zone,
    /// How many jobs it can run at once; [`Identity::OBSERVES`]: none, ever.
    pub capacity_jobs: u16,
    /// Versions of the wire format that it speaks: [`Versions::SPOKEN`].
    pub versions: Versions,
}

impl Identity {
    /// The capacity of a member that watches and never works. Older releases know of no such members, take them for members whose
    /// load is not known, and find, if they ask them, that they refuse.
    pub const OBSERVES: u16 = 0;

    /// Whether it only watches: it takes no job, holds no content and gives no lease.
    pub const fn is_observer(&self) -> bool {
        self.capacity_jobs == Self::OBSERVES
    }

    /// Where its HTTP service answers other nodes.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(self.gossip.ip(), self.http_port)
    }
}

/// What the cluster believes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// Answers.
    Alive,
    /// Did not answer somebody; has time to refute.
    Suspect,
    /// Did not refute in time.
    Dead,
    /// Said that it leaves.
    Left,
}

impl MemberState {
    /// Whether a member in this state takes part: a suspect does until its time to refute is over.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        })
    }
}
