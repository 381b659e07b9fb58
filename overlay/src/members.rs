//! The table of members, as compact as it can be: a simulation holds 10^8 of these records.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::precedence::{Claim, is_live};
use crate::rtt::RttEstimator;
use crate::{BootEpoch, Coordinate, Identity, Incarnation, LoadSample, MemberState, NodeKey, Time};

/// Index of a member in the table; it stays the same until the member is forgotten.
pub(crate) type Slot = u32;

/// Another member, as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub key: NodeKey,
    pub identity: Arc<Identity>,
    /// Since when it is in `state`.
    pub since: Time,
    /// What is known beyond its membership; none as long as nothing is.
    pub known: Option<Box<Known>>,
    pub incarnation: Incarnation,
    pub state: MemberState,
}

/// What is known of a member beyond its membership.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// When a datagram of it last came in, and the digest of the live set that this one carried.
    pub heard: Option<(Time, u64)>,
    /// The boot of this node that it knows all about: it has answered to it.
    pub introduced: Option<BootEpoch>,
    /// Whether it ever answered: proof that its address is its own.
    pub answered: bool,
    pub rtt: RttEstimator,
    /// Where it says it is.
    pub coordinate: Option<Coordinate>,
    /// Its newest load sample and when that was taken.
    pub load: Option<(LoadSample, Time)>,
    /// The sample that was last queued to be passed on, and when.
    pub load_told: Option<(LoadSample, Time)>,
}

impl Peer {
    pub fn claim(&self) -> Claim {
        Claim::new(self.identity.boot, self.incarnation, self.state)
    }

    pub fn is_live(&self) -> bool {
        is_live(self.state)
    }

    pub fn known_mut(&mut self) -> &mut Known {
        self.known.get_or_insert_default()
    }

    pub fn rtt(&self) -> Option<crate::Rtt> {
        self.known.as_ref().and_then(|known| known.rtt.get())
    }
}

/// All members but this node itself.
#[derive(Debug, Default)]
pub(crate) struct Members {
    slots: Vec<Option<Peer>>,
    free: Vec<Slot>,
    by_key: BTreeMap<NodeKey, Slot>,
    live: usize,
    digest: u64,
}

impl Members {
    /// A table of members, which come sorted by key.
    pub fn of(peers: impl Iterator<Item = Peer>) -> Self {
        let mut members = Self::default();
        for peer in peers {
            members.count(&peer, true);
            members.slots.push(Some(peer));
        }
        let keys = members.slots.iter().flatten().map(|peer| peer.key);
        members.by_key = keys.zip(0..).collect();
        members
    }

    pub fn find(&self, key: NodeKey) -> Option<Slot> {
        self.by_key.get(&key).copied()
    }

    pub fn get(&self, slot: Slot) -> Option<&Peer> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// For everything but identity and state, which [`Self::set`] changes.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Peer> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub fn by_key(&self, key: NodeKey) -> Option<&Peer> {
        self.get(self.find(key)?)
    }

    /// How many there are, the dead included.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many live ones there are, not counting this node.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Exclusive or of the live members' parts.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Peer)> {
        self.by_key.values().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Those with keys in this range, by key.
    pub fn range(&self, keys: RangeInclusive<u64>) -> impl Iterator<Item = (Slot, &Peer)> {
        let slots = self.by_key.range(NodeKey(*keys.start())..=NodeKey(*keys.end()));
        slots.filter_map(|(_, slot)| Some((*slot, self.get(*slot)?)))
    }

    /// Number of slots: every [`Slot`] is below it.
    pub fn slots(&self) -> Slot {
        self.slots.len() as Slot
    }

    pub fn insert(&mut self, peer: Peer) -> Slot {
        debug_assert!(self.find(peer.key).is_none(), "a member is inserted once");
        let key = peer.key;
        self.count(&peer, true);
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(peer);
            slot
        } else {
            self.slots.push(Some(peer));
            (self.slots.len() - 1) as Slot
        };
        self.by_key.insert(key, slot);
        slot
    }

    /// Changes what is believed of a member.
    pub fn set(&mut self, slot: Slot, state: MemberState, incarnation: Incarnation, now: Time) {
        let Some(mut peer) = self.slots[slot as usize].take() else { return };
        self.count(&peer, false);
        if peer.state != state {
            peer.since = now;
        }
        peer.state = state;
        peer.incarnation = incarnation;
        self.count(&peer, true);
        self.slots[slot as usize] = Some(peer);
    }

    /// Replaces what a member says of itself. A new boot loses all that was known of the old one.
    pub fn replace_identity(&mut self, slot: Slot, identity: Arc<Identity>) {
        let Some(mut peer) = self.slots[slot as usize].take() else { return };
        self.count(&peer, false);
        if peer.identity.boot != identity.boot || peer.identity.gossip != identity.gossip {
            peer.known = None;
        }
        peer.identity = identity;
        self.count(&peer, true);
        self.slots[slot as usize] = Some(peer);
    }

    pub fn remove(&mut self, slot: Slot) {
        let Some(peer) = self.slots[slot as usize].take() else { return };
        self.count(&peer, false);
        self.by_key.remove(&peer.key);
        self.free.push(slot);
    }

    fn count(&mut self, peer: &Peer, add: bool) {
        if peer.is_live() {
            self.digest ^= peer.key.live_part(peer.identity.boot);
            if add {
                self.live += 1;
            } else {
                self.live -= 1;
            }
        }
    }
}
