//! The offers that a simulated node holds: a node's own table, and who ends what is not used.

use super::bench::Place;
use super::node::SimNode;
use crate::content::{ClientTag, Key};
use crate::offers::{self, offers_per_peer_max};

/// What a peer was promised.
pub(super) struct Held {
    pub from: usize,
    pub key: Key,
    pub client: ClientTag,
    /// What is known of it.
    pub pixels: Option<u64>,
}

/// All offers that are held.
pub(super) type Offers = offers::Offers<u64, Held, Place>;

impl SimNode {
    /// Offers that one peer may have held here.
    pub(super) fn offers_per_peer_max(&self) -> usize {
        let setup = &self.cluster.setup;
        offers_per_peer_max(setup.queue as u32, setup.workers as u32) as usize
    }

    /// Holds a place for an offer.
    pub(super) fn hold(&self, held: Held, place: Place) -> u64 {
        let id = self.offer_ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let (node, expiry) = (self.me(), self.offers.hold(id, held, place));
        self.process.spawn(Box::pin(async move {
            if expiry.await.is_some() {
                node.cluster.note(node.index, format_args!("offer {id} has expired"));
            }
        }));
        id
    }
}
