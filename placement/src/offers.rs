//! Offers that a node has accepted: each holds a place for a moment, until its body comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::journey::clock;

/// How long a place is held for a body that does not begin.
pub const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Offers that one peer may have held at once, until their bodies are here: half of the places in the queue and with the workers, and
/// two at the least.
pub const fn offers_per_peer_max(queue_capacity_jobs: u32, workers: u32) -> u32 {
    let half = queue_capacity_jobs / 2 + workers.div_ceil(2);
    if half < 2 { 2 } else { half }
}

/// Why a body can't be taken for an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Never made, already used, or its time is over.
    #[error("no such offer is held here: it was used, or its body did not begin within {} s", ACCEPT_TIMEOUT.as_secs())]
    Unknown,
}

/// Accepted offers (`O`) by id (`I`), each with the place that it holds (`P`); a place is given back by dropping it. How many are held is
/// bounded by the places that there are. Clones are the same.
#[derive(Debug)]
pub struct Offers<I, O, P>(Table<I, O, P>);

type Table<I, O, P> = Arc<Mutex<BTreeMap<I, Held<O, P>>>>;

#[derive(Debug)]
struct Held<O, P> {
    offer: O,
    place: P,
    accepted: Instant,
}

impl<I, O, P> Clone for Offers<I, O, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O, P> Default for Offers<I, O, P> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<I: Copy + Ord + Send + 'static, O: Send + 'static, P: Send + 'static> Offers<I, O, P> {
    /// Holds `place` for `offer` until [`Self::take`], for [`ACCEPT_TIMEOUT`] at the longest. What is returned has to be driven: it
    /// ends then, and says which offer has expired, if this one has.
    pub fn hold(&self, id: I, offer: O, place: P) -> impl Future<Output = Option<O>> + Send + use<I, O, P> {
        let accepted = clock::now();
        self.0.lock().insert(id, Held { offer, place, accepted });
        let table = Arc::clone(&self.0);
        async move {
            clock::sleep_until(accepted + ACCEPT_TIMEOUT).await;
            let expired = table.lock().remove(&id);
            expired.map(|held| held.offer)
        }
    }

    /// The body does not come: the place is given back. False: no such offer is held.
    pub fn release(&self, id: I) -> bool {
        let released = self.0.lock().remove(&id);
        released.is_some()
    }

    /// The offer and its place, once.
    pub fn take(&self, id: I) -> Result<(O, P), TakeError> {
        let held = self.0.lock().remove(&id);
        match held {
            Some(held) if clock::now().saturating_duration_since(held.accepted) <= ACCEPT_TIMEOUT => {
                Ok((held.offer, held.place))
            }
            _ => Err(TakeError::Unknown),
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// How many of those that are held are such.
    pub fn count(&self, is_such: impl Fn(&O) -> bool) -> usize {
        self.0.lock().values().filter(|held| is_such(&held.offer)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_have_half_of_the_places_and_two_at_the_least() {
        assert_eq!(
            [(0, 1), (2, 1), (16, 2), (64, 3)].map(|(queue, workers)| offers_per_peer_max(queue, workers)),
            [2, 2, 9, 34]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_offer_is_taken_or_released_once_and_expires() {
        let offers = Offers::default();
        let place = Arc::new(());
        let hold = |id| offers.hold(id, "offer", Arc::clone(&place));
        let taken = hold(1);
        assert_eq!((Arc::strong_count(&place), offers.len()), (2, 1));
        assert_eq!(offers.take(1).unwrap().0, "offer");
        assert_eq!(offers.take(1).unwrap_err(), TakeError::Unknown);
        assert_eq!(Arc::strong_count(&place), 1);
        assert_eq!(taken.await, None, "it has not expired");

        let released = hold(2);
        assert!(offers.release(2) && !offers.release(2));
        assert_eq!((Arc::strong_count(&place), released.await), (1, None));

        let begun = clock::now();
        let expires = hold(3);
        assert_eq!(offers.count(|offer| *offer == "offer"), 1);
        assert_eq!((expires.await, clock::now() - begun), (Some("offer"), ACCEPT_TIMEOUT));
        assert_eq!(Arc::strong_count(&place), 1, "the place is free again");
        assert_eq!(offers.take(3).unwrap_err(), TakeError::Unknown);
    }
}
