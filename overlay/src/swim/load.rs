//! Who hears of whose load.
//!
//! A node's own sample rides on each of its pings and acks. Samples of others are passed on in a bounded number, so
//! that bytes stay flat in the size of the cluster; what travels first is what a router decides by: to members of
//! this zone its changed samples, and of every zone its few best candidates to everybody.

use std::time::Duration;

use super::Swim;
use super::send::centiseconds;
use crate::gossip::GossipQueue;
use crate::members::Slot;
use crate::wire::{Encoder, LOADS_MAX, LoadEntry};
use crate::{LoadSample, NodeKey, Time, Zone};

/// Samples of this zone's members on each ping and ack to one of them; most datagrams go to other zones.
const NEAR_PER_DATAGRAM: usize = 4;
/// Best candidates of the zones that the receiver is not in.
const FAR_PER_DATAGRAM: usize = 1;
const _: () = assert!(NEAR_PER_DATAGRAM + FAR_PER_DATAGRAM <= LOADS_MAX);
/// How often a changed sample is passed on by each member.
const TRANSMISSIONS: u8 = 4;
/// How often one that hardly changed is, once it has grown old.
const REFRESHES: u8 = 2;
/// A sample that hardly changed is passed on again only when the last one passed on is this old.
const STALE: Duration = Duration::from_secs(4);
/// One that is older is of no use to anybody.
const USELESS: Duration = Duration::from_secs(9);
/// Who was not heard of for this long is no candidate.
const UNHEARD: Duration = Duration::from_secs(10);
/// Best candidates of each other zone, and of this one in the eyes of the others.
const BEST_PER_ZONE: usize = 4;
/// Best candidates of this zone: whose samples its members pass on among each other.
const BEST_NEAR: usize = 16;
/// Zones whose best candidates are followed.
const ZONES_MAX: usize = 64;
const _: () = assert!(ZONES_MAX <= 1 << u8::BITS);
/// Samples waiting to be passed on; the ones sent most often are dropped first.
pub(super) const WAITING_MAX: usize = 128;

/// How busy a candidate is, who it is, and when it was last heard of.
type Ranked = (u32, NodeKey, Time);

/// Samples waiting to be passed on.
#[derive(Debug, Default)]
pub(super) struct LoadDesk {
    /// Of this zone.
    near: GossipQueue,
    /// Of the best candidates of each zone, which is told by its index in `best`.
    far: GossipQueue<u8>,
    /// Zones are few; a list of them is faster than a map.
    best: Vec<(Zone, Vec<Ranked>)>,
}

impl LoadDesk {
    pub fn len(&self) -> usize {
        self.near.len().max(self.far.len())
    }

    pub fn remove(&mut self, key: NodeKey) {
        self.near.remove(key);
        self.far.remove(key);
        for (_, best) in &mut self.best {
            best.retain(|(_, other, _)| *other != key);
        }
    }

    fn index_of(&self, zone: &Zone) -> Option<u8> {
        self.best.iter().position(|(other, _)| other == zone).map(|index| index as u8)
    }

    /// Ranks a candidate in its zone, of whose best `count` are followed: the zone's index and its place.
    fn rank(&mut self, zone: &Zone, key: NodeKey, busy: u32, count: usize, now: Time) -> Option<(u8, usize)> {
        let index = match self.index_of(zone) {
            Some(index) => index,
            None if self.best.len() >= ZONES_MAX => return None,
            None => {
                self.best.push((zone.clone(), Vec::with_capacity(count + 1)));
                (self.best.len() - 1) as u8
            }
        };
        let best = &mut self.best[usize::from(index)].1;
        best.retain(|(_, other, at)| *other != key && now.since(*at) < UNHEARD);
        let place = best.partition_point(|(other, ..)| *other <= busy);
        best.insert(place, (busy, key, now));
        best.truncate(count);
        (place < count).then_some((index, place))
    }
}

/// What the paper's score calls load: the lower, the better a candidate.
fn busy(sample: &LoadSample) -> u32 {
    u32::from(sample.cpu_permille) + u32::from(sample.memory_permille) + 10 * u32::from(sample.queued_jobs)
}

/// Whether a router would decide differently.
fn differs(old: &LoadSample, new: &LoadSample) -> bool {
    old.queued_jobs != new.queued_jobs
        || old.running_jobs != new.running_jobs
        || old.workers != new.workers
        || old.queue_capacity_jobs != new.queue_capacity_jobs
        || old.cpu_permille.abs_diff(new.cpu_permille) >= 100
        || old.memory_permille.abs_diff(new.memory_permille) >= 50
}

