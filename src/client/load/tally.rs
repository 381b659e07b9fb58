//! Counting outcomes.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::outcome::{Failure, Hops, Outcome, Refused, Served};
use super::report::{Latency, Refusals, Retries, Times};

/// Longest time that is told apart from longer ones.
const TIME_MAX_US: u64 = 3_600_000_000;
/// Kinds of refusals, caches and such that are told apart: far more than there are, and an end to what a hostile server
/// can make a client keep.
const KINDS_MAX: usize = 64;

/// Times, to three digits.
#[derive(Clone, Debug)]
struct Spread(Histogram<u64>);

impl Default for Spread {
    fn default() -> Self {
        let bounded = Histogram::new_with_bounds(1, TIME_MAX_US, 3);
        Self(bounded.unwrap_or_else(|_| unreachable!("the bounds are constants and in order")))
    }
}

impl Spread {
    fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(TIME_MAX_US));
    }

    fn times(&self) -> Times {
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Times { median_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: ms(self.0.max()) }
    }
}

/// All that is counted of a run.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    pub(super) requests: u64,
    pub(super) in_flight: u64,
    pub(super) succeeded: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    pub(super) retries: Retries,
    latency: Spread,
    last_success: Duration,
    caches: BTreeMap<String, u64>,
    hops: BTreeMap<&'static str, u64>,
    refused: BTreeMap<(u16, String), Spread>,
    failures: BTreeMap<Failure, u64>,
    contents: HashSet<(usize, Vec<u8>)>,
}

/// The run so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Since the first upload.
    pub elapsed: Duration,
    /// Uploads sent.
    pub requests: u64,
    /// Sent and not answered yet.
    pub in_flight: u64,
    /// Answered with a result.
    pub succeeded: u64,
    /// Answered with an error status.
    pub refused: u64,
    /// Not answered, or with nonsense.
    pub failed: u64,
    /// Median time to a result, in milliseconds.
    pub median_ms: f64,
    /// And the mean.
    pub mean_ms: f64,
}

