//! What a decision needs of each peer and a membership view says, worked out once for each view and not for each decision. Of the view
//! after it only what is another one than before is worked out: from one to the next few members change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, LoadSample, Member, MemberState, NodeName, View, Zone};

use super::ledger::Handed;
use super::score::{normalized_load, normalized_rtt};
use super::{RTT_UNKNOWN, RouteKind, wait};

/// A sample of a peer that has none: older than all that count.
const NEVER_NS: i64 = i64::MIN / 2;

/// The peers of one view that may be asked at all, in the order of their names: alive, and at an address that can be theirs.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) rows: Vec<Row>,
    /// The first bytes of each row's name: most comparisons of names end with them.
    names: Vec<u128>,
    zones: BTreeMap<Zone, u16>,
    /// Of each zone how its peers are reached, and the way to the nearest of them, in seconds.
    pub(super) ways: Vec<(RouteKind, f64)>,
    /// Peers whose names come before this node's.
    pub(super) before_own: usize,
    /// From when on times are counted, and this node, once a view was read.
    begin: Option<(Instant, Arc<Identity>)>,
    /// Of each peer of the view what was read.
    read: Vec<Read>,
}

/// What was read of a peer: as long as it is the same, so is its row.
#[derive(Debug)]
struct Read {
    identity: Arc<Identity>,
    state: MemberState,
    heard_at: Option<SocketAddr>,
    figures: Figures,
    /// Its row, if it has one.
    row: Option<u32>,
}

/// Of what was read of a peer what changes all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    load: Option<(LoadSample, Instant)>,
    rtt: Option<Duration>,
    damped: bool,
}

impl Figures {
    fn of(peer: &Member) -> Self {
        Self {
            load: peer.load.map(|load| (load.sample, load.taken)),
            rtt: peer.rtt.map(|rtt| rtt.mean),
            damped: peer.damping.is_some(),
        }
    }
}

/// One peer. Seconds are as they are for a job of which nothing more is known. What most peers are told apart by comes first and is one
/// line of a cache: a decision reads no more of them.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq))]
#[repr(C, align(64))]
pub(super) struct Row {
    /// Its place in the view.
    pub(super) member: u32,
    pub(super) zone: u16,
    pub(super) route: RouteKind,
    /// Whether it failed so often lately that it gets no work for a while.
    pub(super) damped: bool,
    pub(super) rtt_s: f64,
    /// By its sample: until a worker is free there.
    pub(super) wait_s: f64,
    /// By what its jobs usually take, and longer as it is [slowed](wait::slowed): seconds a job and a kilopixel; 0 before it knows.
    pub(super) service_s: f64,
    pub(super) kilopixel_s: f64,
    pub(super) jobs_per_worker: f64,
    pub(super) normalized_load: f64,
    pub(super) normalized_rtt: f64,
    /// The round-trip time, and infinite where nobody knows it.
    pub(super) distance_s: f64,
    /// How much longer one waits there with one more job, and how long a job usually takes.
    pub(super) one_more_s: f64,
    pub(super) usual_s: f64,
    /// How many times as long a job takes there now: see [`wait::slowed`].
    pub(super) slowed: f64,
    pub(super) workers: f64,
    /// When its load sample was taken, in nanoseconds from the roster's begin.
    taken_ns: i64,
    pub(super) jobs: u32,
    /// The encoders in hardware that it has ready.
    pub(super) hardware: u8,
}

impl Roster {
    pub(super) fn of(view: &View) -> Self {
        let mut roster = Self::default();
        roster.read(view);
        roster
    }

    /// Becomes that of this view.
    pub(super) fn read(&mut self, view: &View) {
        if !self.renew(view) {
            self.make(view);
        }
    }

    /// The same where it has the same members as the view before; false, and to be made, where it has others.
    fn renew(&mut self, view: &View) -> bool {
        let Self { rows, ways, begin: Some((begin, own)), read, .. } = self else { return false };
        if !Arc::ptr_eq(own, &view.local.identity) || read.len() != view.peers.len() {
            return false;
        }
        let mut has_moved = false;
        for ((read, peer), member) in read.iter_mut().zip(&view.peers).zip(0..) {
            let is_same = Arc::ptr_eq(&read.identity, &peer.identity)
                && (read.state, read.heard_at) == (peer.state, peer.heard_at);
            if !is_same {
                return false;
            }
            let (figures, Some(row)) = (Figures::of(peer), read.row) else { continue };
            if figures != read.figures {
                read.figures = figures;
                let row = &mut rows[row as usize];
                let before_s = row.distance_s;
                *row = Row::of(*begin, peer, member, row.zone);
                has_moved |= before_s.to_bits() != row.distance_s.to_bits();
            }
        }
        if has_moved {
            ways.iter_mut().skip(1).for_each(|(_, nearest)| *nearest = f64::INFINITY);
            for row in rows.iter() {
                note_way(ways, row);
            }
        }
        true
    }

