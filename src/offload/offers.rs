//! Offers that this node accepted: a place in its queue, held for a moment until the body comes.

use starling_placement::offers;
pub use starling_placement::offers::TakeError;

use crate::api::{Offer, OfferId};
use crate::events::{Events, NodeEvent};
use crate::trace;

/// Accepted offers by id, each with the place it holds (`P`); a place is given back by dropping it.
#[derive(Debug)]
pub struct Offers<P> {
    held: offers::Offers<OfferId, Offer, P>,
    events: Events,
}

impl<P: Send + 'static> Offers<P> {
    /// No offers yet. What becomes of them is told to `events`.
    pub fn new(events: Events) -> Self {
        Self { held: offers::Offers::default(), events }
    }

    /// Holds `place` for `offer` until [`Self::take`], for [`offers::ACCEPT_TIMEOUT`] at the longest. How many are held is
    /// bounded by the places there are.
    pub fn hold(&self, offer: Offer, place: P) -> OfferId {
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

    /// The offer and its place, once.
    pub fn take(&self, id: OfferId) -> Result<(Offer, P), TakeError> {
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
        let offers = Offers::new(Events::default());
        let place = Arc::new(());
        let used = offers.hold(offer.clone(), Arc::clone(&place));
        assert!(offers.take(used).is_ok() && !offers.release(used));
        let id = offers.hold(offer, Arc::clone(&place));
        assert_eq!(Arc::strong_count(&place), 2);
        tokio::time::sleep(ACCEPT_TIMEOUT + std::time::Duration::from_millis(10)).await;
        assert_eq!(Arc::strong_count(&place), 1, "the place is free again");
        assert_eq!(offers.take(id).unwrap_err(), TakeError::Unknown);
    }
}
