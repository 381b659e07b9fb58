//! What a node tells the others of its load, on every ping and ack.

use serde::{Deserialize, Serialize};

/// What a job takes on a node that does not know yet.
const SERVICE_GUESS_MS: u32 = 5_000;

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
    /// Measured speed of one worker, in thousands of pixels of work a second; 0 before the first transcode. Where the measurement allows
    /// it, that of most peers: then nobody goes by differences that are none.
    pub kilopixels_per_s: u32,
    /// How long a job that comes now is likely to wait for a worker, in milliseconds; 0 where one is free, and from a node of an older
    /// release.
    pub backlog_ms: u32,
    /// What it encodes in hardware, one bit a codec, as its user numbers them. Told by the node itself alone: a sample that came by way
    /// of others has what the node last said.
    pub hardware: u8,
}

impl LoadSample {
    /// When a job that takes a worker of this node so much work is likely to be done here, in milliseconds from now: what stands before
    /// it, and the work at this node's speed. `work_kilopixels` 0: a job as this node usually has.
    pub(crate) fn finish_ms(&self, work_kilopixels: u64) -> u32 {
        let usual_ms = if self.service_ms == 0 { SERVICE_GUESS_MS } else { self.service_ms };
        let work_ms = match u64::from(self.kilopixels_per_s) {
            0 => usual_ms.into(),
            _ if work_kilopixels == 0 => usual_ms.into(),
            speed => work_kilopixels * 1000 / speed,
        };
        let finish_ms = u64::from(self.wait_ms(usual_ms)) + work_ms;
        u32::try_from(finish_ms).unwrap_or(u32::MAX)
    }

    /// As it says, or, from a node of an older release, by its jobs: of those that run, half is done on average.
    fn wait_ms(&self, usual_ms: u32) -> u32 {
        let (queued, running) = (u64::from(self.queued_jobs), u64::from(self.running_jobs));
        let workers = u64::from(self.workers.max(1));
        if self.backlog_ms > 0 || queued + running < workers {
            return self.backlog_ms;
        }
        let wait_ms = u64::from(usual_ms) * (2 * queued + running) / 2 / workers;
        u32::try_from(wait_ms).unwrap_or(u32::MAX)
    }

    /// The work of a job as this node usually has, in thousands of pixels; 0 where it does not know.
    pub(crate) fn usual_kilopixels(&self) -> u64 {
        u64::from(self.service_ms) * u64::from(self.kilopixels_per_s) / 1000
    }

    /// Whether it was taken after `other`, by their numbers; right as long as less than 32,768 lie between them.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        self.seq.wrapping_sub(other.seq).cast_signed() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_done_after_what_stands_before_it_and_its_work() {
        let sample = |queued_jobs, running_jobs| LoadSample {
            queued_jobs,
            running_jobs,
            workers: 2,
            service_ms: 4_000,
            kilopixels_per_s: 50_000,
            ..LoadSample::default()
        };
        assert_eq!(sample(0, 1).usual_kilopixels(), 200_000);
        assert_eq!(sample(0, 1).finish_ms(200_000), 4_000);
        assert_eq!(sample(0, 1).finish_ms(100_000), 2_000, "half of the work");
        assert_eq!(sample(0, 1).finish_ms(0), 4_000, "as usual");
        // Two that run and one that waits: 4 s of work for each of two workers.
        assert_eq!(sample(1, 2).finish_ms(200_000), 4_000 + 4_000);
        assert_eq!(LoadSample { backlog_ms: 700, ..sample(1, 2) }.finish_ms(200_000), 4_700, "as it says");
        assert_eq!(LoadSample::default().finish_ms(200_000), 5_000, "nothing is known");
        let most = LoadSample { backlog_ms: u32::MAX, service_ms: u32::MAX, ..sample(u16::MAX, u16::MAX) };
        assert_eq!(most.finish_ms(u64::from(u32::MAX)), u32::MAX);
        assert_eq!(LoadSample { backlog_ms: 0, kilopixels_per_s: 0, ..most }.finish_ms(1), u32::MAX);
    }

    #[test]
    fn numbers_wrap_around() {
        let sample = |seq| LoadSample { seq, ..LoadSample::default() };
        assert!(sample(1).is_newer_than(&sample(0)));
        assert!(!sample(0).is_newer_than(&sample(0)));
        assert!(sample(3).is_newer_than(&sample(u16::MAX)) && !sample(u16::MAX).is_newer_than(&sample(3)));
    }
}
