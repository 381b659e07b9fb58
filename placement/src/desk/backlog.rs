use serde::{Deserialize, Serialize};

/// How much work stands before a job that comes now: what two nodes compare before one hands a job to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Jobs before it, running, waiting or promised, in thousandths of a job for each worker.
    pub jobs_per_worker_permille: u32,
    /// Until a worker is free, by what was learned of such jobs; none before anything was, unless a worker is free now.
    pub wait_ms: Option<u32>,
}

impl Backlog {
    /// Whether every worker has work: a job that comes now has to wait.
    pub fn is_full(&self) -> bool {
        self.jobs_per_worker_permille >= 1000
    }

    /// Whether a job would begin later here than there: by time where both know it, else by the number of jobs.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        match (self.wait_ms, other.wait_ms) {
            (Some(here), Some(there)) => here > there,
            _ => self.jobs_per_worker_permille > other.jobs_per_worker_permille,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn backlog(jobs_per_worker_permille: u32, wait_ms: Option<u32>) -> Backlog {
        Backlog { jobs_per_worker_permille, wait_ms }
    }

    #[test]
    fn time_decides_where_both_know_it() {
        assert!(backlog(1_000, Some(900)).is_worse_than(&backlog(3_000, Some(500))));
        assert!(!backlog(3_000, Some(500)).is_worse_than(&backlog(1_000, Some(900))));
        assert!(backlog(3_000, None).is_worse_than(&backlog(1_000, Some(900))));
        assert!(
            !backlog(0, None).is_worse_than(&backlog(0, None)),
            "two that idle: the one that was chosen does it"
        );
    }
}
