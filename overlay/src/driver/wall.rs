//! The wall clock, for the state machine: it may be set right while the node runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::BootEpoch;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// When the wall clock was last told.
#[derive(Debug, Default)]
pub(super) struct Wall(Option<Instant>);

impl Wall {
    /// What the wall clock says, if it is time to say so.
    #[expect(clippy::disallowed_methods, reason = "the driver is where the core's inputs come from")]
    pub fn due(&mut self, now: Instant) -> Option<BootEpoch> {
        if self.0.is_some_and(|told| now - told < INTERVAL) {
            return None;
        }
        self.0 = Some(now);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(BootEpoch(since.as_millis() as u64))
    }
}
