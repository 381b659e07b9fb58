//! The one clock of this crate: tokio's, which a test or a simulator pauses, so that its time passes only when nothing is left to do.

use std::time::{Duration, Instant};

use tokio::time::{Instant as Moment, Sleep, Timeout};

/// This moment.
pub fn now() -> Instant {
    Moment::now().into_std()
}

/// Until this moment.
pub fn left(until: Instant) -> Duration {
    until.saturating_duration_since(now())
}

pub(crate) fn sleep_until(until: Instant) -> Sleep {
    tokio::time::sleep_until(Moment::from_std(until))
}

pub(crate) fn timeout_at<F: Future>(until: Instant, future: F) -> Timeout<F> {
    tokio::time::timeout_at(Moment::from_std(until), future)
}
