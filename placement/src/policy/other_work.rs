//! What other work takes of a machine's cores, told of one moment.
//!
//! A reading of the CPU is the mean of some time, in which jobs have begun and ended. A load sample that had such a reading beside the jobs
//! that run now would tell of a node whose job has just ended that other work keeps its cores busy, until the next reading. So what the
//! jobs had of the time of a reading is counted off, and what runs now is counted in.

use std::time::{Duration, Instant};

/// Less than this part of the workers' time without a job tells nothing of other work: readings and jobs are timed by different clocks.
const FREE_PART_MIN: f64 = 0.2;

/// Counts what a node's jobs have of its machine's CPU, and what others have.
#[derive(Debug)]
pub struct OtherWork {
    /// The part of the workers that has a job, and since when.
    busy: f64,
    since: Instant,
    /// Workers' time with jobs since the last reading, as parts of all workers' time; and when that reading was.
    worked: Duration,
    read: Instant,
    /// The part of the cores of free workers that others have.
    others: f64,
}

impl OtherWork {
    /// Nothing runs yet.
    pub const fn new(now: Instant) -> Self {
        Self { busy: 0.0, since: now, worked: Duration::ZERO, read: now, others: 0.0 }
    }

    /// From now on so many of the workers have a job.
    pub fn runs(&mut self, now: Instant, running_jobs: usize, workers: usize) {
        self.worked += now.saturating_duration_since(self.since).mul_f64(self.busy);
        self.since = now;
        self.busy = (running_jobs as f64 / workers.max(1) as f64).min(1.0);
    }

    /// The CPU's mean since the last reading, in thousandths of what the node may use.
    pub fn read(&mut self, now: Instant, cpu_permille: u16) {
        let took = now.saturating_duration_since(self.read).as_secs_f64();
        let worked = self.worked + now.saturating_duration_since(self.since).mul_f64(self.busy);
        (self.worked, self.since, self.read) = (Duration::ZERO, now, now);
        let free = 1.0 - worked.as_secs_f64() / took;
        if free >= FREE_PART_MIN {
            let idle = 1.0 - f64::from(cpu_permille) / 1000.0;
            self.others = 1.0 - (idle / free).clamp(0.0, 1.0);
        }
    }

    /// The CPU with the jobs that run now and with the others' work of the last reading, in thousandths.
    pub fn cpu_permille(&self) -> u16 {
        let cpu = self.others + (1.0 - self.others) * self.busy;
        (cpu * 1000.0).round() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_job_that_has_just_ended_is_no_work_of_others() {
        let now = start();
        let mut cpu = OtherWork::new(now);
        cpu.runs(now, 1, 2);
        assert_eq!(cpu.cpu_permille(), 500, "before the first reading");
        cpu.read(now + SECOND, 500);
        assert_eq!(cpu.cpu_permille(), 500);
        // Half of the second with one of two, then none.
        cpu.runs(now + SECOND * 3 / 2, 0, 2);
        assert_eq!(cpu.cpu_permille(), 0, "though the last reading has it");
        cpu.read(now + 2 * SECOND, 250);
        assert_eq!(cpu.cpu_permille(), 0);
    }

    #[test]
    fn work_of_others_is_seen_beside_the_jobs() {
        let now = start();
        let mut cpu = OtherWork::new(now);
        cpu.read(now + SECOND, 700);
        assert_eq!(cpu.cpu_permille(), 700);
        // A worker has half of the cores, and others seven tenths of the rest.
        cpu.runs(now + SECOND, 1, 2);
        assert_eq!(cpu.cpu_permille(), 850);
        cpu.read(now + 2 * SECOND, 850);
        assert_eq!(cpu.cpu_permille(), 850);
        cpu.runs(now + 2 * SECOND, 0, 2);
        assert_eq!(cpu.cpu_permille(), 700);
        cpu.read(now + 3 * SECOND, 0);
        assert_eq!(cpu.cpu_permille(), 0, "they are gone");
    }

    #[test]
    fn what_all_workers_keep_busy_tells_nothing_of_others() {
        let now = start();
        let mut cpu = OtherWork::new(now);
        cpu.read(now + SECOND, 400);
        cpu.runs(now + SECOND, 3, 2);
        cpu.read(now + 2 * SECOND, 1000);
        assert_eq!(cpu.cpu_permille(), 1000);
        cpu.runs(now + 2 * SECOND, 0, 2);
        assert_eq!(cpu.cpu_permille(), 400, "as it was when that could be seen");
        // Two readings at one moment.
        cpu.read(now + 2 * SECOND, 900);
        assert_eq!(cpu.cpu_permille(), 400);
    }
}
