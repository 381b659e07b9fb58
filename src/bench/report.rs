//! The report as JSON: `report.json`, whose fields docs/API.md tells. Times are in the unit that their name says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::plan::Experiment;
use crate::client::load::Recording;

/// The shape of the report; a change that a reader has to know of raises it.
pub const FORMAT: u32 = 1;

/// All of a bench.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Of this document.
    pub format: u32,
    /// Version of the program.
    pub starling: String,
    /// When it began (RFC 3339).
    pub begun: String,
    /// Whether all that was asked for is in it.
    pub complete: bool,
    /// What was asked for.
    pub settings: Settings,
    /// What it ran on.
    pub machine: Machine,
    /// What a reader has to know of how this came about.
    pub notes: Vec<String>,
    /// A run of uploads each, in the order in which they were run.
    pub cells: Vec<CellReport>,
    /// Labs that were started to see them converge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convergence: Option<Convergence>,
    /// What jobs were predicted to take beside what they took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The same uploads on the lab and in the simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// In their order.
    pub experiments: Vec<Experiment>,
    /// The first one.
    pub seed: u64,
    /// How many, from that one on.
    pub seeds: u64,
    /// For how long a cell sends.
    pub duration_s: f64,
    /// Of each lab.
    pub nodes: u8,
    /// Parts of the cluster's capacity.
    pub loads: Vec<f64>,
    /// Uploads in flight in a closed loop; none: an open loop.
    pub parallel: Option<u16>,
    /// How long one upload may take.
    pub timeout_ms: u64,
    /// What each upload is made into.
    pub profile: String,
    /// Whether it was made to see that all works and not to measure.
    pub short: bool,
    /// Cells that are to be run in all.
    pub cells: usize,
}

/// What it ran on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The processor's name; empty if it is not known.
    pub cpu: String,
    /// The first line of what ffmpeg says of itself.
    pub ffmpeg: String,
    /// Videos that are sent, with their bytes.
    pub clips: Vec<(String, u64)>,
    /// Whether they were made from the seed.
    pub clips_made: bool,
    /// Transcodes a second of bare ffmpeg on these clips, so many at once as there are cores.
    pub bare_per_s: f64,
    /// What is taken for the cluster's capacity: load 1 is so many uploads a second.
    pub capacity_per_s: f64,
    /// Cores that each node of the lab may use; none: they are not limited.
    pub cpus_per_node: Option<f64>,
    /// How the nodes were kept apart: `namespaces`, `user-namespaces`, `loopback`; empty before the first lab.
    pub isolation: String,
    /// What shaped the links: `tc`, `nfqueue`, `none`; empty before the first lab.
    pub links: String,
}

/// One run of uploads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellReport {
    /// Which experiment's.
    pub experiment: Experiment,
    /// `eta`, `score 0.3/0.7`.
    pub setting: String,
    /// The policy alone.
    pub policy: String,
    /// Weights of load and of round-trip time, if it is `score`.
    pub weights: Option<(f64, f64)>,
    /// As a part of the cluster's capacity; none in a closed loop.
    pub load: Option<f64>,
    /// Decided files, nodes and times.
    pub seed: u64,
    /// Nodes that uploads were sent to.
    pub sent_to: Vec<String>,
    /// Uploads sent.
    pub requests: u64,
    /// Answered with a result in time.
    pub succeeded: u64,
    /// The part of the requests that succeeded.
    pub success_ratio: f64,
    /// Results a second in the time in which uploads were sent.
    pub throughput_per_s: f64,
    /// Of results, from the first byte sent to the last one received.
    pub latency: Latency,
    /// Answers with an error status, by status.
    pub refused: BTreeMap<String, u64>,
    /// Uploads without an answer, by what happened.
    pub failed: BTreeMap<String, u64>,
    /// Results by how far their jobs went, as their clients were told: `local`, `same_zone`, `cross_zone`.
    pub results: BTreeMap<String, u64>,
    /// What the nodes counted.
    pub counters: Counters,
    /// The part of the offloads that stayed in their region; none without any.
    pub offloads_same_region_ratio: Option<f64>,
    /// The same of responses.
    pub responses_same_region_ratio: Option<f64>,
    /// Responses that came of offloads, by region.
    pub response_to_offload: ResponseToOffload,
    /// What was killed, and how the cluster took it.
    pub failure: Option<Failure>,
    /// Length of one point of the series.
    pub series_period_s: f64,
    /// Throughput and latency over time.
    pub series: Vec<Point>,
}

