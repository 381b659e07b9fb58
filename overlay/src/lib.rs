//! SWIM membership, failure detection and load gossip over raw UDP.
//!
//! [`Swim`] is the protocol: a state machine that does no I/O and reads no clock. [`Overlay`] drives one over a UDP
//! socket inside a tokio runtime, and publishes the membership as a [`View`]. docs/PROTOCOL.md describes what goes
//! over the wire.

mod cluster;
mod config;
mod coordinate;
mod driver;
mod event;
mod gossip;
mod health;
mod key;
mod keyring;
mod load;
mod member;
mod members;
mod parts;
mod pings;
mod precedence;
mod rejection;
mod rtt;
pub mod sim;
mod stats;
mod swim;
#[cfg(any(test, feature = "fuzzing"))]
pub mod testing;
mod time;
mod traffic;
mod unanswered;
mod versions;
mod view;
mod wire;

pub use cluster::{ClusterId, ClusterIdError, ClusterIdentity};
pub use config::{CLUSTER_NAME_BYTES_MAX, Config, Timing, TimingError};
pub use coordinate::Coordinate;
pub use driver::{LoadPublisher, Overlay, StartError};
pub use event::{Convergence, Event, Subject};
pub use key::NodeKey;
pub use keyring::{KEY_BYTES, Keyring, KeyringError};
pub use load::LoadSample;
pub use member::{
    BootEpoch, Identity, Incarnation, MemberState, NAME_BYTES_MAX, NodeName, NodeNameError, Zone, ZoneError,
};
#[doc(hidden)]
pub use parts::Parts;
pub use rejection::{Rejected, Rejection};
pub use stats::{EventCounts, Stats};
pub use swim::{Input, Output, Swim};
pub use time::Time;
pub use traffic::{DatagramKind, Traffic, Volume};
pub use versions::Versions;
pub use view::{Damping, Load, Member, Rtt, View, Viewer};
pub use wire::{DATAGRAM_BYTES_MAX, DecodeError, OpenError};
