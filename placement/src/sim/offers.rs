//! The offers that a simulated node holds: a node's own table, and who ends what is not used.

use super::bench::Place;
use super::node::SimNode;
use crate::content::{ClientTag, Key};
use crate::offers::{self, Seat};

/// What a peer was promised.
pub(super) struct Held {
    pub key: Key,
    pub client: ClientTag,
    /// What is known of it.
    pub pixels: Option<u64>,
}

/// All offers that are held, by the nodes that made them.
pub(super) type Offers = offers::Offers<usize, u64, Held, Place>;

impl SimNode {
    /// Holds a place for an offer.
    pub(super) fn hold(&self, held: Held, place: Place, seat: Seat<usize>) -> u64 {
        let id = self.offer_ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let (node, expiry) = (self.me(), self.offers.hold(id, held, (place, seat)));
        self.process.spawn(Box::pin(async move {
            if expiry.await.is_some() {
                node.cluster.note(node.index, format_args!("offer {id} has expired"));
            }
        }));
        id
    }
}