    fn make(&mut self, view: &View) {
        let Self { rows, names, zones, ways, before_own, begin, read } = self;
        rows.clear();
        names.clear();
        zones.clear();
        ways.clear();
        read.clear();
        let own = &view.local.identity;
        *begin = Some((view.at, Arc::clone(own)));
        zones.insert(own.zone.clone(), 0);
        ways.push((RouteKind::Local, 0.0));
        for (member, peer) in (0..).zip(&view.peers) {
            let Member { identity, state, heard_at, .. } = peer;
            let has_row =
                *state == MemberState::Alive && !identity.is_observer() && !is_lost(&view.local, peer);
            read.push(Read {
                identity: Arc::clone(identity),
                state: *state,
                heard_at: *heard_at,
                figures: Figures::of(peer),
                row: has_row.then_some(rows.len() as u32),
            });
            if !has_row {
                continue;
            }
            let zone = zones.get(&identity.zone).copied().unwrap_or_else(|| {
                let zone = u16::try_from(ways.len()).unwrap_or(u16::MAX);
                zones.insert(identity.zone.clone(), zone);
                ways.push((RouteKind::CrossRegion, f64::INFINITY));
                zone
            });
            let row = Row::of(view.at, peer, member, zone);
            note_way(ways, &row);
            rows.push(row);
            names.push(first_bytes(&identity.name));
        }
        *before_own = rows.partition_point(|row| view.peers[row.member as usize].identity.name < own.name);
    }

    /// A moment, as [`Row::age_ns`] counts.
    pub(super) fn time_ns(&self, now: Instant) -> i64 {
        self.begin.as_ref().map_or(0, |(begin, _)| between_ns(*begin, now))
    }

    /// The zones and their numbers.
    pub(super) fn zones(&self) -> impl Iterator<Item = (&Zone, u16)> {
        self.zones.iter().map(|(zone, number)| (zone, *number))
    }

    /// The first row from this one on whose name is not before `name`; and whether it is that name.
    pub(super) fn find(&self, view: &View, from: usize, name: &NodeName) -> (usize, bool) {
        let first = first_bytes(name);
        let full = |row: usize| &view.peers[self.rows[row].member as usize].identity.name;
        let is_before = |row: usize| match self.names[row].cmp(&first) {
            std::cmp::Ordering::Equal => full(row) < name,
            order => order.is_lt(),
        };
        // Most are near: names are looked up in their order.
        let (mut low, mut step) = (from, 1);
        while low + step <= self.rows.len() && is_before(low + step - 1) {
            low += step;
            step *= 2;
        }
        let (mut low, mut high) = (low, (low + step).min(self.rows.len()));
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(middle) { low = middle + 1 } else { high = middle }
        }
        (low, low < self.rows.len() && self.names[low] == first && full(low) == name)
    }
}

impl Row {
    fn of(begin: Instant, peer: &Member, member: u32, zone: u16) -> Self {
        let load = peer.load.map(|load| load.sample).unwrap_or_default();
        let wait = wait::wait(&load, &Handed::default());
        let one_more = Handed { jobs: 1, work: wait::usual(&load), ..Handed::default() };
        let workers = f64::from(load.workers.max(1));
        let slowed = wait::slowed(&load);
        let rtt = peer.rtt.map(|rtt| rtt.mean);
        Self {
            member,
            zone,
            route: if zone == 0 { RouteKind::SameRegion } else { RouteKind::CrossRegion },
            hardware: if load.running_jobs < load.workers { load.hardware } else { 0 },
            damped: peer.damping.is_some(),
            taken_ns: peer.load.map_or(NEVER_NS, |load| between_ns(begin, load.taken)),
            rtt_s: rtt.unwrap_or(RTT_UNKNOWN).as_secs_f64(),
            distance_s: rtt.map_or(f64::INFINITY, |rtt| rtt.as_secs_f64()),
            wait_s: wait.as_secs_f64(),
            one_more_s: wait::wait(&load, &one_more).saturating_sub(wait).as_secs_f64(),
            usual_s: wait::usual(&load).as_secs_f64(),
            service_s: f64::from(load.service_ms) / 1000.0 * slowed,
            kilopixel_s: wait::kilopixel_s(&load) * slowed,
            slowed,
            jobs: Handed::default().jobs(&load),
            jobs_per_worker: f64::from(Handed::default().jobs(&load)) / workers,
            workers,
            normalized_load: normalized_load(&load),
            normalized_rtt: normalized_rtt(rtt.unwrap_or(RTT_UNKNOWN)),
        }
    }

    /// How old its sample is at a moment; see [`Roster::time_ns`].
    pub(super) fn age_ns(&self, now_ns: i64) -> i64 {
        now_ns.saturating_sub(self.taken_ns).max(0)
    }
}

