//! How many may listen to a node's events at once: none of them is to take all there is room for.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ClientSlot, Clients, Node};

/// Listeners at once, and those of them that may be one client's.
const LISTENERS_MAX: usize = 64;
const PER_CLIENT_MAX: u32 = 16;

/// The places for listeners.
#[derive(Debug)]
pub struct Listeners {
    places: Arc<Semaphore>,
    clients: Clients,
}

/// One listener's place; given back on drop.
#[derive(Debug)]
pub struct ListenSlot {
    _place: OwnedSemaphorePermit,
    _client: ClientSlot,
}

/// Why there is no place for one more listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// The client has as many as it may.
    #[error("you listen to this node's events {max} times: use one of those, or listen to another node")]
    OfClient {
        /// How many it may have.
        max: u32,
    },
    /// All together have.
    #[error(
        "{LISTENERS_MAX} clients listen to this node's events, and no more may: try again later, or listen to another node"
    )]
    OfAll,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LISTENERS_MAX)), clients: Clients::new(PER_CLIENT_MAX) }
    }
}

impl Node {
    /// A place for one more listener to events at this address.
    pub fn listen_slot(&self, address: IpAddr) -> Result<ListenSlot, ListenError> {
        self.listeners.slot(address)
    }
}

impl Listeners {
    /// A place for one more at this address.
    pub fn slot(&self, address: IpAddr) -> Result<ListenSlot, ListenError> {
        let Self { places, clients } = self;
        let client = clients.enter(address).ok_or(ListenError::OfClient { max: PER_CLIENT_MAX })?;
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| ListenError::OfAll)?;
        Ok(ListenSlot { _place: place, _client: client })
    }
}
