//! Offers that this node accepted: a place in its queue, held for a moment until the body comes.

use std::net::IpAddr;

use starling_placement::offers;
pub use starling_placement::offers::TakeError;

use crate::api::{Offer, OfferId};
use crate::content::network_of;
use crate::events::{Events, NodeEvent};
use crate::trace;

/// One of the offers that an address may have here at once.
pub type Seat = offers::Seat<IpAddr>;

/// Accepted offers by id, each with the place it holds (`P`); a place is given back by dropping it.
#[derive(Debug)]
pub struct Offers<P> {
    /// Of each address, whatever names it gives itself.
    held: offers::Offers<IpAddr, OfferId, Offer, P>,
    events: Events,
}

impl<P: Send + 'static> Offers<P> {
    /// No offers yet; `per_peer_max` of one address at once. What becomes of them is told to `events`.
    pub fn new(per_peer_max: u32, events: Events) -> Self {
        Self { held: offers::Offers::new(per_peer_max), events }
    }

    /// A seat for one more offer from this address; fails with how many it may have, if it has them.
    pub fn enter(&self, peer: IpAddr) -> Result<Seat, u32> {
        self.held.enter(network_of(peer)).ok_or_else(|| self.held.per_peer_max())
    }

    /// Holds `place` for `offer` until [`Self::take`], for [`offers::ACCEPT_TIMEOUT`] at the longest. How many are held is
    /// bounded by the places there are.
    pub fn hold(&self, offer: Offer, place: (P, Seat)) -> OfferId {
        let id = OfferId(rand::random());
        let (expiry, events) = (self.held.hold(id, offer, place), self.events.clone());
        // Ends by itself; if the node stops first, the runtime drops it.
        trace::spawn(async move {
            if let Some(offer) = expiry.await {
                let Offer { from, content, profile, .. } = &offer;
                events.tell(&NodeEvent::OfferExpired { from, content, profile });
            }
        });
        id
    }

    /// The body does not come: the place is given back. False: no such offer is held.
    pub fn release(&self, id: OfferId) -> bool {
        self.held.release(id)
    }

    /// The offer and what is held for it, once.
    pub fn take(&self, id: OfferId) -> Result<(Offer, (P, Seat)), TakeError> {
        self.held.take(id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::ACCEPT_TIMEOUT;
    use crate::content::{ContentId, MediaInfo};

    #[tokio::test(start_paused = true)]
    async fn an_offer_expires_by_itself() {
        let offer = Offer {
            from: "node1".parse().unwrap(),
            content: ContentId([0; 32]),
            bytes: 1,
            profile: "360p".parse().unwrap(),
            recipe: None,
            deadline_ms: 1_000,
            backlog: None,
            client: None,
            info: Some(MediaInfo::default()),
        };
        let offers = Offers::new(1, Events::default());
        let place = Arc::new(());
        let address = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        let hold =
            |offer, last| offers.hold(offer, (Arc::clone(&place), offers.enter(address(last)).unwrap()));
        let used = hold(offer.clone(), 1);
        assert_eq!(offers.enter(address(2)).unwrap_err(), 1, "a network of IPv6 addresses is one peer");
        assert!(offers.take(used).is_ok() && !offers.release(used));
        let id = hold(offer, 2);
        assert_eq!(Arc::strong_count(&place), 2);
        tokio::time::sleep(ACCEPT_TIMEOUT + std::time::Duration::from_millis(10)).await;
        assert_eq!(Arc::strong_count(&place), 1, "the place is free again");
        assert_eq!(offers.take(id).unwrap_err(), TakeError::Unknown);
    }
}
