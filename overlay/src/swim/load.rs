//! Who hears of whose load.
//!
//! A node's own sample rides on each of its pings and acks. Samples of others are passed on in a bounded number, so
//! that bytes stay flat in the size of the cluster; what travels first is what a router decides by: among the members
//! of a zone the samples of its best candidates, and of every other zone the few best.
//!
//! What has come far from member to member is old. So whoever finds itself among the best of a large zone also tells a
//! few of its members at first hand: few nodes, and idle ones, send a little more, and all others know whom to ask.

use std::time::Duration;

use rand::Rng;

use super::Swim;
use crate::members::{Peer, Slot};
use crate::wire::{Encoder, LOADS_MAX, LoadEntry};
use crate::{LoadSample, NodeKey, Time, Zone};

/// Most samples of this zone's members on a datagram to one of them.
const NEAR_PER_DATAGRAM: usize = 8;
/// How many hundredths of such a sample are passed on for each datagram that is sent, to whatever zone: so many for each live member,
/// since few members hear each other at first hand often enough, and at most so many.
const NEAR_HUNDREDTHS_A_MEMBER: usize = 5;
const NEAR_HUNDREDTHS_MAX: usize = 240;
/// Best candidates of the zones that the receiver is not in, on each ping and ack.
const FAR_PER_DATAGRAM: usize = 1;
const _: () = assert!(NEAR_PER_DATAGRAM + FAR_PER_DATAGRAM <= LOADS_MAX);
/// How often each member passes on a sample that has changed, and one that has not but is due again.
const CHANGED_TIMES: u8 = 4;
const AGAIN_TIMES: u8 = 3;
/// What hardly changed is due again after so long.
const AGAIN: Duration = Duration::from_secs(2);
/// What is older is not passed on: it would hardly live to be used.
const YOUNG: Duration = Duration::from_secs(8);
/// Whose sample is older is no candidate.
const USELESS: Duration = Duration::from_secs(9);
/// A backlog that changes by less, and by less than a quarter of it, has hardly changed: it shrinks all the time.
const BACKLOG_CHANGE_MS_MIN: u32 = 1_000;
/// Numbers of samples wrap around; next to a sample that is older than this, any number is newer.
const SEQ_TRUSTED: Duration = Duration::from_secs(3_600);
/// Best candidates that are followed of each other zone, and of this one in the eyes of the others.
const BEST_FAR: usize = 4;
/// Best candidates of this zone: whose samples its members pass on among each other.
const BEST_NEAR: usize = 10;
/// Zones whose best candidates are followed.
const ZONES_MAX: usize = 64;
/// Candidates that are followed.
pub(super) const FOLLOWED_MAX: usize = ZONES_MAX * BEST_FAR + BEST_NEAR;

/// Who knows fewer better ones of its zone advertises.
const BETTER_MAX: usize = 8;
/// Each period it draws one member for so many live ones, ...
const LIVE_PER_DRAW: usize = 30;
/// ... at most so many, and tells those of its zone, ...
const DRAWS_MAX: usize = 16;
/// ... at most so many.
const ADVERTS_MAX: usize = 6;

/// Where a sample is to be passed on to: index of [`Candidate::times_left`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Near,
    Far,
}

/// How soon a job is likely to be done at a member: in milliseconds, and between equals by CPU in use. The lower, the better a
/// candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finish {
    ms: u32,
    cpu_permille: u16,
}

impl Finish {
    fn of(sample: &LoadSample, work_kilopixels: u64) -> Self {
        Self { ms: sample.finish_ms(work_kilopixels), cpu_permille: sample.cpu_permille }
    }
}

/// A member to send a job to.
#[derive(Debug)]
struct Candidate {
    key: NodeKey,
    finish: Finish,
    /// When its newest sample was taken.
    taken: Time,
    /// The sample that was last found worth passing on, and when.
    told: (LoadSample, Time),
    /// How often it is still to be passed on, by [`Way`].
    times_left: [u8; 2],
}

impl Candidate {
    fn is_waiting(&self, way: Way, now: Time) -> bool {
        self.times_left[way as usize] > 0 && now.since(self.taken) < YOUNG
    }
}

/// The best candidates of one zone, the earliest to finish a job first.
#[derive(Debug)]
struct ZoneDesk {
    zone: Zone,
    best: Vec<Candidate>,
}

