//! What goes into the state machine, and what comes out.

use std::net::SocketAddr;

use crate::{BootEpoch, Event, Keyring, LoadSample, Time};

/// What happens to the state machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// The time that [`Output::Timeout`] named has come.
    Timeout,
    /// A datagram has arrived. It is decoded in place.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a mut [u8],
    },
    /// A datagram to this address was refused: nobody listens there.
    Refused(SocketAddr),
    /// What the seeds' names resolve to now: the answer to [`Output::Resolve`].
    Seeds(&'a [SocketAddr]),
    /// [`crate::Config::contacts`], to be asked as well while no seed answers.
    Contacts(&'a [SocketAddr]),
    /// This node is reached at another address now.
    Address(SocketAddr),
    /// This node's newest load sample.
    Load(LoadSample),
    /// What the wall clock says: milliseconds since 1970, as boot epochs are. Until it is told, this node takes its own boot
    /// epoch for the time of its start.
    WallClock(BootEpoch),
    /// The keyring has changed.
    Keys(&'a Keyring),
    /// Tell the others that this node leaves, then [`Output::Gone`].
    Leave,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram. Give the buffer back with [`crate::Swim::recycle`].
    Send {
        /// Where to.
        to: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Event(Event),
    /// Resolve the seeds' names and answer with [`Input::Seeds`]; with [`Input::Contacts`], too, if no seed answers.
    Resolve,
    /// Enough members have been told that this node leaves.
    Gone,
    /// Nothing more to do before this time, unless something comes in.
    Timeout(Time),
}
