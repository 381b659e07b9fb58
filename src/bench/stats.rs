//! Figures of the records of a run: latencies, what came over time, and how a failure was taken.

use std::collections::BTreeMap;
use std::time::Duration;

use super::report::{Latency, Point};
use crate::client::load::{Ended, Record};

/// A cluster has recovered when more than this part of the uploads succeeds.
const RECOVERED_RATIO: f64 = 0.9;

pub(super) fn is_success(record: &Record) -> bool {
    matches!(record.ended, Ended::Served(_))
}

/// The part of some uploads that succeeded; none without any.
pub(super) fn success_ratio<'a>(records: impl Iterator<Item = &'a Record>) -> Option<f64> {
    let (all, good) =
        records.fold((0u64, 0u64), |(all, good), record| (all + 1, good + u64::from(is_success(record))));
    super::counters::ratio(good, all)
}

pub(super) fn latency(records: &[Record]) -> Latency {
    let mut times: Vec<f64> =
        records.iter().filter(|record| is_success(record)).map(|record| ms(record.took)).collect();
    times.sort_by(f64::total_cmp);
    if times.is_empty() {
        return Latency::default();
    }
    Latency {
        mean_ms: round(times.iter().sum::<f64>() / times.len() as f64),
        p50_ms: round(quantile(&times, 0.5)),
        p95_ms: round(quantile(&times, 0.95)),
        p99_ms: round(quantile(&times, 0.99)),
    }
}

/// The least value that so great a part of them does not exceed. `sorted` is not empty.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// To a tenth of a millisecond.
pub(super) fn round(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// Outcomes by kind: refusals by status, failures, and results by how far they went.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) results: BTreeMap<String, u64>,
}

pub(super) fn kinds(records: &[Record]) -> Kinds {
    let mut kinds = Kinds::default();
    for record in records {
        let (of, name) = match record.ended {
            Ended::Served(hops) => (&mut kinds.results, hops.to_owned()),
            Ended::Refused(status) => (&mut kinds.refused, status.to_string()),
            Ended::Failed(why) => (&mut kinds.failed, why.to_owned()),
        };
        *of.entry(name).or_default() += 1;
    }
    kinds
}

/// Results that came within this time, a second.
pub(super) fn throughput_per_s(records: &[Record], within: Duration) -> f64 {
    let came =
        records.iter().filter(|record| is_success(record) && record.at + record.took <= within).count();
    (came as f64 / within.as_secs_f64().max(1e-3) * 1000.0).round() / 1000.0
}

/// What came over time, until the last upload has ended.
pub(super) fn series(records: &[Record], period: Duration) -> Vec<Point> {
    let end = records.iter().map(|record| record.at + record.took).max().unwrap_or_default();
    let bins = end.div_duration_f64(period).floor() as usize + 1;
    let bin = |at: Duration| at.div_duration_f64(period) as usize;
    let mut latencies = vec![Vec::new(); bins];
    let mut sent = vec![(0u64, 0u64); bins];
    for record in records {
        let (all, good) = &mut sent[bin(record.at)];
        *all += 1;
        if is_success(record) {
            *good += 1;
            latencies[bin(record.at + record.took)].push(ms(record.took));
        }
    }
    let point = |(index, (latencies, (all, good))): (usize, (&Vec<f64>, &(u64, u64)))| Point {
        at_s: index as f64 * period.as_secs_f64(),
        throughput_per_s: latencies.len() as f64 / period.as_secs_f64(),
        latency_mean_ms: (!latencies.is_empty())
            .then(|| round(latencies.iter().sum::<f64>() / latencies.len() as f64)),
        success_ratio: super::counters::ratio(*good, *all),
    };
    latencies.iter().zip(&sent).enumerate().map(point).collect()
}

/// From a failure until more than 90 % of the uploads succeed for good: until the end of the last `window` in which fewer did of
/// the uploads that were sent in it. Zero: there was no such window. None: it was the last of all.
pub(super) fn recovered_after(records: &[Record], failure: Duration, window: Duration) -> Option<Duration> {
    let last_sent = records.iter().map(|record| record.at).max()?;
    let step = window / 5;
    let (mut begin, mut recovered) = (failure, Duration::ZERO);
    while begin <= last_sent {
        let end = begin + window;
        let sent = records.iter().filter(|record| (begin..end).contains(&record.at));
        if success_ratio(sent).is_some_and(|ratio| ratio <= RECOVERED_RATIO) {
            recovered = end.saturating_sub(failure);
        }
        begin += step;
    }
    (failure + recovered <= last_sent).then_some(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at_s: f64, took_s: f64, good: bool) -> Record {
        let ended = if good { Ended::Served("local") } else { Ended::Failed("broken") };
        let (at, took) = (Duration::from_secs_f64(at_s), Duration::from_secs_f64(took_s));
        Record { number: 0, at, took, file: 0, node: Some(0), bytes: 1, ended }
    }

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let records: Vec<_> = (1..=100).map(|n| record(0.0, f64::from(n) / 1000.0, true)).collect();
        let latency = latency(&records);
        assert_eq!(
            (latency.mean_ms, latency.p50_ms, latency.p95_ms, latency.p99_ms),
            (50.5, 50.0, 95.0, 99.0)
        );
        assert_eq!(super::latency(&[record(0.0, 1.0, false)]), Latency::default());
    }

    #[test]
    fn results_count_when_they_come_and_success_when_uploads_are_sent() {
        let records = [record(0.5, 1.0, true), record(1.0, 5.0, true), record(6.0, 1.0, false)];
        let series = series(&records, Duration::from_secs(5));
        let points: Vec<_> =
            series.iter().map(|p| (p.at_s, p.throughput_per_s, p.latency_mean_ms, p.success_ratio)).collect();
        let expected = [(0.0, 0.2, Some(1000.0), Some(1.0)), (5.0, 0.2, Some(5000.0), Some(0.0))];
        assert_eq!(points, expected);
        assert!((throughput_per_s(&records, Duration::from_secs(5)) - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_cluster_has_recovered_when_it_does_not_fall_back() {
        let window = Duration::from_secs(5);
        // One upload each half second; those of 10 to 18 s fail, with one that does not among them.
        let run = |until: f64| -> Vec<_> {
            let uploads = (0..100).map(|n| (n, f64::from(n) / 2.0));
            uploads.map(|(n, at)| record(at, 1.0, at < 10.0 || n == 24 || at >= until)).collect()
        };
        let recovered = |until| recovered_after(&run(until), Duration::from_secs(10), window);
        assert_eq!(recovered(10.0), Some(Duration::ZERO), "it never fell");
        // Windows begin each second; in that of 17 s two of ten fail, in that of 18 s none.
        assert_eq!(recovered(18.0), Some(Duration::from_secs(12)));
        assert_eq!(recovered(60.0), None, "not before the end");
    }
}