impl ZoneDesk {
    /// Takes in a member's newest sample; the best `count` are followed.
    fn rank(
        &mut self,
        (key, sample, finish): (NodeKey, &LoadSample, Finish),
        taken: Time,
        count: usize,
        now: Time,
    ) {
        let known = self.best.iter().position(|candidate| candidate.key == key);
        let known = known.map(|place| self.best.remove(place));
        self.best.retain(|candidate| now.since(candidate.taken) < USELESS);
        let place = self.best.partition_point(|candidate| candidate.finish <= finish);
        if place >= count {
            return;
        }
        let (told, times_left) = match known {
            Some(Candidate { told, times_left, .. }) if !differs(&told.0, sample) => {
                if now.since(told.1) >= AGAIN {
                    ((*sample, now), [AGAIN_TIMES; 2])
                } else {
                    (told, times_left)
                }
            }
            _ => ((*sample, now), [CHANGED_TIMES; 2]),
        };
        self.best.truncate(count - 1);
        self.best.insert(place, Candidate { key, finish, taken, told, times_left });
    }
}

/// Who is followed, and what is to be passed on of them.
#[derive(Debug, Default)]
pub(super) struct LoadDesk {
    /// Zones are few; a list of them is faster than a map.
    zones: Vec<ZoneDesk>,
    /// The zone whose turn it is to be told of to other zones.
    turn: usize,
}

impl LoadDesk {
    pub fn len(&self) -> usize {
        self.zones.iter().map(|desk| desk.best.len()).sum()
    }

    pub fn remove(&mut self, key: NodeKey) {
        for desk in &mut self.zones {
            desk.best.retain(|candidate| candidate.key != key);
        }
    }

    fn find(&self, zone: &Zone) -> Option<usize> {
        self.zones.iter().position(|desk| desk.zone == *zone)
    }

    /// There is always a place for a node's own zone.
    fn find_or_add(&mut self, zone: &Zone, own: bool, now: Time) -> Option<&mut ZoneDesk> {
        let index = match self.find(zone) {
            Some(index) => index,
            None if own || self.zones.len() < ZONES_MAX => {
                self.zones.push(ZoneDesk { zone: zone.clone(), best: Vec::new() });
                self.zones.len() - 1
            }
            None => {
                // Zones that nobody is heard of any more make room.
                let useless = |candidate: &Candidate| now.since(candidate.taken) >= USELESS;
                let silent = self.zones.iter().position(|desk| desk.best.iter().all(useless))?;
                self.zones[silent] = ZoneDesk { zone: zone.clone(), best: Vec::new() };
                silent
            }
        };
        Some(&mut self.zones[index])
    }
}

/// Whether a router would decide differently.
fn differs(old: &LoadSample, new: &LoadSample) -> bool {
    old.queued_jobs != new.queued_jobs
        || old.running_jobs != new.running_jobs
        || old.workers != new.workers
        || old.queue_capacity_jobs != new.queue_capacity_jobs
        || old.cpu_permille.abs_diff(new.cpu_permille) >= 100
        || old.memory_permille.abs_diff(new.memory_permille) >= 50
        || old.backlog_ms.abs_diff(new.backlog_ms) >= BACKLOG_CHANGE_MS_MIN + old.backlog_ms / 4
}

impl Swim {
    /// A member's sample has come in, from itself or passed on. False if a newer one is known.
    pub(super) fn on_load(&mut self, slot: Slot, sample: LoadSample, age: Duration) -> bool {
        let now = self.now;
        let taken = Time::from_micros(now.as_micros().saturating_sub(age.as_micros() as u64));
        let known = self.members.get(slot).and_then(|peer| peer.known.as_ref()?.load);
        if known.is_some_and(|(old, at)| !sample.is_newer_than(&old) && now.since(at) < SEQ_TRUSTED) {
            return false;
        }
        let Some(peer) = self.members.get_mut(slot) else { return false };
        peer.known_mut().load = Some((sample, taken));
        self.detail_version += 1;
        let Some(peer) = self.members.get(slot) else { return false };
        let own = peer.identity.zone == self.me.zone;
        let count = if own { BEST_NEAR } else { BEST_FAR };
        let (key, finish) = (peer.key, Finish::of(&sample, self.usual_kilopixels()));
        if let Some(desk) = self.load_desk.find_or_add(&peer.identity.zone, own, now) {
            desk.rank((key, &sample, finish), taken, count, now);
        }
        true
    }

