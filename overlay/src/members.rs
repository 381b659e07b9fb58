//! The table of members, as compact as it can be: a simulation holds 10^8 of these records.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::precedence::Claim;
use crate::rtt::RttEstimator;
use crate::swim::Path;
use crate::unanswered::Unanswered;
use crate::{BootEpoch, Coordinate, Identity, Incarnation, LoadSample, MemberState, NodeKey, Time, Zone};

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
    /// Whether this boot of it ever answered this node, from wherever; the others are known by hearsay alone.
    pub met: bool,
    /// Whether it ever answered from the address of its identity: proof that this is its own.
    pub answered: bool,
}

/// What is known of a member beyond its membership.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// When a datagram of it last came in, and the digest of the live set that this one carried.
    pub heard: Option<(Time, u32)>,
    /// The boot of this node that it knows all about: it has answered to it.
    pub introduced: Option<BootEpoch>,
    /// Which setting of this node's cluster it shares, by number; 0: none that is known.
    pub shares: u32,
    pub rtt: RttEstimator,
    /// How many pings to it stay without an answer.
    pub unanswered: Unanswered,
    /// Where else than at the address of its identity it can be spoken to.
    pub path: Option<Box<Path>>,
    /// Through whom it last answered, since it last did so by itself, and how long that took.
    pub via: Option<(NodeKey, Duration)>,
    /// Where it says it is.
    pub coordinate: Option<Coordinate>,
    /// Its newest load sample and when that was taken.
    pub load: Option<(LoadSample, Time)>,
}

impl Peer {
    pub fn claim(&self) -> Claim {
        Claim::new(self.identity.boot, self.incarnation, self.state)
    }

    pub fn is_live(&self) -> bool {
        self.state.is_live()
    }

    /// Where to send what is for it.
    pub fn address(&self) -> SocketAddr {
        let path = self.known.as_ref().and_then(|known| known.path.as_ref()?.proven);
        path.unwrap_or(self.identity.gossip)
    }

    /// Whether it has answered from this address, so that the address is its own.
    pub fn is_proven(&self, address: SocketAddr) -> bool {
        let path = self.known.as_ref().and_then(|known| known.path.as_ref()?.proven);
        path == Some(address) || (self.answered && address == self.identity.gossip)
    }

    pub fn known_mut(&mut self) -> &mut Known {
        self.known.get_or_insert_default()
    }

    pub fn rtt(&self) -> Option<crate::Rtt> {
        self.known.as_ref().and_then(|known| known.rtt.get())
    }
}

/// All members but this node itself.
#[derive(Debug)]
pub(crate) struct Members {
    /// This node's zone.
    zone: Zone,
    slots: Vec<Option<Peer>>,
    free: Vec<Slot>,
    /// All keys in order, and whose they are.
    keys: Vec<NodeKey>,
    by_key: Vec<Slot>,
    /// Where a key was last found: what one datagram says is often about its sender, who is then looked up several times.
    found: Cell<usize>,
    /// Members that are not live, in order.
    gone: Vec<Slot>,
    live: usize,
    near: usize,
    met: usize,
    digest: u64,
    touched: Touched,
}

/// Which slots may have changed since that was last asked, a bit each: who shows the members again and again looks at these only.
#[derive(Debug, Default)]
struct Touched {
    bits: RefCell<Vec<u64>>,
    /// How often it was asked. Who was not the last one to ask looks at all of them.
    asked: Cell<u64>,
}

impl Touched {
    fn add(&mut self, slot: Slot) {
        let (word, bit) = (slot as usize / 64, slot % 64);
        let bits = self.bits.get_mut();
        if word >= bits.len() {
            bits.resize(word + 1, 0);
        }
        bits[word] |= 1 << bit;
    }

    fn take(&self, last: &mut u64, mut each: impl FnMut(Slot)) -> bool {
        let is_last = self.asked.get() == *last;
        for (word, bits) in self.bits.borrow_mut().iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            while is_last && left != 0 {
                each(word as Slot * 64 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        *last = self.asked.get() + 1;
        self.asked.set(*last);
        is_last
    }
}

impl Members {
    /// An empty table, for a node of this zone.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone,
            slots: Vec::new(),
            free: Vec::new(),
            keys: Vec::new(),
            by_key: Vec::new(),
            found: Cell::new(0),
            gone: Vec::new(),
            live: 0,
            near: 0,
            met: 0,
            digest: 0,
            touched: Touched::default(),
        }
    }

    /// A table of live members, which come sorted by key; `digest` is theirs.
    pub fn of(zone: Zone, peers: impl ExactSizeIterator<Item = Peer>, digest: u64) -> Self {
        let (mut slots, mut keys) = (Vec::with_capacity(peers.len()), Vec::with_capacity(peers.len()));
        let (mut near, mut met) = (0, 0);
        for peer in peers {
            met += usize::from(peer.met);
            near += usize::from(peer.identity.zone == zone);
            keys.push(peer.key);
            slots.push(Some(peer));
        }
        let by_key = (0..slots.len() as Slot).collect();
        Self { live: slots.len(), near, met, slots, keys, by_key, digest, ..Self::new(zone) }
    }

