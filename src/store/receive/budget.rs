//! Room for uploads: bytes of the disk that those under way may take, all together and of each client.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::content::ClientTag;

/// A budget of bytes for uploads, from their first byte until their file is deleted. What is beyond it is refused, and not made
/// room for: so uploads drive no more than this out of the cache.
#[derive(Debug)]
pub struct Budget {
    per_client: PerClient,
    state: Mutex<State>,
}

/// What one client may have of a [`Budget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerClient {
    /// As much as is left for all others: half of it for one alone, a third each for two, and always something for a client that comes anew.
    /// (Choudhury and Hahne, Dynamic Queue Length Thresholds for Shared-Memory Packet Switches, 1998, with alpha 1.)
    AsMuchAsIsLeft,
    /// So many bytes.
    Bytes(u64),
}

#[derive(Debug, Default)]
struct State {
    bytes_max: u64,
    used: u64,
    /// Clients with something under way.
    by_client: HashMap<ClientTag, u64>,
}

/// Why there is no room. Nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// There would be none if it were the only upload.
    #[error("this node has room for uploads of at most {max} bytes")]
    Ever {
        /// The biggest upload that there can be room for, in bytes.
        max: u64,
    },
    /// This client's other uploads take its share.
    #[error("this client's uploads under way take its share of the room for uploads")]
    OfClient,
    /// Uploads of others take all.
    #[error("the uploads under way take all room for uploads")]
    OfAll,
}

/// A client's access to a budget.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Arc<Budget>,
    client: ClientTag,
}

/// Bytes of a budget that are one upload's; given back on drop.
#[derive(Debug)]
pub struct Room {
    share: Share,
    bytes: u64,
}

impl Budget {
    /// So many bytes for all uploads.
    pub fn new(bytes_max: u64, per_client: PerClient) -> Arc<Self> {
        let state = Mutex::new(State { bytes_max, ..State::default() });
        Arc::new(Self { per_client, state })
    }

    /// Changes what all uploads may take. Those under way keep what they have.
    pub fn set_bytes(&self, bytes_max: u64) {
        self.state().bytes_max = bytes_max;
    }

    /// What uploads may take where nothing else was said: what the disk has beyond the cache's budget, and at least half of what it
    /// has. `free`: bytes that are free; `used`: bytes that uploads and the cache take now.
    pub fn default_bytes(free: u64, used: u64, cache_budget: u64) -> u64 {
        let ours = free.saturating_add(used);
        ours.saturating_sub(cache_budget).max(ours / 2)
    }

    /// The biggest upload there can be room for.
    pub fn upload_bytes_max(&self) -> u64 {
        self.per_client.upload_bytes_max(self.state().bytes_max)
    }

    /// The part of this client.
    pub fn share_of(self: &Arc<Self>, client: ClientTag) -> Share {
        Share { budget: Arc::clone(self), client }
    }

