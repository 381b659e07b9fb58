//! One walk over all peers of a decision. Most have a row and nothing else; of the few of which this node knows something by its own
//! doing the rest is looked up.

use std::time::Duration;

use starling_overlay::{Member, NodeName, View};

use super::bandwidth::Direction;
use super::ledger::Given;
use super::reliability::Failing;
use super::roster::{Roster, Row};
use super::situation::{Avoided, SAMPLE_AGE_MAX, Situation};
use super::{Concern, wait};

/// One node of a decision, as the policies see it. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// 0: this node; else that of its row, and one.
    pub(super) index: u32,
    pub(super) concern: Concern,
    /// Whether its load sample is fresh.
    pub(super) known: bool,
    /// How old that is.
    pub(super) age_s: f64,
    /// Until a worker is free, this node's own hand-offs counted, and how much longer with one more job.
    pub(super) wait_s: f64,
    pub(super) one_more_s: f64,
    /// Jobs that it has or is about to have.
    pub(super) jobs: f64,
    pub(super) jobs_per_worker: f64,
    /// How many times as long a job takes there for the tries that fail: 1 where none did.
    pub(super) tries: f64,
    /// What the input's bytes take to it, and the result's from it.
    pub(super) ways_s: [f64; 2],
}

/// The seconds that the job's bytes take to peers of each zone and from them.
pub(super) type ZoneWays = Vec<[f64; 2]>;

/// What is told of the peers of a decision.
pub(super) trait Eye {
    /// Whether a peer of which nothing is known but its row may be among the best, by what costs little: rather yes than no. No more is
    /// worked out of one that may not.
    fn wants(&self, index: u32, row: &Row, ways_s: [f64; 2]) -> bool;

    /// One that may be asked. `special`: more is known of it than its row says.
    fn see(&mut self, row: &Row, node: Node, special: bool);
}

const AGE_NS_MAX: i64 = SAMPLE_AGE_MAX.as_nanos() as i64;

impl Situation<'_> {
    /// Tells of each peer that may be asked, in the order of their names.
    pub(super) fn walk(
        &self,
        roster: &Roster,
        zone_ways: &mut ZoneWays,
        weighs_load: bool,
        eye: &mut impl Eye,
    ) {
        let (view, experience) = (self.view, self.experience);
        self.fill_ways(roster, zone_ways);
        let mut given = Cursor::new(experience.ledger.by_name(), roster, view);
        let mut failing = Cursor::new(experience.reliability.by_name(), roster, view);
        let mut measured = Cursor::new(experience.bandwidths.by_name(), roster, view);
        let avoided = self.avoided.iter().map(|avoided| (&avoided.name, avoided));
        let mut avoided = Cursor::new(avoided, roster, view);
        let plain = Plain::new(self, roster, weighs_load);
        let mut from = 0;
        while from < roster.rows.len() {
            let special = given.row.min(failing.row).min(measured.row).min(avoided.row);
            for (row, index) in
                roster.rows[from..special.min(roster.rows.len())].iter().zip(from as u32 + 1..)
            {
                let ways_s = zone_ways[row.zone as usize];
                if eye.wants(index, row, ways_s)
                    && (!row.damped || !view.peers[row.member as usize].is_damped(self.now))
                {
                    eye.see(row, plain.node(index, row, ways_s), false);
                }
            }
            let Some(row) = roster.rows.get(special) else { return };
            let known = Known {
                given: given.take(special, roster, view),
                failing: failing.take(special, roster, view),
                avoided: avoided.take(special, roster, view),
                is_measured: measured.take(special, roster, view).is_some(),
            };
            let peer = &view.peers[row.member as usize];
            if !peer.is_damped(self.now) {
                let node = plain.node(special as u32 + 1, row, zone_ways[row.zone as usize]);
                eye.see(row, self.with_known(peer, row, node, &known, weighs_load), true);
            }
            from = special + 1;
        }
    }

    /// This node itself, as the policies see it.
    pub(super) fn own_node(&self) -> Node {
        let jobs_per_worker = f64::from(self.own.backlog.jobs_per_worker_permille) / 1000.0;
        Node {
            index: 0,
            concern: Concern::None,
            known: true,
            age_s: 0.0,
            wait_s: self.wait_here().as_secs_f64(),
            one_more_s: 0.0,
            jobs: jobs_per_worker * f64::from(self.own.load.workers.max(1)),
            jobs_per_worker,
            tries: 1.0,
            ways_s: [0.0; 2],
        }
    }

    fn fill_ways(&self, roster: &Roster, zone_ways: &mut ZoneWays) {
        let bytes = self.bytes();
        zone_ways.clear();
        zone_ways.resize(roster.ways.len(), [0.0; 2]);
        for (zone, number) in roster.zones() {
            let (route, _) = roster.ways[number as usize];
            let bandwidths = &self.experience.bandwidths;
            zone_ways[number as usize] = Direction::BOTH.map(|direction| {
                bandwidths.of_zone(self.now, zone, route, direction) * bytes[direction as usize]
            });
        }
    }

    /// The input's length, and the result's as it is likely to be.
    fn bytes(&self) -> [f64; 2] {
        let result = self.experience.sizes.estimate(self.job.profile, self.job.bytes);
        [self.job.bytes as f64, result as f64]
    }

    /// A peer of which more is known than its row says.
    fn with_known(&self, peer: &Member, row: &Row, node: Node, known: &Known<'_>, weighs_load: bool) -> Node {
        let (identity, mut node) = (&peer.identity, node);
        if known.is_measured {
            let bytes = self.bytes();
            for direction in Direction::BOTH {
                let bandwidths = &self.experience.bandwidths;
                if let Some(per_byte) = bandwidths.of_peer(self.now, &identity.name, direction) {
                    node.ways_s[direction as usize] = per_byte * bytes[direction as usize];
                }
            }
        }
        node.tries = known.failing.map_or(1.0, |failing| failing.tries(self.now));
        let load = peer.load.filter(|_| node.known);
        let handed =
            known.given.map(|given| given.unseen(identity.boot, load.map(|load| load.taken), self.now));
        if let (Some(handed), Some(load)) = (handed, load) {
            let load = &load.sample;
            let wait = wait::wait(load, &handed);
            let mut more = handed;
            more.jobs += 1;
            more.work = more.work.saturating_add(wait::usual(load));
            node.wait_s = wait.as_secs_f64();
            node.one_more_s = wait::wait(load, &more).saturating_sub(wait).as_secs_f64();
            node.jobs = f64::from(handed.jobs(load));
            node.jobs_per_worker = node.jobs / row.workers;
            let is_full = wait::is_full_with(Some(load), &handed.for_sure(), self.job.left);
            node.concern = if is_full { Concern::Full } else { Concern::None };
        } else if !node.known && weighs_load {
            node.concern = Concern::Unknown;
        }
        if let Some(avoided) = known.avoided.filter(|avoided| avoided.is(identity)) {
            node.concern = avoided.concern;
        }
        node
    }
}

