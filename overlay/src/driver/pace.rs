//! What may happen often is not said as often.

use std::time::Duration;

use tokio::time::Instant;

/// Lets something be said at most once an interval, and counts how often it happened.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    said: Option<Instant>,
    unsaid: u64,
}

impl Pace {
    pub const fn new(interval: Duration) -> Self {
        Self { interval, said: None, unsaid: 0 }
    }

    /// It has happened. If it is to be said now: how often since it was last said, this time included.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now - said < self.interval) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_an_interval_that_says_how_many() {
        let mut pace = Pace::new(Duration::from_secs(60));
        let begin = Instant::now();
        let said: Vec<_> = (0..200_000)
            .filter_map(|number| {
                let at = Duration::from_millis(number);
                pace.happened(begin + at).map(|times| (at.as_secs(), times))
            })
            .collect();
        assert_eq!(said, [(0, 1), (60, 60_000), (120, 60_000), (180, 60_000)]);
    }
}
