//! How long a question to a peer may take, and what an answer means that says no.

use std::time::Duration;

use super::PeerError;
use crate::error::WorkError;

/// Least and greatest time for the answer to a question; in between it follows the round trip.
pub const QUESTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// See [`QUESTION_TIMEOUT_MIN`].
pub const QUESTION_TIMEOUT_MAX: Duration = Duration::from_secs(4);
/// Longest wait for a sign of life: that of a peer that can't give one in this time counts as none.
pub const PROGRESS_TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// Time for the answer to a question to a peer this far away.
pub fn question_timeout(rtt: Option<Duration>) -> Duration {
    (rtt.unwrap_or_default() * 4 + QUESTION_TIMEOUT_MIN).min(QUESTION_TIMEOUT_MAX)
}

/// Time for a sign of life from such a peer.
pub fn progress_timeout(rtt: Option<Duration>) -> Duration {
    question_timeout(rtt).min(PROGRESS_TIMEOUT_MAX)
}

impl PeerError {
    /// What it means to the node that asked how work ended at a peer: the job's own end, or a no, after which another node may say
    /// yes. `reason`: the peer's words. `retry_after`: when it expects a place, if the end itself does not say so.
    pub fn of_ended(ended: Option<WorkError>, reason: String, retry_after: Option<Duration>) -> Self {
        match ended {
            Some(ended) if ended.is_of_the_job() => Self::Ended(ended),
            ended => {
                let retry_after = ended.as_ref().and_then(WorkError::retry_after).or(retry_after);
                Self::Refused { reason, retry_after }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_an_answer_follows_the_way() {
        let ms = Duration::from_millis;
        assert_eq!(question_timeout(None), ms(1_000));
        assert_eq!(question_timeout(Some(ms(250))), ms(2_000));
        assert_eq!(question_timeout(Some(ms(10_000))), ms(4_000));
        assert_eq!(progress_timeout(Some(ms(10_000))), ms(2_000));
    }

    #[test]
    fn a_verdict_ends_a_job_and_a_no_does_not() {
        let verdict = WorkError::Unusable { why: "no picture".to_owned() };
        let told = PeerError::of_ended(Some(verdict.clone()), String::new(), None);
        assert_eq!(told, PeerError::Ended(verdict));
        let second = Duration::from_secs(1);
        let full = WorkError::Saturated { retry_after: second };
        let told = |ended, retry_after| PeerError::of_ended(ended, "full".to_owned(), retry_after);
        let refused = |retry_after| PeerError::Refused { reason: "full".to_owned(), retry_after };
        assert_eq!(told(Some(full), Some(9 * second)), refused(Some(second)));
        assert_eq!(told(None, Some(9 * second)), refused(Some(9 * second)));
    }
}