/// What makes a node of a row alone.
pub(super) struct Plain {
    now_ns: i64,
    /// Half of the time that is left.
    half_left_s: f64,
    unknown: Concern,
}

impl Plain {
    pub(super) fn new(situation: &Situation<'_>, roster: &Roster, weighs_load: bool) -> Self {
        Self {
            now_ns: roster.time_ns(situation.now),
            half_left_s: (situation.job.left / 2).as_secs_f64(),
            unknown: if weighs_load { Concern::Unknown } else { Concern::None },
        }
    }

    /// `index`: that of the row, and one.
    #[inline]
    pub(super) fn node(&self, index: u32, row: &Row, ways_s: [f64; 2]) -> Node {
        let age_ns = row.age_ns(self.now_ns);
        let known = age_ns <= AGE_NS_MAX;
        // As `wait::is_full`, in seconds.
        let is_full = row.wait_s > 0.0 && row.wait_s + row.usual_s * 2.0 > self.half_left_s;
        let jobs = f64::from(row.jobs);
        Node {
            index,
            concern: match (known, is_full) {
                (false, _) => self.unknown,
                (true, true) => Concern::Full,
                (true, false) => Concern::None,
            },
            known,
            age_s: age_ns as f64 * 1e-9,
            wait_s: row.wait_s,
            one_more_s: row.one_more_s,
            jobs,
            jobs_per_worker: row.jobs_per_worker,
            tries: 1.0,
            ways_s,
        }
    }
}

/// What is known of a peer by this node's own doing.
struct Known<'a> {
    given: Option<&'a Given>,
    failing: Option<&'a Failing>,
    avoided: Option<&'a Avoided>,
    is_measured: bool,
}

/// Goes through a short list of names, in their order, beside the rows.
struct Cursor<I, V> {
    entries: I,
    head: Option<V>,
    /// The row of the head; beyond all rows where there is none.
    row: usize,
}

impl<'a, V, I: Iterator<Item = (&'a NodeName, V)>> Cursor<I, V> {
    fn new(entries: I, roster: &Roster, view: &View) -> Self {
        let mut cursor = Self { entries, head: None, row: usize::MAX };
        cursor.next(0, roster, view);
        cursor
    }

    fn next(&mut self, mut from: usize, roster: &Roster, view: &View) {
        (self.head, self.row) = (None, usize::MAX);
        while from < roster.rows.len() {
            let Some((name, value)) = self.entries.next() else { return };
            let (row, found) = roster.find(view, from, name);
            if found {
                (self.head, self.row) = (Some(value), row);
                return;
            }
            from = row;
        }
    }

    /// What there is of this row.
    fn take(&mut self, row: usize, roster: &Roster, view: &View) -> Option<V> {
        if self.row != row {
            return None;
        }
        let value = self.head.take();
        self.next(row + 1, roster, view);
        value
    }
}

/// Seconds as a time; what is none is the longest.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