    /// The work of a job as this node knows jobs, in thousands of pixels: what candidates are compared by. 0 where it knows none.
    fn usual_kilopixels(&self) -> u64 {
        self.load.map_or(0, |(sample, _)| sample.usual_kilopixels())
    }

    pub(super) fn on_load_entry(&mut self, entry: &LoadEntry) {
        let Some(slot) = self.members.find_head(entry.of) else { return };
        let is_this_boot = |peer: &Peer| peer.identity.boot.0 as u16 == entry.boot_low;
        let Some(peer) = self.members.get(slot).filter(|peer| is_this_boot(peer)) else { return };
        let known = peer.known.as_ref().and_then(|known| known.load);
        let hardware = known.map_or(0, |(sample, _)| sample.hardware);
        if !self.on_load(slot, LoadSample { hardware, ..entry.sample }, entry.age) {
            return;
        }
        // A coordinate is as old as the sample that it comes with.
        if let Some(peer) = self.members.get_mut(slot).filter(|_| entry.coordinate.is_some()) {
            peer.known_mut().coordinate = entry.coordinate;
        }
    }

    /// Passes on what is most useful to the receiver: of its own zone if that is this node's, too.
    pub(super) fn put_near_loads(&mut self, encoder: &mut Encoder, receiver: Option<Slot>) {
        let Some(receiver) = receiver.and_then(|slot| self.members.get(slot)) else { return };
        if receiver.identity.zone != self.me.zone {
            return;
        }
        let (to, now) = (receiver.key, self.now);
        let Some(index) = self.load_desk.find(&self.me.zone) else { return };
        let mut desk = std::mem::take(&mut self.load_desk);
        let waiting = desk.zones[index].best.iter_mut();
        let waiting = waiting.filter(|candidate| candidate.key != to && candidate.is_waiting(Way::Near, now));
        for candidate in waiting.take(self.near_per_datagram()) {
            if !self.put_load(encoder, candidate, Way::Near) {
                break;
            }
        }
        self.load_desk = desk;
    }

    /// How many of this zone's samples go on a datagram to one of its members. The smaller the zone's part of the cluster is, the
    /// fewer datagrams go to it, and the more has to be on each.
    fn near_per_datagram(&self) -> usize {
        let live = self.live();
        let hundredths = (NEAR_HUNDREDTHS_A_MEMBER * live).min(NEAR_HUNDREDTHS_MAX);
        (hundredths * live).div_ceil(100 * (self.members.near() + 1)).min(NEAR_PER_DATAGRAM)
    }

    /// Passes on the youngest of the best of zones that the receiver is not in; the zones take turns.
    pub(super) fn put_far_loads(&mut self, encoder: &mut Encoder, receiver: Option<Slot>) {
        let Some(receiver) = receiver.and_then(|slot| self.members.get(slot)) else { return };
        let here = self.load_desk.find(&receiver.identity.zone);
        let mut desk = std::mem::take(&mut self.load_desk);
        let (zones, first, now) = (desk.zones.len(), desk.turn, self.now);
        let elsewhere = (first..first + zones).map(|zone| zone % zones).filter(|zone| Some(*zone) != here);
        let mut room = FAR_PER_DATAGRAM;
        for zone in elsewhere {
            let best = desk.zones[zone].best.iter_mut().take(BEST_FAR);
            let waiting = best.filter(|candidate| candidate.is_waiting(Way::Far, now));
            let Some(candidate) = waiting.max_by_key(|candidate| candidate.taken) else { continue };
            if !self.put_load(encoder, candidate, Way::Far) {
                break;
            }
            desk.turn = zone + 1;
            room -= 1;
            if room == 0 {
                break;
            }
        }
        self.load_desk = desk;
    }

    /// False if there is no room. Where a member is far away is passed on with its load: most will never meet it.
    fn put_load(&self, encoder: &mut Encoder, candidate: &mut Candidate, way: Way) -> bool {
        let peer = self.members.by_key(candidate.key);
        let known = peer.and_then(|peer| Some((peer, peer.known.as_ref()?)));
        let Some((peer, (sample, taken), coordinate)) =
            known.and_then(|(peer, known)| Some((peer, known.load?, known.coordinate)))
        else {
            return true;
        };
        let fits = encoder.load_entry(&LoadEntry {
            of: candidate.key.head(),
            boot_low: peer.identity.boot.0 as u16,
            age: self.now.since(taken),
            sample,
            coordinate: coordinate.filter(|_| way == Way::Far),
        });
        candidate.times_left[way as usize] -= u8::from(fits);
        fits
    }

