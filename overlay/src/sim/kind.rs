//! Kinds of faults, as they are called on the command line.

use std::fmt;
use std::str::FromStr;

use super::Fired;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $stood:literal $counter:ident,)*) => {
        /// Kinds of faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// Whether the overlay stands it: whoever fails a running node meanwhile is wrong.
            pub fn is_stood(self) -> bool {
                match self {
                    $(Self::$kind => $stood,)*
                }
            }

            /// Name of the counter of [`Fired`] that shows what it did.
            pub fn counter(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($counter),)*
                }
            }

            /// What that counter says.
            pub fn count(self, fired: &Fired) -> u64 {
                match self {
                    $(Self::$kind => fired.$counter,)*
                }
            }
        }
    };
}

kinds! {
    /// Links lose up to 40 %.
    Loss "loss" true lost,
    /// Links lose up to 30 %, in bursts.
    Bursts "bursts" true lost,
    /// Links deliver up to half of the datagrams twice.
    Duplicate "duplicate" true duplicated,
    /// Up to half of the datagrams wait for up to 500 ms, and later ones overtake.
    Reorder "reorder" true reordered,
    /// Datagrams take 0.5 s to 3 s longer.
    Delay "delay" false delayed,
    /// Up to 30 % arrives damaged.
    Corrupt "corrupt" true corrupted,
    /// Up to half of the datagrams are delivered again, seconds or minutes later.
    Replay "replay" true replayed,
    /// Larger datagrams vanish on all links of a node, or on a third of all links.
    BlackHole "mtu" true swallowed,
    /// A node's socket takes one datagram in a twentieth to a tenth of the protocol period (`lan`: 50 ms to 100 ms).
    FullBuffer "buffer" true overflowed,
    /// A NAT rebinds a node's port; in half of the cases the old one does not work any more.
    Rebind "nat" true rebound,
    /// The cluster is cut in two.
    Partition "partition" false blocked,
    /// One direction between two nodes is blocked.
    OneWay "one-way" true blocked,
    /// Nothing reaches a node, but it is heard.
    Deaf "deaf" false blocked,
    /// Two halves that reach each other only through one node.
    Bridge "bridge" true blocked,
    /// A fifth of all pairs can't reach each other.
    NonTransitive "non-transitive" true blocked,
    /// A fifth of all links come and go.
    Flap "flap" true flapped,
    /// A node is killed, and started again later.
    Crash "crash" false killed,
    /// All nodes start again at once.
    RestartAll "restart-all" false killed,
    /// A node leaves, and comes back later.
    Leave "leave" false left,
    /// A node starts again with its clock set back or forward.
    ClockStep "clock" true clock_steps,
    /// A node starts again at another address.
    Move "move" true moved,
    /// Two nodes start again, each at the other one's address.
    Swap "swap" true swapped,
    /// A process is stopped for 1 s to 60 s, for a protocol period at least.
    Pause "pause" false put_off,
    /// Up to a third of the nodes are starved of CPU.
    Starve "starve" false starved,
    /// Up to a third of the nodes have too little CPU for what comes in, and read it late.
    Busy "busy" false backlogged,
    /// All nodes but two, three or five are gone at once, silently or with refused ports, and come back later.
    MassDeath "mass-death" false mass_killed,
    /// A receiver is slow, with punctual timers.
    Slow "slow" false slowed,
    /// All nodes are upgraded to the next version of the wire format, or rolled back, one after the other.
    Upgrade "upgrade" true upgraded,
    /// The cluster's key is rotated by one step, node by node.
    Rekey "rekey" true rekeyed,
}

impl FaultKind {
    /// How many nodes a cluster needs for it.
    pub fn nodes_min(self) -> usize {
        match self {
            // What is cut off from one another is reached by a third one.
            Self::Bridge | Self::NonTransitive => 3,
            Self::MassDeath => 4,
            _ => 2,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a text is not a kind of fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fault: use one of {list}", list = names())]
pub struct FaultKindError(String);

fn names() -> String {
    FaultKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

impl FromStr for FaultKind {
    type Err = FaultKindError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| FaultKindError(text.chars().take(80).collect()))
    }
}
