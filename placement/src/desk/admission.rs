//! How long a wait a job can bear. Estimates err, and a job that misses its deadline was run in vain: so who comes anew
//! has to have time to spare.

use std::time::Duration;

/// On what ground a job asks for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It just comes.
    New,
    /// It was told to come now. That a wait was estimated a little too short is no reason to break one's word.
    Booked,
}

impl Standing {
    /// How many times its estimate a wait may become, and the job's own time, and still all is well.
    const fn spare(self) -> (f64, f64) {
        match self {
            Self::New => (1.4, 1.2),
            Self::Booked => (1.1, 1.05),
        }
    }
}

/// The longest wait that is taken on for a job that has `left` until its deadline and itself takes `service`.
pub fn wait_max(left: Duration, service: Option<Duration>, standing: Standing) -> Duration {
    let (wait_spare, service_spare) = standing.spare();
    left.saturating_sub(service.unwrap_or_default().mul_f64(service_spare)).div_f64(wait_spare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_booked_job_bears_more_than_a_newcomer() {
        let seconds =
            |standing| wait_max(Duration::from_secs(40), Some(Duration::from_secs(5)), standing).as_secs();
        assert_eq!(seconds(Standing::New), 24);
        assert_eq!(seconds(Standing::Booked), 31);
        assert_eq!(
            wait_max(Duration::from_secs(5), Some(Duration::from_secs(6)), Standing::Booked),
            Duration::ZERO
        );
    }
}
