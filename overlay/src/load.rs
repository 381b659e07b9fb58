//! What a node tells the others of its load, on every ping and ack.

use serde::{Deserialize, Serialize};

/// One reading of a node's load. Fixed number of fields, all of them small: it rides on every ping and ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSample {
    /// Counts up with every sample of one boot, and begins anew from 0 after 65,535 (serial numbers, RFC 1982).
    pub seq: u16,
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
    /// What it encodes in hardware, one bit a codec, as its user numbers them. Told by the node itself alone: a sample that came by way
    /// of others has what the node last said.
    pub hardware: u8,
}

impl LoadSample {
    /// Whether it was taken after `other`, by their numbers; right as long as less than 32,768 lie between them.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        self.seq.wrapping_sub(other.seq).cast_signed() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around() {
        let sample = |seq| LoadSample { seq, ..LoadSample::default() };
        assert!(sample(1).is_newer_than(&sample(0)));
        assert!(!sample(0).is_newer_than(&sample(0)));
        assert!(sample(3).is_newer_than(&sample(u16::MAX)) && !sample(u16::MAX).is_newer_than(&sample(3)));
    }
}