impl Swim {
    /// A member's sample has come in, from itself or passed on.
    pub(super) fn on_load(&mut self, slot: Slot, sample: LoadSample, age: Duration) {
        let now = self.now;
        let taken = Time::from_micros(now.as_micros().saturating_sub(age.as_micros() as u64));
        let Some(peer) = self.members.get_mut(slot) else { return };
        let known = peer.known_mut();
        if known.load.is_some_and(|(old, _)| old.seq >= sample.seq) {
            return;
        }
        known.load = Some((sample, taken));
        let changed = known.load_told.is_none_or(|(old, _)| differs(&old, &sample));
        let old = known.load_told.is_none_or(|(_, at)| now.since(at) >= STALE);
        if changed || old {
            known.load_told = Some((sample, now));
        }
        self.detail_version += 1;
        let Some(peer) = self.members.get(slot) else { return };
        let (key, zone) = (peer.key, &peer.identity.zone);
        let near = *zone == self.me.zone;
        let count = if near { BEST_NEAR } else { BEST_PER_ZONE };
        let ranked = self.load_desk.rank(zone, key, busy(&sample), count, now);
        if let Some((zone, place)) = ranked.filter(|_| changed || old) {
            let times = if changed { TRANSMISSIONS } else { REFRESHES };
            if near {
                self.load_desk.near.push_for(key, TRANSMISSIONS - times, ());
                self.load_desk.near.truncate(WAITING_MAX);
            }
            if place < BEST_PER_ZONE {
                self.load_desk.far.push_for(key, TRANSMISSIONS - times, zone);
                self.load_desk.far.truncate(WAITING_MAX);
            }
        }
    }

    pub(super) fn on_load_entry(&mut self, entry: &LoadEntry) {
        let Some(slot) = self.members.find(entry.of) else { return };
        let same_boot =
            self.members.get(slot).is_some_and(|peer| peer.identity.boot.0 as u16 == entry.boot_low);
        if !same_boot {
            return;
        }
        if let Some(peer) = self.members.get_mut(slot)
            && entry.coordinate.is_some()
        {
            peer.known_mut().coordinate = entry.coordinate;
        }
        self.on_load(slot, entry.sample, Duration::from_millis(u64::from(entry.age_cs) * 10));
    }

    /// Puts what is most useful to the receiver into a datagram.
    pub(super) fn put_loads(&mut self, encoder: &mut Encoder, receiver: Option<Slot>) {
        let Some(receiver) = receiver.and_then(|slot| self.members.get(slot)) else { return };
        let (to, receiver) = (receiver.key, receiver.identity.clone());
        let mut keys = std::mem::take(&mut self.keys);
        keys.clear();
        if receiver.zone == self.me.zone {
            let near = self.load_desk.near.first(NEAR_PER_DATAGRAM + 1);
            keys.extend(near.filter(|key| *key != to).take(NEAR_PER_DATAGRAM));
        }
        let near = keys.len();
        let here = self.load_desk.index_of(&receiver.zone);
        let elsewhere = self.load_desk.far.tagged().filter(|(_, zone)| Some(*zone) != here);
        keys.extend(elsewhere.map(|(key, _)| key).take(FAR_PER_DATAGRAM));
        for (place, key) in keys.iter().enumerate() {
            let is_far = place >= near;
            if !self.put_load(encoder, *key, is_far) {
                break;
            }
            if is_far {
                self.load_desk.far.sent(*key, TRANSMISSIONS);
            } else {
                self.load_desk.near.sent(*key, TRANSMISSIONS);
            }
        }
        self.keys = keys;
    }

    /// False if there is no room. Where a member is far away is passed on with its load: most will never meet it.
    fn put_load(&mut self, encoder: &mut Encoder, key: NodeKey, place: bool) -> bool {
        let entry = self.members.by_key(key).filter(|peer| peer.is_live()).and_then(|peer| {
            let known = peer.known.as_ref()?;
            let (sample, taken) = known.load?;
            let coordinate = known.coordinate.filter(|_| place);
            let age = self.now.since(taken);
            let entry = LoadEntry {
                of: key,
                boot_low: peer.identity.boot.0 as u16,
                age_cs: centiseconds(age),
                sample,
                coordinate,
            };
            (age < USELESS).then_some(entry)
        });
        let Some(entry) = entry else {
            self.load_desk.remove(key);
            return true;
        };
        encoder.load_entry(&entry)
    }
}
