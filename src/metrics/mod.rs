//! Counters of a node, in the text formats that Prometheus reads.
//!
//! What happens is counted as it is told ([`Observer`]): `jobs.rs`. What is, is read when somebody asks: the rest.

mod format;
mod jobs;
mod overlay;
mod peers;
mod process;
mod zones;

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use starling_overlay::{MemberState, View};

pub use format::Format;
pub use process::Host;

use crate::events::{NodeEvent, Observer};
use crate::offload::StandingStats;
use crate::store::CacheStats;
use crate::workers::PoolStats;

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
#[derive(Debug, Default)]
pub struct Metrics {
    jobs: jobs::Jobs,
}

impl Observer for Metrics {
    fn observe(&self, event: &NodeEvent<'_>) {
        self.jobs.observe(event);
    }
}

/// What is read from a node's parts.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Queue and workers.
    pub pool: &'a PoolStats,
    /// Results.
    pub cache: &'a CacheStats,
    /// What peers did wrong.
    pub standings: &'a StandingStats,
    /// The membership.
    pub view: &'a View,
    /// Uploads in parts that are not whole yet, and what has come of them, in bytes.
    pub uploads: (usize, u64),
    /// Jobs held here that have not come to their end, and how many of them run.
    pub jobs: (usize, usize),
    /// The machine.
    pub host: Host,
}

impl Metrics {
    /// All of it, with what the parts say now.
    pub fn text(&self, reading: &Reading<'_>, format: Format) -> Result<String, std::fmt::Error> {
        let mut all = Registry::default();
        process::register(&mut all);
        let registry = all.sub_registry_with_prefix("starling");
        self.jobs.register(registry);
        register_pool(registry, reading.pool);
        register_cache(registry, reading.cache);
        register_uploads(registry, reading.uploads);
        register_held_jobs(registry, reading.jobs);
        registry.register("members", "Members as this node sees them, by state", members(reading.view));
        peers::register(registry, reading.standings);
        overlay::register(registry, &reading.view.stats);
        zones::register(registry, reading.view, Instant::now());
        reading.host.register(registry);
        let mut out = String::new();
        text::encode(&mut out, &all)?;
        Ok(format.of(out))
    }
}

fn register_pool(registry: &mut Registry, pool: &PoolStats) {
    let started = ConstCounter::new(pool.transcodes_total);
    registry.register("transcodes", "Transcodes begun on this node: ffmpeg was started", started);
    let failed = ConstCounter::new(pool.failures_total);
    registry.register("transcode_failures", "Transcodes that ended without a result", failed);
    let killed = ConstCounter::new(crate::workers::sandbox::violations_total());
    registry.register("sandbox_violations", "Media tools killed for a forbidden system call", killed);
    let help = "CPU of ffmpeg and ffprobe: of runs with a result in time, and of those in vain";
    registry.register_with_unit("tool_cpu", help, Unit::Seconds, tool_cpu(pool));
    let own = crate::load::cpu_time(std::process::id()).unwrap_or_default();
    let help = "CPU of the node itself, without its tools";
    registry.register_with_unit("node_cpu", help, Unit::Seconds, ConstCounter::new(own.as_secs_f64()));
    registry.register("queued_jobs", "Jobs waiting for a worker", gauge(pool.queued));
    registry.register("queue_capacity_jobs", "Jobs that may wait for a worker", gauge(pool.queue_capacity));
    registry.register("running_jobs", "Jobs being transcoded", gauge(pool.running));
    registry.register("workers", "Transcodes that may run at once", gauge(pool.workers));
}

/// What Prometheus's conventions call parts of one; the library's own word for it is a plural.
fn ratio() -> Unit {
    Unit::Other("ratio".to_owned())
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

fn register_uploads(registry: &mut Registry, (count, bytes): (usize, u64)) {
    registry.register("unfinished_uploads", "Uploads in parts that have not become jobs", gauge(count));
    let help = "What has come of uploads in parts that have not become jobs";
    registry.register_with_unit("unfinished_uploads_size", help, Unit::Bytes, gauge(bytes));
}

fn register_held_jobs(registry: &mut Registry, (all, running): (usize, usize)) {
    let held = Family::<StateLabel, Gauge<i64, AtomicI64>>::default();
    for (state, count) in [("queued", all.saturating_sub(running)), ("running", running)] {
        held.get_or_create(&StateLabel { state }).set(count.try_into().unwrap_or(i64::MAX));
    }
    let help = "Jobs accepted that this node holds and that have not come to their end: waiting for their turn, or under way";
    registry.register("held_jobs", help, held);
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
