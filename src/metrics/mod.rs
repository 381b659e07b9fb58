//! Counters of a node, in the text format that Prometheus reads.

mod overlay;
mod peers;
mod zones;

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use starling_overlay::{MemberState, View};
use starling_placement::journey::Served;

use crate::offload::StandingStats;
use crate::store::{CacheStats, Object};
use crate::workers::PoolStats;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UploadLabels {
    status: u16,
    cache: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabels {
    tool: &'static str,
    outcome: &'static str,
}

/// What a node counts itself; the rest is read from its parts when somebody asks.
#[derive(Debug)]
pub struct Metrics {
    uploads: Family<UploadLabels, Counter<u64, AtomicU64>>,
    latency: Histogram,
    bytes_in: Counter<u64, AtomicU64>,
    bytes_out: Counter<u64, AtomicU64>,
    hedges: Counter<u64, AtomicU64>,
    hedges_won: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            uploads: Family::default(),
            // 5 ms, a cache hit, to 80 s, past the usual deadline.
            latency: Histogram::new(exponential_buckets(0.005, 2.0, 15)),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            hedges: Counter::default(),
            hedges_won: Counter::default(),
        }
    }
}

impl Metrics {
    /// An upload was answered with a result.
    pub fn served(&self, served: &Served<Object>, elapsed: Duration) {
        let (cache, route) = (served.cache.as_str(), served.route.as_str());
        self.uploads.get_or_create(&UploadLabels { status: 200, cache, route }).inc();
        self.latency.observe(elapsed.as_secs_f64());
        self.bytes_in.inc_by(served.bytes_in);
        self.bytes_out.inc_by(served.object.bytes());
    }

    /// An upload was answered with an error.
    pub fn refused(&self, status: u16) {
        self.uploads.get_or_create(&UploadLabels { status, cache: "", route: "" }).inc();
    }

    /// A job that did not get on where it was is tried elsewhere as well.
    pub fn hedge_begun(&self) {
        self.hedges.inc();
    }

    /// And was done there first.
    pub fn hedge_won(&self) {
        self.hedges_won.inc();
    }

    /// All of it, with what the pool, the cache and the membership say now.
    pub fn text(
        &self,
        pool: &PoolStats,
        cache: &CacheStats,
        standings: &StandingStats,
        view: &View,
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("starling");
        registry.register(
            "uploads",
            "Uploads answered, by status, cache state and route",
            self.uploads.clone(),
        );
        let help = "Time from an upload's arrival to its result";
        registry.register_with_unit("upload_duration", help, Unit::Seconds, self.latency.clone());
        registry.register_with_unit(
            "upload_received",
            "Bytes of uploads",
            Unit::Bytes,
            self.bytes_in.clone(),
        );
        registry.register_with_unit("upload_sent", "Bytes of results", Unit::Bytes, self.bytes_out.clone());
        let started = ConstCounter::new(pool.transcodes_total);
        registry.register("transcodes", "Transcodes begun on this node: ffmpeg was started", started);
        let failed = ConstCounter::new(pool.failures_total);
        registry.register("transcode_failures", "Transcodes that ended without a result", failed);
        let killed = ConstCounter::new(crate::workers::sandbox::violations_total());
        registry.register("sandbox_violations", "Media tools killed for a forbidden system call", killed);
        let help = "CPU of ffmpeg and ffprobe: of runs with a result in time, and of those in vain";
        registry.register_with_unit("tool_cpu", help, Unit::Seconds, tool_cpu(pool));
        let own = crate::load::cpu_time(std::process::id()).unwrap_or_default();
        let own = ConstCounter::new(own.as_secs_f64());
        registry.register_with_unit(
            "node_cpu",
            "CPU of the node itself, without its tools",
            Unit::Seconds,
            own,
        );
        registry.register("queued_jobs", "Jobs waiting for a worker", gauge(pool.queued));
        registry.register("running_jobs", "Jobs being transcoded", gauge(pool.running));
        registry.register("workers", "Transcodes that may run at once", gauge(pool.workers));
        register_cache(&mut registry, cache);
        registry.register("members", "Members as this node sees them, by state", members(view));
        peers::register(&mut registry, standings);
        let help = "Jobs that stalled on a peer and were tried elsewhere as well";
        registry.register("hedges", help, self.hedges.clone());
        registry.register(
            "hedges_won",
            "Those of them that were done elsewhere first",
            self.hedges_won.clone(),
        );
        overlay::register(&mut registry, &view.stats);
        zones::register(&mut registry, view, Instant::now());
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

fn tool_cpu(pool: &PoolStats) -> Family<ToolLabels, Counter<f64, AtomicU64>> {
    let family = Family::<ToolLabels, Counter<f64, AtomicU64>>::default();
    for (tool, (done, wasted)) in [("ffmpeg", pool.ffmpeg_cpu), ("ffprobe", pool.ffprobe_cpu)] {
        for (outcome, time) in [("done", done), ("wasted", wasted)] {
            family.get_or_create(&ToolLabels { tool, outcome }).inc_by(time.as_secs_f64());
        }
    }
    family
}

fn register_cache(registry: &mut Registry, cache: &CacheStats) {
    registry.register("cached_results", "Results in the cache", gauge(cache.entries));
    registry.register_with_unit(
        "cache_size",
        "What the cache takes on disk",
        Unit::Bytes,
        gauge(cache.bytes),
    );
    let help = "What the cache may take on disk";
    registry.register_with_unit("cache_budget", help, Unit::Bytes, gauge(cache.budget_bytes));
}

fn gauge(value: impl TryInto<i64>) -> Gauge<i64, AtomicI64> {
    let gauge = Gauge::default();
    gauge.set(value.try_into().unwrap_or(i64::MAX));
    gauge
}

fn members(view: &View) -> Family<StateLabel, Gauge<i64, AtomicI64>> {
    let family = Family::<StateLabel, Gauge<i64, AtomicI64>>::default();
    let states = [
        (MemberState::Alive, "alive"),
        (MemberState::Suspect, "suspect"),
        (MemberState::Dead, "dead"),
        (MemberState::Left, "left"),
    ];
    for (state, name) in states {
        let count = view.members().filter(|member| member.state == state).count();
        family.get_or_create(&StateLabel { state: name }).set(count.try_into().unwrap_or(i64::MAX));
    }
    family
}
