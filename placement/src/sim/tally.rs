//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bound::Bounded;

/// How a request ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its result, after so long.
    Served(Duration),
    /// Told to come back, or that there is no time for it.
    Refused,
    /// Without a result by its deadline.
    Late,
    /// The node that was asked is gone.
    Broken,
}

/// Counts and times.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub requests: u64,
    pub refused: u64,
    pub late: u64,
    pub broken: u64,
    pub latencies: Vec<Duration>,
    pub came_back: u64,
    pub taken_after_coming_back: u64,
    /// Different contents that were asked for.
    pub contents: u64,
    pub offers: u64,
    pub offers_refused: u64,
    /// Jobs that went to a peer, and those of them that went to another zone.
    pub handed: u64,
    pub handed_across: u64,
    pub bytes: u64,
    pub bytes_across: u64,
    pub transcodes_begun: u64,
    pub transcodes: u64,
    pub hedges: u64,
    /// Time of workers on jobs with and without a result.
    pub useful: Duration,
    pub wasted: Duration,
    /// Most jobs that were handed to one node within a second.
    pub herding_max: u64,
    /// What no schedule can beat, if that was worked out.
    pub bounded: Option<Bounded>,
    herding: (u64, BTreeMap<usize, u64>),
}

impl Tally {
    pub fn ended(&mut self, end: End) {
        self.requests += 1;
        match end {
            End::Served(took) => self.latencies.push(took),
            End::Refused => self.refused += 1,
            End::Late => self.late += 1,
            End::Broken => self.broken += 1,
        }
    }

    pub fn worked(&mut self, is_done: bool, ran: Duration) {
        if is_done {
            self.transcodes += 1;
            self.useful += ran;
        } else {
            self.wasted += ran;
        }
    }

    pub fn handed(&mut self, at: Duration, to: usize, crosses: bool) {
        self.handed += 1;
        self.handed_across += u64::from(crosses);
        let second = at.as_secs();
        if self.herding.0 != second {
            self.herding = (second, BTreeMap::new());
        }
        let here = self.herding.1.entry(to).or_default();
        *here += 1;
        self.herding_max = self.herding_max.max(*here);
    }

    pub fn carried(&mut self, bytes: u64, crosses: bool) {
        self.bytes += bytes;
        self.bytes_across += if crosses { bytes } else { 0 };
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.refused, other.refused),
            (&mut self.late, other.late),
            (&mut self.broken, other.broken),
            (&mut self.came_back, other.came_back),
            (&mut self.taken_after_coming_back, other.taken_after_coming_back),
            (&mut self.contents, other.contents),
            (&mut self.offers, other.offers),
            (&mut self.offers_refused, other.offers_refused),
            (&mut self.handed, other.handed),
            (&mut self.handed_across, other.handed_across),
            (&mut self.bytes, other.bytes),
            (&mut self.bytes_across, other.bytes_across),
            (&mut self.transcodes_begun, other.transcodes_begun),
            (&mut self.transcodes, other.transcodes),
            (&mut self.hedges, other.hedges),
        ] {
            *sum += more;
        }
        self.useful += other.useful;
        self.wasted += other.wasted;
        self.herding_max = self.herding_max.max(other.herding_max);
        self.latencies.extend_from_slice(&other.latencies);
        if let Some(Bounded { latency_s, in_time }) = other.bounded {
            let sum = self.bounded.get_or_insert_default();
            sum.latency_s += latency_s;
            sum.in_time += in_time;
        }
    }
}