    pub fn find(&self, key: NodeKey) -> Option<Slot> {
        let last = self.found.get();
        let place = if self.keys.get(last) == Some(&key) { last } else { self.place(key).ok()? };
        self.found.set(place);
        self.by_key.get(place).copied()
    }

    /// The one member whose key begins like this; none if there are two.
    pub fn find_head(&self, head: u32) -> Option<Slot> {
        let (Ok(place) | Err(place)) = self.place(NodeKey(u64::from(head) << 32));
        let begins_so = |place: usize| self.keys.get(place).is_some_and(|key| key.head() == head);
        (begins_so(place) && !begins_so(place + 1)).then(|| self.by_key[place])
    }

    /// Where a key is among the keys, or would be. Keys are hashes, spread evenly, so that the place is near where the
    /// key's size says, and nearer to where its distance from the key there says; from there the search gallops, and is a
    /// binary one at worst.
    fn place(&self, key: NodeKey) -> Result<usize, usize> {
        let count = self.keys.len();
        let places = |distance: u64| ((u128::from(distance) * count as u128) >> 64) as usize;
        let guess = places(key.0);
        let Some(there) = self.keys.get(guess) else { return Err(0) };
        let guess = match key.0.checked_sub(there.0) {
            Some(ahead) => (guess + places(ahead)).min(count - 1),
            None => guess.saturating_sub(places(there.0 - key.0)),
        };
        let (mut low, mut high, mut step) = (guess, guess, 4);
        while low > 0 && self.keys[low] >= key {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 4;
        while high < count && self.keys[high] < key {
            high = (high + step).min(count);
            step *= 2;
        }
        let end = count.min(high + 1);
        self.keys[low..end].binary_search(&key).map(|i| low + i).map_err(|i| low + i)
    }

    pub fn get(&self, slot: Slot) -> Option<&Peer> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// For everything but identity and state, which [`Self::set`] changes.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Peer> {
        self.touched.add(slot);
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Tells of each slot that may have changed since the one with this `last` was told, who keeps it and begins with 0. False, and
    /// nothing is told, if somebody else was told meanwhile: then all may have changed. Who comes and goes changes nothing here.
    pub fn touched(&self, last: &mut u64, each: impl FnMut(Slot)) -> bool {
        self.touched.take(last, each)
    }

    pub fn by_key(&self, key: NodeKey) -> Option<&Peer> {
        self.get(self.find(key)?)
    }

    /// How many there are, the dead included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many live ones there are, not counting this node.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many of them are in this node's zone.
    pub fn near(&self) -> usize {
        self.near
    }

    /// How many have ever answered this node.
    pub fn met(&self) -> usize {
        self.met
    }

    /// Exclusive or of the live members' parts.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Peer)> {
        self.by_key.iter().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Those with keys in this range, by key.
    pub fn range(&self, keys: RangeInclusive<u64>) -> impl Iterator<Item = (Slot, &Peer)> {
        let (Ok(first) | Err(first)) = self.place(NodeKey(*keys.start()));
        let end = self.place(NodeKey(*keys.end())).map_or_else(|place| place, |place| place + 1);
        let slots = self.by_key.get(first..end).unwrap_or_default();
        slots.iter().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Those that are dead or have left.
    pub fn gone(&self) -> impl Iterator<Item = (Slot, &Peer)> {
        self.gone.iter().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Number of slots: every [`Slot`] is below it.
    pub fn slots(&self) -> Slot {
        self.slots.len() as Slot
    }

    pub fn insert(&mut self, peer: Peer) -> Slot {
        debug_assert!(self.find(peer.key).is_none(), "a member is inserted once");
        let key = peer.key;
        let (Ok(place) | Err(place)) = self.place(key);
        self.keys.insert(place, key);
        let live = peer.is_live();
        self.count(&peer, true);
        self.met += usize::from(peer.met);
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(peer);
            slot
        } else {
            self.slots.push(Some(peer));
            (self.slots.len() - 1) as Slot
        };
        self.by_key.insert(place, slot);
        self.note_gone(slot, !live);
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
        let live = peer.is_live();
        self.slots[slot as usize] = Some(peer);
        self.touched.add(slot);
        self.note_gone(slot, !live);
    }

    /// Replaces what a member says of itself. A new boot loses all that was known of the old one.
    pub fn replace_identity(&mut self, slot: Slot, identity: Arc<Identity>) {
        let Some(mut peer) = self.slots[slot as usize].take() else { return };
        self.count(&peer, false);
        if peer.identity.boot != identity.boot || peer.identity.gossip != identity.gossip {
            peer.known = None;
            self.met -= usize::from(peer.met);
            peer.met = false;
            peer.answered = false;
        }
        peer.identity = identity;
        self.count(&peer, true);
        self.slots[slot as usize] = Some(peer);
        self.touched.add(slot);
    }

    /// It has answered this node.
    pub fn meet(&mut self, slot: Slot) {
        if let Some(peer) = self.get_mut(slot).filter(|peer| !peer.met) {
            peer.met = true;
            self.met += 1;
        }
    }

    /// None of them knows any more what this node says of itself.
    pub fn forget_introductions(&mut self) {
        for peer in self.slots.iter_mut().flatten() {
            if let Some(known) = &mut peer.known {
                known.introduced = None;
            }
        }
    }

    pub fn remove(&mut self, slot: Slot) {
        let Some(peer) = self.slots[slot as usize].take() else { return };
        self.count(&peer, false);
        self.met -= usize::from(peer.met);
        if let Ok(place) = self.place(peer.key) {
            self.keys.remove(place);
            self.by_key.remove(place);
        }
        self.note_gone(slot, false);
        self.free.push(slot);
    }

    fn note_gone(&mut self, slot: Slot, gone: bool) {
        match self.gone.binary_search(&slot) {
            Ok(place) if !gone => {
                self.gone.remove(place);
            }
            Err(place) if gone => self.gone.insert(place, slot),
            _ => {}
        }
    }

    fn count(&mut self, peer: &Peer, add: bool) {
        if peer.is_live() {
            self.digest ^= peer.key.live_part(peer.identity.boot);
            let near = usize::from(peer.identity.zone == self.zone);
            if add {
                self.live += 1;
                self.near += near;
            } else {
                self.live -= 1;
                self.near -= near;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn zone_of(key: u64) -> Zone {
        if key.is_multiple_of(3) { "A" } else { "B" }.parse().unwrap()
    }

    fn peer(key: u64, state: MemberState) -> Peer {
        let identity = Identity {
            name: "a".parse().unwrap(),
            boot: BootEpoch(1),
            gossip: ([10, 0, 0, 1], 5000).into(),
            http_port: 5000,
            zone: zone_of(key),
            capacity_jobs: 2,
            versions: crate::Versions::SPOKEN,
        };
        Peer {
            key: NodeKey(key),
            identity: Arc::new(identity),
            since: Time::ZERO,
            known: None,
            incarnation: Incarnation(0),
            state,
            met: false,
            answered: false,
        }
    }

    proptest! {
        /// Whatever the keys are: as even as hashes, or chosen to lie close together.
        #[test]
        fn members_are_found_by_key_as_in_a_map(
            keys in prop::collection::vec((prop_oneof![any::<u64>(), 0u64..40, Just(u64::MAX)], 0..4u8), 0..200),
            (first, last) in (prop_oneof![any::<u64>(), 0u64..40], any::<u64>()),
        ) {
            let (mut members, mut map) = (Members::new(zone_of(0)), BTreeMap::new());
            for (key, what) in keys {
                let state = if what == 1 { MemberState::Dead } else { MemberState::Alive };
                match map.get(&key).copied() {
                    Some((slot, _)) if what == 0 => {
                        members.remove(slot);
                        map.remove(&key);
                    }
                    Some((slot, _)) => {
                        members.set(slot, state, Incarnation(0), Time::ZERO);
                        map.insert(key, (slot, state));
                    }
                    None => {
                        let slot = members.insert(peer(key, state));
                        map.insert(key, (slot, state));
                    }
                }
            }
            let slots = |members: &Members| members.iter().map(|(slot, peer)| (peer.key.0, slot)).collect::<Vec<_>>();
            prop_assert_eq!(slots(&members), map.iter().map(|(key, (slot, _))| (*key, *slot)).collect::<Vec<_>>());
            for (key, (slot, _)) in &map {
                prop_assert_eq!(members.find(NodeKey(*key)), Some(*slot));
            }
            prop_assert_eq!(members.find(NodeKey(first)), map.get(&first).map(|(slot, _)| *slot));
            let head = |key: u64| NodeKey(key).head();
            let alike: Vec<_> = map.iter().filter(|(key, _)| head(**key) == head(first)).map(|(_, (slot, _))| *slot).collect();
            prop_assert_eq!(members.find_head(head(first)), (alike.len() == 1).then(|| alike[0]));
            let range = first.min(last)..=first.max(last);
            let found: Vec<u64> = members.range(range.clone()).map(|(_, peer)| peer.key.0).collect();
            prop_assert_eq!(found, map.range(range).map(|(key, _)| *key).collect::<Vec<_>>());
            let dead = map.values().filter(|(_, state)| *state == MemberState::Dead).count();
            prop_assert_eq!((members.gone().count(), members.live()), (dead, map.len() - dead));
            let near = map.iter().filter(|(key, (_, state))| *state == MemberState::Alive && *key % 3 == 0).count();
            prop_assert_eq!(members.near(), near);
        }
    }
}
