//! What is remembered between two looks: each node's counters over the last minute, the cluster's series, since when a member is in
//! its state. All of it bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use starling_overlay::{MemberState, NodeName, View};
use tokio::sync::watch;

use super::figures::{Counts, Figures};
use super::state::NodeFigures;

/// How often figures are read.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
/// What "in the last minute" means, and how many readings are in it at the most.
const WINDOW: Duration = Duration::from_secs(60);
const READINGS_MAX: usize = 32;
/// Points of the series: a quarter of an hour.
const POINTS_MAX: usize = 450;
/// Nodes that are remembered.
const NODES_MAX: usize = 2_000;

/// The columns of a point, in the order in which they are told.
pub const COLUMNS: [&str; 13] = [
    "at_s",
    "throughput",
    "success",
    "p50_s",
    "p95_s",
    "p99_s",
    "cpu",
    "queued",
    "running",
    "offloads_same_per_min",
    "offloads_cross_per_min",
    "responses_same_per_min",
    "responses_cross_per_min",
];

/// The cluster at one moment, in the order of [`COLUMNS`].
pub type Point = [Option<f64>; COLUMNS.len()];

/// A part of the series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// What each point has.
    pub columns: [&'static str; COLUMNS.len()],
    /// The number of the first point; each further one has the next number.
    pub first: u64,
    /// The points.
    pub points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    counts: Counts,
}

/// One node's recent readings.
#[derive(Debug, Default)]
struct Meter {
    readings: VecDeque<Reading>,
    figures: Figures,
}

impl Meter {
    fn read(&mut self, at: Instant, figures: Figures) {
        if (figures.started_s - self.figures.started_s).abs() > 1.0 {
            self.readings.clear();
        }
        self.readings.push_back(Reading { at, counts: figures.counts });
        self.figures = figures;
        while self.readings.len() > READINGS_MAX
            || self.readings.front().is_some_and(|first| at.saturating_duration_since(first.at) > WINDOW)
        {
            self.readings.pop_front();
        }
    }

    /// What was counted in the last minute, and in what time that was.
    fn lately(&self) -> (Counts, Duration) {
        match (self.readings.front(), self.readings.back()) {
            (Some(first), Some(last)) => (last.counts.since(&first.counts), last.at - first.at),
            _ => (Counts::default(), Duration::ZERO),
        }
    }
}

/// So many a minute.
fn per_minute(count: u64, time: Duration) -> f64 {
    per_second(count, time) * 60.0
}

fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { rounded(count as f64 / time.as_secs_f64(), 1_000.0) }
}

/// No more digits than are shown: the document is sent each second.
pub(super) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[derive(Debug, Default)]
struct Memory {
    meters: BTreeMap<NodeName, Meter>,
    states: BTreeMap<NodeName, (MemberState, Instant)>,
    points: VecDeque<Point>,
    /// Number of the next point.
    next: u64,
}

/// What is remembered, and those who watch.
#[derive(Debug, Default)]
pub struct Board {
    memory: Mutex<Memory>,
    /// The newest state as JSON, made once for all who watch.
    pub(super) published: watch::Sender<Published>,
}

/// What those who watch are sent.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Counts up.
    pub tick: u64,
    /// The state as JSON.
    pub state: bytes::Bytes,
    /// Nothing follows.
    pub closed: bool,
}

impl Board {
    /// What was read of nodes at this moment. Those that are no members any more are forgotten.
    pub fn read(&self, view: &View, figures: Vec<(NodeName, Figures)>) {
        let now = Instant::now();
        let mut memory = self.memory.lock();
        let known = |name: &NodeName| view.members().any(|member| member.identity.name == *name);
        memory.meters.retain(|name, meter| {
            let fresh =
                meter.readings.back().is_some_and(|last| now.saturating_duration_since(last.at) < WINDOW);
            fresh && known(name)
        });
        for (name, figures) in figures {
            if memory.meters.len() < NODES_MAX || memory.meters.contains_key(&name) {
                memory.meters.entry(name).or_default().read(now, figures);
            }
        }
        let point = memory.point(view);
        memory.push(point);
    }

