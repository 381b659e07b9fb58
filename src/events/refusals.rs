//! How many log lines the uploads get that are refused: what strangers send must not fill the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// After this time refusals are told one by one again.
const INTERVAL: Duration = Duration::from_secs(60);
/// Lines of one kind of refusal in that time. Problems have a closed set of names, so the kinds are few.
const LINES_MAX: u32 = 20;

/// Counts refused uploads by the last part of their problem's type.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<&'static str, Minute>);

#[derive(Debug)]
struct Minute {
    began: Instant,
    said: u32,
    unsaid: u64,
}

/// Whether a refusal gets a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It does, and so many like it before it got none.
    Say { unsaid: u64 },
    /// It is only counted.
    Count,
}

impl Refusals {
    /// One more is refused. Beyond [`LINES_MAX`] lines, one tells of all that were counted each time that they are twice as many.
    pub(super) fn refused(&mut self, now: Instant, problem: &'static str) -> Line {
        let new = || Minute { began: now, said: 0, unsaid: 0 };
        let minute = self.0.entry(problem).or_insert_with(new);
        let over = now.saturating_duration_since(minute.began) >= INTERVAL;
        if over || minute.said < LINES_MAX {
            let unsaid = std::mem::take(&mut minute.unsaid);
            if over {
                *minute = new();
            }
            minute.said += 1;
            return Line::Say { unsaid };
        }
        minute.unsaid += 1;
        if minute.unsaid > u64::from(LINES_MAX) && minute.unsaid.is_power_of_two() {
            Line::Say { unsaid: minute.unsaid - 1 }
        } else {
            Line::Count
        }
    }

    /// What was only counted so far.
    pub(super) fn rest(&mut self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.0)
            .into_iter()
            .filter(|(_, minute)| minute.unsaid > 0)
            .map(|(problem, minute)| (problem, minute.unsaid))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_told_of_with_a_count() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut told = Vec::new();
        for ms in 0..40_000 {
            let line = refusals.refused(begin + Duration::from_millis(ms), "too-slow");
            if line != Line::Count {
                told.push(line);
            }
            if ms % 5_000 == 0 {
                let other = refusals.refused(begin + Duration::from_millis(ms), "disk-full");
                assert_eq!(other, Line::Say { unsaid: 0 }, "others are told of");
            }
        }
        assert_eq!(told.len(), 20 + 11, "{told:?}");
        assert_eq!(told[19..22], [0, 31, 63].map(|unsaid| Line::Say { unsaid }));
        // The first one after a minute tells of the rest.
        let later = begin + INTERVAL;
        assert_eq!(refusals.refused(later, "too-slow"), Line::Say { unsaid: 39_980 });
        assert_eq!(refusals.refused(later, "too-slow"), Line::Say { unsaid: 0 });
        assert_eq!(refusals.rest(), []);
    }

    #[test]
    fn what_was_not_told_is_told_in_the_end() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..25 {
            refusals.refused(now, "too-slow");
        }
        assert_eq!(refusals.rest(), [("too-slow", 5)]);
        assert_eq!(refusals.rest(), []);
    }
}
