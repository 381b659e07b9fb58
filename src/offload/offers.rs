//! Offers that this node accepted: a place in its queue, held for a moment until the body comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::{ACCEPT_TIMEOUT, Offer, OfferId};
use crate::events::{Events, NodeEvent};

/// Accepted offers by id, each with the place it holds (`P`); a place is given back by dropping it.
#[derive(Debug)]
pub struct Offers<P> {
    held: Arc<Mutex<HashMap<OfferId, Held<P>>>>,
    events: Events,
}

#[derive(Debug)]
struct Held<P> {
    offer: Offer,
    place: P,
    accepted: Instant,
}

/// Why a body can't be taken for an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Never made, already used, or its time is over.
    #[error("no such offer is held here: it was used, or its body did not begin within {} s", ACCEPT_TIMEOUT.as_secs())]
    Unknown,
}

impl<P: Send + 'static> Offers<P> {
    /// No offers yet. What becomes of them is told to `events`.
    pub fn new(events: Events) -> Self {
        Self { held: Arc::default(), events }
    }

    /// Holds `place` for `offer` until [`Self::take`], for [`ACCEPT_TIMEOUT`] at the longest. How many are held is
    /// bounded by the places there are.
    pub fn hold(&self, offer: Offer, place: P) -> OfferId {
        let id = OfferId(rand::random());
        let held = Held { offer, place, accepted: Instant::now() };
        self.held.lock().insert(id, held);
        // Ends by itself; if the node stops first, the runtime drops it.
        let (table, events) = (Arc::clone(&self.held), self.events.clone());
        tokio::spawn(async move {
            tokio::time::sleep(ACCEPT_TIMEOUT).await;
            let expired = table.lock().remove(&id);
            if let Some(Held { offer, .. }) = expired {
                events.tell(&NodeEvent::OfferExpired { from: &offer.from, content: &offer.content });
            }
        });
        id
    }

    /// The body does not come: the place is given back. False: no such offer is held.
    pub fn release(&self, id: OfferId) -> bool {
        let released = self.held.lock().remove(&id);
        released.is_some()
    }

    /// The offer and its place, once.
    pub fn take(&self, id: OfferId) -> Result<(Offer, P), TakeError> {
        let held = self.held.lock().remove(&id);
        match held {
            Some(held) if held.accepted.elapsed() <= ACCEPT_TIMEOUT => Ok((held.offer, held.place)),
            _ => Err(TakeError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ContentId, MediaInfo};

    #[tokio::test(start_paused = true)]
    async fn an_offer_is_taken_or_released_once_and_expires() {
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
        let id = offers.hold(offer.clone(), Arc::clone(&place));
        assert_eq!(Arc::strong_count(&place), 2);
        assert!(offers.take(id).is_ok());
        assert_eq!(offers.take(id).unwrap_err(), TakeError::Unknown);
        assert_eq!(Arc::strong_count(&place), 1);

        let id = offers.hold(offer.clone(), Arc::clone(&place));
        assert!(offers.release(id) && !offers.release(id));
        assert_eq!(Arc::strong_count(&place), 1);
        assert_eq!(offers.take(id).unwrap_err(), TakeError::Unknown);

        let id = offers.hold(offer, Arc::clone(&place));
        tokio::time::sleep(ACCEPT_TIMEOUT + std::time::Duration::from_millis(10)).await;
        assert_eq!(Arc::strong_count(&place), 1, "the place is free again");
        assert_eq!(offers.take(id).unwrap_err(), TakeError::Unknown);
    }
}