/// A peer of a zone is so near.
fn note_way(ways: &mut [(RouteKind, f64)], row: &Row) {
    let nearest = &mut ways[row.zone as usize].1;
    *nearest = nearest.min(row.distance_s);
}

/// From one moment to another, which may be before it.
fn between_ns(from: Instant, to: Instant) -> i64 {
    let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 4);
    match to.checked_duration_since(from) {
        Some(after) => ns(after),
        None => -ns(from.saturating_duration_since(to)),
    }
}

/// Whether a peer's HTTP address leads elsewhere for sure: to this node itself, or to this machine although the peer
/// answers from another one.
fn is_lost(local: &Member, peer: &Member) -> bool {
    let there = peer.identity.http();
    let elsewhere = peer.heard_at.is_some_and(|heard_at| !heard_at.ip().is_loopback());
    there == local.identity.http() || (there.ip().is_loopback() && elsewhere)
}

/// As a number that is ordered as the names are, as far as it goes.
fn first_bytes(name: &NodeName) -> u128 {
    let name = name.as_str().as_bytes();
    let mut bytes = [0; 16];
    let count = name.len().min(16);
    bytes[..count].copy_from_slice(&name[..count]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use starling_overlay::{Damping, Load, Rtt};

    use super::*;
    use crate::policy::testing::{member, sample, view_of};
    use crate::testing::start;

    /// What becomes of a view: which peer, what of it, and by how much.
    type Change = (usize, u8, u8);

    fn change(view: &mut View, (at, what, by): Change) {
        view.at += Duration::from_millis(u64::from(by) * 10);
        let now = view.at;
        if what == 0 {
            let name = format!("node{}", 2 + usize::from(by) % 9);
            let zone = ["A", "B", "C"][at % 3];
            let newcomer = member(&name, zone, Some(u64::from(by)), Some(sample(1, 2, SECOND)), now);
            match view.peers.binary_search_by(|peer| peer.identity.name.cmp(&newcomer.identity.name)) {
                Ok(place) if by % 2 == 0 => view.peers[place] = newcomer,
                Ok(place) => drop(view.peers.remove(place)),
                Err(place) => view.peers.insert(place, newcomer),
            }
            return;
        }
        let count = view.peers.len().max(1);
        let Some(peer) = view.peers.get_mut(at % count) else { return };
        match what {
            1 => {
                let mean = Duration::from_millis(by.into());
                peer.rtt = (by > 9).then_some(Rtt { mean, min: mean, jitter: Duration::ZERO });
            }
            2 => peer.state = if by % 3 == 0 { MemberState::Suspect } else { MemberState::Alive },
            3 => {
                peer.damping = (by % 2 == 0).then_some(Damping { failures: 2, until: now + SECOND });
            }
            4 => peer.heard_at = (by % 2 == 0).then_some(([192, 0, 2, by], 5000).into()),
            5 => {
                let mut identity = Identity::clone(&peer.identity);
                identity.capacity_jobs = if by % 3 == 0 { Identity::OBSERVES } else { 2 };
                identity.gossip = if by % 4 == 0 { ([127, 0, 0, 1], 7).into() } else { identity.gossip };
                peer.identity = Arc::new(identity);
            }
            _ => {
                let jobs = sample(u16::from(by % 7), 2, SECOND * u32::from(1 + by % 3));
                peer.load = (by > 3).then_some(Load { sample: jobs, taken: now });
            }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        /// Whatever changes from one view to the next, it is the roster that is made of that view anew.
        #[test]
        fn a_roster_made_of_the_one_before_is_one_made_anew(
            changes in prop::collection::vec(prop::collection::vec((0usize..9, 0u8..9, any::<u8>()), 0..4), 1..40),
        ) {
            let now = start();
            let mut view = view_of(now, member("node5", "A", Some(0), None, now), Vec::new());
            let mut roster = Roster::default();
            for step in changes {
                for of in step {
                    change(&mut view, of);
                }
                roster.read(&view);
                let anew = Roster::of(&view);
                let later = view.at + SECOND;
                let aged = |roster: &Roster| {
                    // Of a peer without a sample it is longer than any.
                    let age_ns = |row: &Row| row.age_ns(roster.time_ns(later)).min(i64::MAX / 4);
                    let of = |row: &Row| (age_ns(row), Row { taken_ns: 0, ..*row });
                    roster.rows.iter().map(of).collect::<Vec<_>>()
                };
                prop_assert_eq!(aged(&roster), aged(&anew));
                prop_assert_eq!((&roster.names, &roster.zones), (&anew.names, &anew.zones));
                prop_assert_eq!((&roster.ways, roster.before_own), (&anew.ways, anew.before_own));
            }
        }
    }
}
