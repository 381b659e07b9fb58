//! The wire format: the only module that knows what bytes look like; in it, `codec` alone knows of bincode.
//!
//! A datagram is an envelope (version, mode, checksum or seal; see [`Seal`]) around a body: a [`Head`], then sections
//! of the form kind, length, payload. A receiver skips sections of a kind that it does not know and ignores bytes
//! after the fields that it knows, so that two versions can live in one cluster. Everything is decoded and checked
//! before any of it reaches the state machine. docs/PROTOCOL.md lists every field.

use crate::ClusterId;

mod body;
mod codec;
mod decode;
mod encode;
mod load;
mod seal;

#[cfg(test)]
mod tests;

pub(crate) use body::{ClusterClaim, Head, LoadEntry, Message, Range, Record, Subject, Update};
pub(crate) use decode::{Datagram, Lists, decode};
pub(crate) use encode::Encoder;
pub use seal::OpenError;
pub(crate) use seal::Seal;

/// Largest datagram ever sent or accepted: it fits the IPv6 minimum path of tunnels that take 80 bytes of 1,480, and
/// is never fragmented.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// What gets through every path (the least that IPv4 has to carry, RFC 791, less its headers): what has to arrive is no
/// larger. Larger ones may vanish where a path takes less than it should and nobody says so.
pub(crate) const DATAGRAM_BYTES_SURE: usize = 548;
/// Most membership updates in one datagram.
pub(crate) const UPDATES_MAX: usize = 80;
/// Most ranges in one datagram.
pub(crate) const RANGES_MAX: usize = 32;
/// Most load entries in one datagram.
pub(crate) const LOADS_MAX: usize = 32;

/// Why a datagram was ignored. No state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The envelope is not one of this cluster.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// A field does not decode, or is out of its bounds.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// What it says of its sender can't be, or would be the last word on it.
    #[error(
        "its sender's boot epoch is more than two days ahead of this node's clock, or its incarnation is out of reach"
    )]
    Ahead,
    /// Its sender is a member of another cluster that has the same name.
    #[error(
        "its sender is of another cluster of the same name: that one's id is {theirs}, this one's {ours}"
    )]
    OtherCluster {
        /// Id of this node's cluster.
        ours: ClusterId,
        /// Id of its sender's.
        theirs: ClusterId,
    },
}