    /// Takes points that were kept elsewhere, oldest first.
    pub fn restore(&self, points: impl IntoIterator<Item = Point>) {
        let mut memory = self.memory.lock();
        points.into_iter().for_each(|point| memory.push(point));
    }

    /// The newest point, and its number.
    pub fn newest(&self) -> Option<(u64, Point)> {
        let memory = self.memory.lock();
        memory.points.back().map(|point| (memory.next - 1, *point))
    }

    /// The points after this number; all without one, or where some between are gone.
    pub fn series(&self, after: Option<u64>) -> Series {
        let memory = self.memory.lock();
        let oldest = memory.next - memory.points.len() as u64;
        let first = after.map_or(oldest, |after| after.saturating_add(1));
        let first = if (oldest..=memory.next).contains(&first) { first } else { oldest };
        let points = memory.points.iter().skip((first - oldest) as usize).copied().collect();
        Series { columns: COLUMNS, first, points }
    }

    /// A node's figures, if it gave any in the last minute.
    pub(super) fn figures(&self, name: &NodeName) -> Option<(NodeFigures, Figures)> {
        let memory = self.memory.lock();
        let meter = memory.meters.get(name)?;
        Some((meter.told(), meter.figures.clone()))
    }

    /// What all nodes have counted in the last minute.
    pub(super) fn lately(&self) -> Counts {
        let memory = self.memory.lock();
        let mut all = Counts::default();
        memory.meters.values().for_each(|meter| all.add(&meter.lately().0));
        all
    }

    /// For how long each member is known to be in its state.
    pub(super) fn ages(&self, view: &View) -> BTreeMap<NodeName, Duration> {
        let now = Instant::now();
        let mut memory = self.memory.lock();
        let before = std::mem::take(&mut memory.states);
        for member in view.members().take(NODES_MAX) {
            let name = &member.identity.name;
            let since = before.get(name).filter(|(state, _)| *state == member.state);
            memory.states.insert(name.clone(), (member.state, since.map_or(now, |(_, since)| *since)));
        }
        let age = |(name, (_, since)): (&NodeName, &(MemberState, Instant))| {
            (name.clone(), now.saturating_duration_since(*since))
        };
        memory.states.iter().map(age).collect()
    }

    /// Whether the state is sent to anybody.
    pub fn is_watched(&self) -> bool {
        self.published.receiver_count() > 0
    }

    /// Ends all streams: the node is leaving.
    pub fn close(&self) {
        self.published.send_modify(|published| published.closed = true);
    }
}

impl Memory {
    fn push(&mut self, point: Point) {
        self.points.push_back(point);
        self.next += 1;
        if self.points.len() > POINTS_MAX {
            self.points.pop_front();
        }
    }

    fn point(&self, view: &View) -> Point {
        let (mut all, mut longest) = (Counts::default(), Duration::ZERO);
        for meter in self.meters.values() {
            let (counts, time) = meter.lately();
            all.add(&counts);
            longest = longest.max(time);
        }
        let live: Vec<_> = view
            .members()
            .filter(|member| member.state.is_live() && !member.identity.is_observer())
            .filter_map(|member| member.load.map(|load| load.sample))
            .collect();
        let sum = |figure: fn(&starling_overlay::LoadSample) -> u16| {
            live.iter().map(|sample| f64::from(figure(sample))).sum::<f64>()
        };
        let cpu = (!live.is_empty())
            .then(|| rounded(sum(|sample| sample.cpu_permille) / 1000.0 / live.len() as f64, 1_000.0));
        let at_s = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map(|since| rounded(since.as_secs_f64(), 10.0));
        let quantile = |part| all.latency.quantile(part).map(|s| rounded(s, 1_000.0));
        [
            at_s.ok(),
            Some(per_second(all.ok, longest)),
            all.success().map(|part| rounded(part, 1_000.0)),
            quantile(0.5),
            quantile(0.95),
            quantile(0.99),
            cpu,
            Some(sum(|sample| sample.queued_jobs)),
            Some(sum(|sample| sample.running_jobs)),
            Some(per_minute(all.offloads_same, longest)),
            Some(per_minute(all.offloads_cross, longest)),
            Some(per_minute(all.responses_same, longest)),
            Some(per_minute(all.responses_cross, longest)),
        ]
    }
}

