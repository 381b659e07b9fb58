//! `score`, the paper's policy: a weighted sum of normalized load and normalized round-trip time, lowest wins.
//!
//! Source: "Decentralized Video Transcoding with Adaptive Offloading and Gossip-Driven Peer Discovery" (2025), section on routing.

use std::time::Duration;

use starling_overlay::LoadSample;

use super::roster::Row;
use super::walk::Node;

/// A round trip up to this counts as no distance (the paper's least RTT).
const RTT_MS_MIN: f64 = 10.0;
/// A round trip from this on counts as full distance (the paper's greatest RTT).
const RTT_MS_MAX: f64 = 250.0;
/// What an RTT that nobody measured is taken for.
pub const RTT_UNKNOWN: Duration = Duration::from_millis(100);
/// Greatest load apart from the queue: 100 % of CPU and 100 % of memory.
const LOAD_PERCENT_MAX: f64 = 200.0;

/// How much load and distance count; the paper's are 0.3 and 0.7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreWeights {
    load: f64,
    rtt: f64,
}

/// Why a pair of weights can't be used.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("weights must be finite, not negative and not both zero; got load {load} and rtt {rtt}")]
pub struct WeightError {
    load: f64,
    rtt: f64,
}

impl ScoreWeights {
    /// 0.3 for load, 0.7 for distance.
    pub const PAPER: Self = Self { load: 0.3, rtt: 0.7 };

    /// Weight of load.
    pub fn load(self) -> f64 {
        self.load
    }

    /// Weight of round-trip time.
    pub fn rtt(self) -> f64 {
        self.rtt
    }

    /// Checked weights.
    pub fn new(load: f64, rtt: f64) -> Result<Self, WeightError> {
        let usable = |weight: f64| weight.is_finite() && weight >= 0.0;
        if usable(load) && usable(rtt) && load + rtt > 0.0 {
            Ok(Self { load, rtt })
        } else {
            Err(WeightError { load, rtt })
        }
    }

    pub(super) fn score(self, load: &LoadSample, rtt: Duration) -> f64 {
        self.load * normalized_load(load) + self.rtt * normalized_rtt(rtt)
    }

    /// The same of a peer. One of which no fresh sample is here has none: nothing is known that could speak for it.
    #[inline]
    pub(super) fn figure(self, row: &Row, node: &Node) -> f64 {
        if node.known { self.of_row(row) } else { f64::INFINITY }
    }

    /// The same if its sample is fresh.
    #[inline]
    pub(super) fn of_row(self, row: &Row) -> f64 {
        self.load * row.normalized_load + self.rtt * row.normalized_rtt
    }
}

impl Default for ScoreWeights {
    fn default() -> Self {
        Self::PAPER
    }
}

/// `(cpu % + queued jobs + memory %) / (200 + queue capacity)`: 0 is idle, 1 is full in every respect.
pub(super) fn normalized_load(load: &LoadSample) -> f64 {
    let percent = f64::from(load.cpu_permille) / 10.0 + f64::from(load.memory_permille) / 10.0;
    (percent + f64::from(load.queued_jobs)) / (LOAD_PERCENT_MAX + f64::from(load.queue_capacity_jobs))
}

/// `(rtt - 10 ms) / (250 ms - 10 ms)`, clamped to 0..=1.
pub(super) fn normalized_rtt(rtt: Duration) -> f64 {
    ((rtt.as_secs_f64() * 1e3 - RTT_MS_MIN) / (RTT_MS_MAX - RTT_MS_MIN)).clamp(0.0, 1.0)
}
