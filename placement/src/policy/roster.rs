//! What a decision needs of each peer and a membership view says, worked out once for each view and not for each decision.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_overlay::{Member, MemberState, NodeName, View, Zone};

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
}

/// One peer. Seconds are as they are for a job of which nothing more is known. What most peers are told apart by comes first and is one
/// line of a cache: a decision reads no more of them.
#[derive(Clone, Copy, Debug)]
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
    /// When its load sample was taken, in nanoseconds from the view's own time.
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
        let Self { rows, names, zones, ways, before_own } = self;
        rows.clear();
        names.clear();
        zones.clear();
        ways.clear();
        let own = &view.local.identity;
        zones.insert(own.zone.clone(), 0);
        ways.push((RouteKind::Local, 0.0));
        for (member, peer) in (0..).zip(&view.peers) {
            if peer.state != MemberState::Alive || peer.identity.is_observer() || is_lost(&view.local, peer) {
                continue;
            }
            let zone = zones.get(&peer.identity.zone).copied().unwrap_or_else(|| {
                let zone = u16::try_from(ways.len()).unwrap_or(u16::MAX);
                zones.insert(peer.identity.zone.clone(), zone);
                ways.push((RouteKind::CrossRegion, f64::INFINITY));
                zone
            });
            let row = Row::of(view.at, peer, member, zone);
            let nearest = &mut ways[zone as usize].1;
            *nearest = nearest.min(row.distance_s);
            rows.push(row);
            names.push(first_bytes(&peer.identity.name));
        }
        *before_own = rows.partition_point(|row| view.peers[row.member as usize].identity.name < own.name);
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
    fn of(at: Instant, peer: &Member, member: u32, zone: u16) -> Self {
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
            taken_ns: peer.load.map_or(NEVER_NS, |load| between_ns(at, load.taken)),
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

    /// How old its sample is, at a moment so long after the view's own time.
    pub(super) fn age_ns(&self, now_ns: i64) -> i64 {
        now_ns.saturating_sub(self.taken_ns).max(0)
    }
}

/// From one moment to another, which may be before it.
pub(super) fn between_ns(from: Instant, to: Instant) -> i64 {
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
