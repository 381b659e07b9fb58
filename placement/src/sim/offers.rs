//! Offers that a node accepted: each holds a place until its video comes, or for a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::bench::Place;
use super::node::SimNode;
use crate::content::{ClientTag, Key};
use crate::journey::clock;

/// How long a place is held for a video that does not come: as a node does.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a peer was promised.
pub(super) struct Held {
    pub from: usize,
    pub key: Key,
    pub client: ClientTag,
    /// What is known of it.
    pub pixels: Option<u64>,
    pub place: Place,
}

#[derive(Default)]
struct Table {
    last: u64,
    held: BTreeMap<u64, Held>,
}

/// All offers that are held.
#[derive(Default)]
pub(super) struct Offers(Mutex<Table>);

impl Offers {
    pub fn len(&self) -> usize {
        self.0.lock().held.len()
    }

    /// How many are held for one node.
    pub fn of(&self, from: usize) -> usize {
        self.0.lock().held.values().filter(|held| held.from == from).count()
    }

    pub fn has(&self, key: &Key) -> bool {
        self.0.lock().held.values().any(|held| held.key == *key)
    }

    pub fn take(&self, id: u64) -> Option<Held> {
        self.0.lock().held.remove(&id)
    }
}

impl SimNode {
    /// Holds a place for an offer.
    pub(super) fn hold(&self, held: Held) -> u64 {
        let id = {
            let mut table = self.offers.0.lock();
            table.last += 1;
            let id = table.last;
            table.held.insert(id, held);
            id
        };
        let (node, until) = (self.me(), clock::now() + ACCEPT_TIMEOUT);
        self.process.spawn(Box::pin(async move {
            clock::sleep_until(until).await;
            let expired = node.offers.take(id);
            if expired.is_some() {
                node.cluster.note(node.index, format_args!("offer {id} has expired"));
            }
        }));
        id
    }
}
