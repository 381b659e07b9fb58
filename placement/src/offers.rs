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

/// Accepted offers (`O`) by id (`I`), each with the place that it holds (`P`) and its peer's (`W`) [`Seat`]; both are given back by
/// dropping them. How many are held is bounded by the places that there are, and of each peer by its seats.
#[derive(Debug)]
pub struct Offers<W: Ord, I, O, P> {
    per_peer_max: u32,
    held: Table<W, I, O, P>,
    /// Seats taken. A peer without one is not there.
    seats: Seats<W>,
}

type Table<W, I, O, P> = Arc<Mutex<BTreeMap<I, Held<W, O, P>>>>;
type Seats<W> = Arc<Mutex<BTreeMap<W, u32>>>;

#[derive(Debug)]
struct Held<W: Ord, O, P> {
    offer: O,
    place: P,
    seat: Seat<W>,
    accepted: Instant,
}

/// One of the offers that a peer may have here at once, until it is dropped: when the offer is over, or its body is here.
#[derive(Debug)]
pub struct Seat<W: Ord> {
    peer: W,
    seats: Seats<W>,
}

impl<W: Ord> Drop for Seat<W> {
    fn drop(&mut self) {
        let mut seats = self.seats.lock();
        if let Some(taken) = seats.get_mut(&self.peer) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.peer);
            }
        }
    }
}

impl<W, I, O, P> Offers<W, I, O, P>
where
    W: Clone + Ord + Send + 'static,
    I: Copy + Ord + Send + 'static,
    O: Send + 'static,
    P: Send + 'static,
{
    /// None yet. `per_peer_max`: those that one peer may have at once, see [`offers_per_peer_max`].
    pub fn new(per_peer_max: u32) -> Self {
        Self { per_peer_max, held: Arc::default(), seats: Arc::default() }
    }

    /// A seat for one more offer of this peer; none if it has as many as it may.
    pub fn enter(&self, peer: W) -> Option<Seat<W>> {
        let mut seats = self.seats.lock();
        let taken = seats.entry(peer.clone()).or_default();
        if *taken >= self.per_peer_max {
            return None;
        }
        *taken += 1;
        Some(Seat { peer, seats: Arc::clone(&self.seats) })
    }

    /// Offers that one peer may have at once.
    pub const fn per_peer_max(&self) -> u32 {
        self.per_peer_max
    }

    /// Holds `place` for `offer` until [`Self::take`], for [`ACCEPT_TIMEOUT`] at the longest. What is returned has to be driven: it
    /// ends then, and says which offer has expired, if this one has.
    pub fn hold(
        &self,
        id: I,
        offer: O,
        (place, seat): (P, Seat<W>),
    ) -> impl Future<Output = Option<O>> + Send + use<W, I, O, P> {
        let accepted = clock::now();
        self.held.lock().insert(id, Held { offer, place, seat, accepted });
        let table = Arc::clone(&self.held);
        async move {
            clock::sleep_until(accepted + ACCEPT_TIMEOUT).await;
            let expired = table.lock().remove(&id);
            expired.map(|held| held.offer)
        }
    }

    /// The body does not come: the place is given back. False: no such offer is held.
    pub fn release(&self, id: I) -> bool {
        let released = self.held.lock().remove(&id);
        released.is_some()
    }

    /// The offer and what is held for it, once.
    pub fn take(&self, id: I) -> Result<(O, (P, Seat<W>)), TakeError> {
        let held = self.held.lock().remove(&id);
        match held {
            Some(held) if clock::now().saturating_duration_since(held.accepted) <= ACCEPT_TIMEOUT => {
                Ok((held.offer, (held.place, held.seat)))
            }
            _ => Err(TakeError::Unknown),
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held.lock().is_empty()
    }

    /// How many of those that are held are such.
    pub fn count(&self, is_such: impl Fn(&O) -> bool) -> usize {
        self.held.lock().values().filter(|held| is_such(&held.offer)).count()
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
        let offers = Offers::new(1);
        let place = Arc::new(());
        let hold = |id| offers.hold(id, "offer", (Arc::clone(&place), offers.enter("peer").unwrap()));
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
        assert!(offers.enter("peer").is_none(), "its one seat is taken");
        assert_eq!((expires.await, clock::now() - begun), (Some("offer"), ACCEPT_TIMEOUT));
        assert_eq!(Arc::strong_count(&place), 1, "the place is free again");
        assert_eq!(offers.take(3).unwrap_err(), TakeError::Unknown);
        assert!(offers.seats.lock().is_empty(), "who has no offer here leaves nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn an_offer_whose_end_nobody_has_seen_to_is_over_all_the_same() {
        let offers = Offers::new(2);
        let hold = |id| drop(offers.hold(id, (), ((), offers.enter("peer").unwrap())));
        hold(1);
        hold(2);
        tokio::time::advance(ACCEPT_TIMEOUT).await;
        assert!(offers.take(1).is_ok(), "just in time");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(offers.take(2).unwrap_err(), TakeError::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_its_seats_until_its_bodies_are_here() {
        let offers = Offers::new(2);
        let hold = |id, peer| drop(offers.hold(id, (), ((), offers.enter(peer).unwrap())));
        hold(1, "a");
        hold(2, "a");
        assert!(offers.enter("a").is_none());
        hold(3, "b");
        let ((), ((), coming)) = offers.take(1).unwrap();
        assert!(offers.enter("a").is_none(), "its body is on its way");
        drop(coming);
        hold(4, "a");
        assert!(offers.enter("a").is_none());
        assert!(offers.release(2));
        assert!(offers.enter("a").is_some(), "and is not held");
        assert_eq!((offers.len(), offers.seats.lock().get("a")), (2, Some(&1)));
    }
}