impl Meter {
    fn told(&self) -> NodeFigures {
        let (lately, time) = self.lately();
        let (all, figures) = (&self.figures.counts, &self.figures);
        let (enqueued, dequeued) = (per_minute(lately.enqueued, time), per_minute(lately.dequeued, time));
        let quantile = |part| lately.latency.quantile(part).map(|s| rounded(s, 1_000.0));
        NodeFigures {
            enqueued_per_min: enqueued,
            dequeued_per_min: dequeued,
            growth_per_min: rounded(enqueued - dequeued, 1_000.0),
            uploads: all.answered(),
            ok: all.ok,
            refused: all.refused,
            failed: all.failed,
            local: all.local,
            local_per_min: per_minute(lately.local, time),
            transcodes: all.transcodes,
            transcode_failures: all.transcode_failures,
            offloads_same: all.offloads_same,
            offloads_cross: all.offloads_cross,
            offloads_failed: all.offloads_failed,
            responses_same: all.responses_same,
            responses_cross: all.responses_cross,
            cache_hits: all.cache_hits,
            cache_misses: all.cache_misses,
            cache_joins: all.cache_joins,
            evictions: all.evictions,
            cached_results: figures.cached_results,
            cache_bytes: figures.cache_bytes,
            cache_budget_bytes: figures.cache_budget_bytes,
            accepted_waiting: figures.accepted_waiting,
            accepted_running: figures.accepted_running,
            resident_bytes: figures.resident_bytes,
            disk_free_bytes: figures.disk_free_bytes,
            throughput: per_second(lately.ok, time),
            success: lately.success().map(|part| rounded(part, 1_000.0)),
            p50_s: quantile(0.5),
            p95_s: quantile(0.95),
            p99_s: quantile(0.99),
            probes_lost: (lately.pings > 0)
                .then(|| rounded((lately.probes_failed as f64 / lately.pings as f64).min(1.0), 1_000.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_minute_is_told_and_a_restart_begins_it_anew() {
        let now = Instant::now();
        let mut meter = Meter::default();
        let figures = |started_s, enqueued| Figures {
            started_s,
            counts: Counts { enqueued, ..Counts::default() },
            ..Figures::default()
        };
        for (seconds, enqueued) in [(0, 100), (30, 130), (60, 160), (90, 250)] {
            meter.read(now + Duration::from_secs(seconds), figures(5.0, enqueued));
        }
        assert_eq!(Some(meter.told().enqueued_per_min), Some(120.0), "of the minute from 30 s on");
        meter.read(now + Duration::from_secs(92), figures(91.0, 7));
        assert_eq!(
            Some(meter.told().enqueued_per_min),
            Some(0.0),
            "nothing lies between one reading and itself"
        );
        meter.read(now + Duration::from_secs(94), figures(91.0, 8));
        assert_eq!(Some(meter.told().enqueued_per_min), Some(30.0));
        for n in 0..1000 {
            meter.read(now + Duration::from_millis(94_000 + n), figures(91.0, 8));
        }
        assert!(meter.readings.len() <= READINGS_MAX);
    }

    #[test]
    fn whoever_comes_back_gets_what_it_missed() {
        let board = Board::default();
        let point = |at: f64| {
            let mut point = Point::default();
            point[0] = Some(at);
            point
        };
        assert_eq!(board.series(None).points, Vec::<Point>::new());
        board.restore((0..POINTS_MAX + 10).map(|n| point(n as f64)));
        let all = board.series(None);
        assert_eq!((all.first, all.points.len(), all.points[0]), (10, POINTS_MAX, point(10.0)));
        let newest = POINTS_MAX as u64 + 9;
        let missed = board.series(Some(newest - 2));
        assert_eq!((missed.first, missed.points.len()), (newest - 1, 2));
        assert_eq!(board.series(Some(newest)).points.len(), 0);
        assert_eq!(board.series(Some(3)).first, 10, "some of what was missed is gone: all of what is left");
        assert_eq!(board.series(Some(newest + 77)).first, 10, "of another boot");
        assert_eq!(board.newest(), Some((newest, point(newest as f64))));
    }
}