    /// Tells some of its zone of this node at first hand, if it is among the zone's best and the zone is large.
    pub(super) fn advertise(&mut self) {
        let Some((sample, taken)) = self.load else { return };
        let mine = Finish::of(&sample, self.usual_kilopixels());
        let best = self.load_desk.find(&self.me.zone).map(|index| &self.load_desk.zones[index].best);
        if best.is_some_and(|best| best.iter().filter(|other| other.finish < mine).count() >= BETTER_MAX) {
            return;
        }
        let mut adverts = 0;
        for _ in 0..(self.live() / LIVE_PER_DRAW).min(DRAWS_MAX) {
            let slot = self.rng.random_range(0..self.members.slots().max(1));
            let near = |peer: &&Peer| peer.is_live() && peer.identity.zone == self.me.zone;
            let Some(to) = self.members.get(slot).filter(near).map(Peer::address) else {
                continue;
            };
            let mut encoder = self.begin_to(to, Some(slot), self.version_for(Some(slot)));
            encoder.load(&sample, self.now.since(taken));
            self.put_first_updates(&mut encoder, Some(slot), None);
            self.put_updates(&mut encoder, Some(slot));
            self.finish(to, Some(slot), encoder);
            adverts += 1;
            if adverts == ADVERTS_MAX {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fast node with work may still be done before an idle slow one, and is told of.
    #[test]
    fn the_earliest_to_finish_are_followed() {
        let mut desk = ZoneDesk { zone: "FRA".parse().unwrap(), best: Vec::new() };
        let key = |number: usize| NodeKey::of(&format!("node{number}").parse().unwrap());
        let sample = |service_ms: u32, backlog_ms, cpu_permille| LoadSample {
            service_ms,
            kilopixels_per_s: 1_000_000_000 / service_ms,
            backlog_ms,
            cpu_permille,
            queued_jobs: u16::from(backlog_ms > 0),
            running_jobs: 2 * u16::from(backlog_ms > 0),
            workers: 2,
            ..LoadSample::default()
        };
        // Slow and idle; fast and busy, with a full processor; fast and idle, with other work on it, and without.
        let all =
            [sample(10_000, 0, 0), sample(1_000, 3_000, 1_000), sample(1_000, 0, 600), sample(1_000, 0, 10)];
        let work = all[0].usual_kilopixels();
        assert_eq!(all.map(|sample| sample.finish_ms(work)), [10_000, 4_000, 1_000, 1_000]);
        for (number, sample) in all.iter().enumerate() {
            desk.rank((key(number), sample, Finish::of(sample, work)), Time::ZERO, 3, Time::ZERO);
        }
        let order: Vec<_> = desk.best.iter().map(|candidate| candidate.key).collect();
        assert_eq!(order, [key(3), key(2), key(1)]);
    }

    #[test]
    fn zones_are_bounded_and_silent_ones_make_room() {
        let mut desk = LoadDesk::default();
        let zone = |number: usize| format!("zone{number}").parse::<Zone>().unwrap();
        let key = |number: usize| NodeKey::of(&format!("node{number}").parse().unwrap());
        for number in 0..ZONES_MAX {
            let zone = desk.find_or_add(&zone(number), false, Time::ZERO).unwrap();
            let sample = LoadSample::default();
            zone.rank((key(number), &sample, Finish::of(&sample, 0)), Time::ZERO, BEST_FAR, Time::ZERO);
        }
        assert!(desk.find_or_add(&zone(ZONES_MAX), false, Time::ZERO).is_none());
        desk.remove(key(7));
        assert_eq!(desk.find_or_add(&zone(ZONES_MAX), false, Time::ZERO).unwrap().zone, zone(ZONES_MAX));
        assert!(desk.find(&zone(7)).is_none() && desk.zones.len() == ZONES_MAX);
        assert!(desk.find_or_add(&zone(ZONES_MAX + 1), false, Time::ZERO + USELESS).is_some());
        assert_eq!(desk.zones.len(), ZONES_MAX);
        assert!(desk.find_or_add(&zone(ZONES_MAX + 2), true, Time::ZERO + USELESS).is_some(), "one's own");
    }
}
