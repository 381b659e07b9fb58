//! What a node tells the others of its load, on every ping and ack.

use serde::{Deserialize, Serialize};

/// One reading of a node's load. Fixed number of fields, all of them small: it rides on every ping and ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSample {
    /// Counts up with every sample of one boot; a sample with a lower number is older and is ignored.
    pub seq: u32,
    /// CPU in use, in thousandths of what the node may use (cgroup limits respected), 0..=1000.
    pub cpu_permille: u16,
    /// Memory in use, in thousandths of what the node may use, 0..=1000.
    pub memory_permille: u16,
    /// Jobs waiting for a worker.
    pub queued_jobs: u16,
    /// How many jobs may wait at most.
    pub queue_capacity_jobs: u16,
    /// Jobs being transcoded now.
    pub running_jobs: u16,
    /// ffmpeg children that may run at once.
    pub workers: u16,
    /// Recent mean time of one transcode, in milliseconds; 0 before the first one.
    pub service_ms: u32,
    /// Measured speed of one worker, in thousands of pixels of work a second; 0 before the first transcode.
    pub kilopixels_per_s: u32,
}