    /// Bytes that uploads take now.
    pub fn used_bytes(&self) -> u64 {
        self.state().used
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl PerClient {
    const fn upload_bytes_max(self, bytes_max: u64) -> u64 {
        match self {
            Self::AsMuchAsIsLeft => bytes_max / 2,
            Self::Bytes(bytes) if bytes < bytes_max => bytes,
            Self::Bytes(_) => bytes_max,
        }
    }
}

impl Share {
    /// Room for so many bytes.
    pub fn room(&self, bytes: u64) -> Result<Room, NoRoom> {
        let mut room = Room { share: self.clone(), bytes: 0 };
        room.grow_to(bytes)?;
        Ok(room)
    }
}

impl Room {
    /// Makes it as big as this, if it is smaller.
    pub fn grow_to(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let Share { budget, client } = &self.share;
        let mut state = budget.state();
        let clients = state.by_client.get(client).copied().unwrap_or_default();
        let (used, clients_used) = (state.used.saturating_add(more), clients.saturating_add(more));
        let max = budget.per_client.upload_bytes_max(state.bytes_max);
        if bytes > max {
            return Err(NoRoom::Ever { max });
        }
        let left = state.bytes_max.checked_sub(used).ok_or(NoRoom::OfAll)?;
        let may = match budget.per_client {
            PerClient::AsMuchAsIsLeft => left,
            PerClient::Bytes(bytes) => bytes,
        };
        if clients_used > may {
            // A client that has nothing else under way is kept out by others.
            return Err(if clients > self.bytes { NoRoom::OfClient } else { NoRoom::OfAll });
        }
        state.used = used;
        state.by_client.insert(*client, clients_used);
        drop(state);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let Share { budget, client } = &self.share;
        let mut state = budget.state();
        state.used -= self.bytes;
        if let Some(used) = state.by_client.get_mut(client) {
            *used -= self.bytes;
            if *used == 0 {
                state.by_client.remove(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ClientTag = ClientTag(1);
    const B: ClientTag = ClientTag(2);

    #[test]
    fn one_client_takes_half_and_leaves_something_for_each_that_comes() {
        let budget = Budget::new(1200, PerClient::AsMuchAsIsLeft);
        assert_eq!(budget.upload_bytes_max(), 600);
        let a = budget.share_of(A);
        let first = a.room(400).unwrap();
        assert_eq!(a.room(201).unwrap_err(), NoRoom::OfClient);
        let second = a.room(200).unwrap();
        assert_eq!(a.room(1).unwrap_err(), NoRoom::OfClient);
        // Others take as much as they leave for the next.
        let others: Vec<_> = (2..9).map(|n| (ClientTag(n), 600 >> (n - 1))).collect();
        let rooms: Vec<_> = others.iter().map(|(tag, bytes)| budget.share_of(*tag).room(*bytes)).collect();
        assert!(rooms.iter().all(Result::is_ok), "{rooms:?}");
        drop((first, second, rooms));
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.state().by_client.is_empty(), "a client that has left leaves nothing");
    }

    #[test]
    fn a_room_grows_with_its_upload() {
        let budget = Budget::new(1000, PerClient::AsMuchAsIsLeft);
        let mut room = budget.share_of(A).room(0).unwrap();
        room.grow_to(100).unwrap();
        room.grow_to(50).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        room.grow_to(500).unwrap();
        assert_eq!(room.grow_to(501).unwrap_err(), NoRoom::Ever { max: 500 }, "it has nothing but this one");
        assert_eq!(budget.used_bytes(), 500);
        assert_eq!(budget.share_of(B).room(251).unwrap_err(), NoRoom::OfAll, "others have it");
        assert_eq!(budget.share_of(A).room(1).unwrap_err(), NoRoom::OfClient);
        assert!(budget.share_of(B).room(250).is_ok());
        // The disk has less than was thought: what is there stays, and nothing comes.
        budget.set_bytes(400);
        assert_eq!(budget.share_of(B).room(1).unwrap_err(), NoRoom::OfAll);
        drop(room);
        assert!(budget.share_of(B).room(200).is_ok());
    }

    #[test]
    fn a_share_in_bytes_is_that() {
        let budget = Budget::new(1000, PerClient::Bytes(800));
        assert_eq!(budget.upload_bytes_max(), 800);
        let _most = budget.share_of(A).room(800).unwrap();
        assert_eq!(budget.share_of(A).room(1).unwrap_err(), NoRoom::OfClient);
        assert_eq!(budget.share_of(B).room(201).unwrap_err(), NoRoom::OfAll);
        assert!(budget.share_of(B).room(200).is_ok());
    }

    #[test]
    fn the_default_fits_the_disk() {
        const GB: u64 = 1_000_000_000;
        assert_eq!(Budget::default_bytes(100 * GB, 0, 10 * GB), 90 * GB);
        assert_eq!(Budget::default_bytes(92 * GB, 8 * GB, 10 * GB), 90 * GB, "the same with a full cache");
        assert_eq!(Budget::default_bytes(8 * GB, 0, 10 * GB), 4 * GB, "a disk smaller than the cache may be");
        assert_eq!(Budget::default_bytes(0, 0, 10 * GB), 0);
    }

    proptest! {
        #[test]
        fn what_is_given_is_within_the_budget_and_comes_back(
            steps in prop::collection::vec((0u64..5, 0u64..400, any::<bool>()), 0..100),
        ) {
            let budget = Budget::new(1000, PerClient::AsMuchAsIsLeft);
            let mut rooms = Vec::new();
            for (client, bytes, leave) in steps {
                if leave && !rooms.is_empty() {
                    rooms.swap_remove(bytes as usize % rooms.len());
                } else if let Ok(room) = budget.share_of(ClientTag(client)).room(bytes) {
                    rooms.push(room);
                }
                let sum: u64 = rooms.iter().map(|room: &Room| room.bytes).sum();
                prop_assert_eq!(sum, budget.used_bytes());
                prop_assert!(sum <= 1000);
                for client in 0..5 {
                    let own = rooms.iter().filter(|room| room.share.client == ClientTag(client));
                    prop_assert!(own.map(|room| room.bytes).sum::<u64>() <= 500);
                }
            }
            drop(rooms);
            prop_assert_eq!(budget.used_bytes(), 0);
        }
    }
}