/// How latencies spread, in milliseconds; all 0 without a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the unit stands in each name, here and in the document")]
pub struct Latency {
    /// Arithmetic mean.
    pub mean_ms: f64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 95 % took no longer.
    pub p95_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
}

/// Responses by offloads; none where there was no offload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseToOffload {
    /// Within a region.
    pub same_region: Option<f64>,
    /// Between regions.
    pub cross_region: Option<f64>,
    /// Both.
    pub all: Option<f64>,
}

/// Nodes that were killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub nodes: Vec<String>,
    /// When, after the first upload could be sent.
    pub at_s: f64,
    /// Of the uploads that were sent before; none without any.
    pub success_ratio_before: Option<f64>,
    /// Of those sent from then on.
    pub success_ratio_after: Option<f64>,
    /// From the kill until more than 90 % succeed for good, by when the uploads were sent; 0: it never was less. None: not
    /// before the end.
    pub recovered_after_s: Option<f64>,
}

/// One part of the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its begin.
    pub at_s: f64,
    /// Results that came in it, a second.
    pub throughput_per_s: f64,
    /// Their mean latency; none without a result.
    pub latency_mean_ms: Option<f64>,
    /// Of the uploads that were sent in it; none without any.
    pub success_ratio: Option<f64>,
}

/// Labs that were started to see them converge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// Of each lab.
    pub nodes: u8,
    /// Of each lab: from the start of the first node's process until all nodes saw all and were ready, in milliseconds.
    pub runs_ms: Vec<u64>,
}

impl Convergence {
    /// The least, the median and the greatest; none before the first run.
    pub fn spread_ms(&self) -> Option<(u64, u64, u64)> {
        let mut runs = self.runs_ms.clone();
        runs.sort_unstable();
        Some((*runs.first()?, *runs.get(runs.len() / 2)?, *runs.last()?))
    }
}

/// What jobs were predicted to take beside what they took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// A profile each, of which at least one job was predicted.
    pub rows: Vec<CalibrationRow>,
}

/// Jobs of one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRow {
    /// What was made.
    pub profile: String,
    /// Jobs that were done.
    pub jobs: u64,
    /// Those of them of which something was predicted when they began.
    pub predicted: u64,
    /// What they took on average.
    pub took_mean_ms: f64,
    /// Relative error, `|took - predicted| / predicted`, that half of them do not exceed.
    pub error_p50: f64,
    /// The same of nine tenths.
    pub error_p90: f64,
    /// How many times the prediction half of them took at the most.
    pub took_by_predicted_p50: f64,
    /// The same of nine tenths: what admission has to count with.
    pub took_by_predicted_p90: f64,
}

/// The same uploads on the lab and in the simulator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// A cell each.
    pub rows: Vec<ValidationRow>,
    /// What the simulator got of each, by `validation-1.jsonl` and so on.
    #[serde(skip)]
    pub recorded: Vec<Recording>,
}

/// One cell on both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRow {
    /// As of a cell.
    pub setting: String,
    /// As of a cell.
    pub load: Option<f64>,
    /// As of a cell.
    pub seed: u64,
    /// Uploads that came to both.
    pub requests: u64,
    /// How long a job kept a worker, on average: the same on both.
    pub service_mean_ms: f64,
    /// On the lab.
    pub measured: Side,
    /// In the simulator.
    pub simulated: Side,
}

/// What came of the uploads on one of them; latencies are 0 without a result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The part that had a result in time.
    pub success_ratio: f64,
    /// Mean latency of these.
    pub mean_ms: f64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
}