impl Tally {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            requests: 0,
            in_flight: 0,
            succeeded: 0,
            bytes_sent: 0,
            bytes_received: 0,
            retries: Retries::default(),
            latency: Spread::default(),
            last_success: Duration::ZERO,
            caches: BTreeMap::new(),
            hops: BTreeMap::new(),
            refused: BTreeMap::new(),
            failures: BTreeMap::new(),
            contents: HashSet::new(),
        }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.requests += 1;
        self.in_flight += 1;
        self.bytes_sent += bytes;
    }

    /// One upload has ended, `took` after it was sent. `content`: the file and what followed it.
    pub(super) fn ended(
        &mut self,
        outcome: &Outcome,
        took: Duration,
        content: (usize, &[u8]),
        is_retry: bool,
    ) {
        self.in_flight -= 1;
        match outcome {
            Outcome::Served(served) => self.served(served, took, content),
            Outcome::Refused(refused) => self.refused(refused, took),
            Outcome::Failed(failure) => *self.failures.entry(*failure).or_default() += 1,
        }
        if is_retry {
            self.retries.made += 1;
            match outcome {
                Outcome::Served(_) => self.retries.accepted += 1,
                Outcome::Refused(_) => self.retries.refused += 1,
                Outcome::Failed(_) => self.retries.failed += 1,
            }
        }
    }

    fn served(&mut self, served: &Served, took: Duration, (file, tail): (usize, &[u8])) {
        self.succeeded += 1;
        self.latency.record(took);
        self.last_success = self.began.elapsed();
        self.bytes_received += served.bytes;
        // Of several profiles, each result.
        for cache in served.cache.split(',').map(str::trim) {
            let cache = if cache.is_empty() { "unknown" } else { cache };
            if self.caches.len() < KINDS_MAX || self.caches.contains_key(cache) {
                *self.caches.entry(cache.to_owned()).or_default() += 1;
            }
        }
        *self.hops.entry(Hops::of(&served.route).name()).or_default() += 1;
        self.contents.insert((file, tail.to_vec()));
    }

    fn refused(&mut self, refused: &Refused, took: Duration) {
        let kind = (refused.status, refused.problem.clone());
        if self.refused.len() < KINDS_MAX || self.refused.contains_key(&kind) {
            self.refused.entry(kind).or_default().record(took);
        }
    }

    fn refusals(&self) -> Vec<Refusals> {
        let one = |((status, problem), spread): (&(u16, String), &Spread)| Refusals {
            status: *status,
            problem: problem.clone(),
            count: spread.0.len(),
            times: spread.times(),
        };
        self.refused.iter().map(one).collect()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            elapsed: self.began.elapsed(),
            requests: self.requests,
            in_flight: self.in_flight,
            succeeded: self.succeeded,
            refused: self.refused.values().map(|spread| spread.0.len()).sum(),
            failed: self.failures.values().sum(),
            median_ms: self.latency.times().median_ms,
            mean_ms: self.latency.0.mean() / 1000.0,
        }
    }

    pub(super) fn latency(&self) -> Latency {
        Latency {
            times: self.latency.times(),
            last_success_ms: self.last_success.as_millis() as u64,
            per_s: per_second(self.succeeded, self.last_success),
        }
    }

    /// What a report takes over as it is: refusals, failures, caches, hops, distinct contents.
    #[expect(clippy::type_complexity, reason = "taken apart at once by its only caller")]
    pub(super) fn kinds(
        &self,
    ) -> (Vec<Refusals>, BTreeMap<&'static str, u64>, BTreeMap<String, u64>, BTreeMap<&'static str, u64>, usize)
    {
        let failures = self.failures.iter().map(|(failure, count)| (failure.name(), *count)).collect();
        (self.refusals(), failures, self.caches.clone(), self.hops.clone(), self.contents.len())
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { (count as f64 / time.as_secs_f64() * 1000.0).round() / 1000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn outcomes_are_counted_by_kind() {
        let mut tally = Tally::new(Instant::now());
        let served = |cache: &str, route: &str| {
            Outcome::Served(Served { cache: cache.into(), route: route.into(), bytes: 10 })
        };
        let refused = |status, problem: &str| {
            Outcome::Refused(Refused { status, problem: problem.into(), retry_after: None })
        };
        let all = [
            (served("miss", "node1/FRA"), 100, 0, false),
            (served("hit", "node1/FRA"), 1, 0, false),
            (served("joined", "node1/FRA -> node2/IAD"), 300, 1, true),
            (refused(503, "saturated"), 20, 2, false),
            (refused(503, "saturated"), 40, 2, true),
            (refused(504, "deadline-passed"), 40_000, 2, false),
            (Outcome::Failed(Failure::TimedOut), 40_000, 2, true),
        ];
        for (outcome, took, file, retry) in &all {
            tally.sent(7);
            tally.ended(outcome, ms(*took), (*file, &[]), *retry);
        }
        let (refusals, failures, caches, hops, contents) = tally.kinds();
        assert_eq!((tally.requests, tally.succeeded, tally.in_flight, contents), (7, 3, 0, 2));
        assert_eq!((tally.bytes_sent, tally.bytes_received), (49, 30));
        assert_eq!(
            refusals.iter().map(|kind| (kind.status, kind.count)).collect::<Vec<_>>(),
            [(503, 2), (504, 1)]
        );
        assert!((refusals[0].times.max_ms - 40.0).abs() < 0.1, "{refusals:?}");
        assert_eq!(failures, [("timeout", 1)].into());
        assert_eq!(caches, [("hit".into(), 1), ("joined".into(), 1), ("miss".into(), 1)].into());
        assert_eq!(hops, [("local", 2), ("cross_zone", 1)].into());
        assert!((tally.latency().times.median_ms - 100.0).abs() < 0.2);
        let retries = Retries { made: 3, accepted: 1, refused: 1, failed: 1 };
        assert_eq!(tally.retries, retries);
        assert_eq!(retries.accepted_share(), Some(0.333));
    }

    #[test]
    fn a_server_that_invents_kinds_fills_no_memory() {
        let mut tally = Tally::new(Instant::now());
        for kind in 0..1000 {
            tally.sent(0);
            let served = Served { cache: kind.to_string(), ..Served::default() };
            tally.ended(&Outcome::Served(served), ms(1), (0, &[]), false);
            tally.sent(0);
            let refused = Refused { status: 400, problem: kind.to_string(), retry_after: None };
            tally.ended(&Outcome::Refused(refused), ms(1), (0, &[]), false);
        }
        assert_eq!((tally.caches.len(), tally.refused.len()), (KINDS_MAX, KINDS_MAX));
    }
}
