//! How many lines of the log a member gets, and all of them together.
//!
//! A member that flaps, or whose link loses much, changes state every few seconds, on every node. The first few changes are
//! told one by one. Beyond that they are counted, and told of together once a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::NodeName;

/// After this time what was counted is told.
const INTERVAL: Duration = Duration::from_secs(60);
/// Lines about one member in that time.
const MEMBER_LINES_MAX: u32 = 8;
/// Lines about all members in that time.
const LINES_MAX: u32 = 1_000;
/// Members whose lines are counted one by one.
const MEMBERS_MAX: usize = 1_024;

/// What a line says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Joined,
    Suspected,
    Refuted,
    Failed,
    Left,
    Rejoined,
    Moved,
    Elsewhere,
}

/// Lines that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsaid {
    /// By [`Line`].
    pub counts: [u64; 8],
    /// The last one.
    pub last: Option<Line>,
}

impl Unsaid {
    fn count(&mut self, line: Line) {
        self.counts[line as usize] += 1;
        self.last = Some(line);
    }
}

/// Lines about one member, or about all, since some time.
#[derive(Debug)]
struct Minute {
    began: Instant,
    said: u32,
    unsaid: Unsaid,
}

impl Minute {
    fn new(now: Instant) -> Self {
        Self { began: now, said: 0, unsaid: Unsaid::default() }
    }
}

/// Counts the lines about members.
#[derive(Debug, Default)]
pub(super) struct Lines {
    members: BTreeMap<NodeName, Minute>,
    all: Option<Minute>,
}

impl Lines {
    /// Whether to say this. If not, it is counted.
    pub fn say(&mut self, now: Instant, member: &NodeName, line: Line) -> bool {
        if self.members.len() < MEMBERS_MAX || self.members.contains_key(member) {
            let minute = self.members.entry(member.clone()).or_insert_with(|| Minute::new(now));
            if minute.said >= MEMBER_LINES_MAX {
                minute.unsaid.count(line);
                return false;
            }
            minute.said += 1;
        }
        let all = self.all.get_or_insert_with(|| Minute::new(now));
        if all.said >= LINES_MAX {
            all.unsaid.count(line);
            return false;
        }
        all.said += 1;
        true
    }

    /// What was left out in minutes that are over; of many members together where no name is given.
    pub fn due(&mut self, now: Instant) -> Vec<(Option<NodeName>, Unsaid)> {
        let over = |minute: &Minute| now - minute.began >= INTERVAL;
        let mut due = Vec::new();
        self.members.retain(|name, minute| {
            if !over(minute) {
                return true;
            }
            if minute.unsaid.last.is_some() {
                due.push((Some(name.clone()), minute.unsaid));
                // It goes on being counted: what is told of once a minute is not told one by one in between.
                *minute = Minute { said: MEMBER_LINES_MAX, ..Minute::new(now) };
                return true;
            }
            false
        });
        if let Some(minute) = self.all.take_if(|minute| over(minute))
            && minute.unsaid.last.is_some()
        {
            due.push((None, minute.unsaid));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> NodeName {
        format!("node{number}").parse().unwrap()
    }

    #[test]
    fn a_member_that_changes_all_the_time_is_told_of_once_a_minute_with_a_count() {
        let (mut lines, begin) = (Lines::default(), Instant::now());
        let (mut said, mut summaries) = (0, Vec::new());
        for half_second in 0..600 {
            let now = begin + Duration::from_millis(500 * half_second);
            let line = if half_second % 2 == 0 { Line::Suspected } else { Line::Refuted };
            said += u32::from(lines.say(now, &name(1), line));
            assert!(half_second % 100 != 0 || lines.say(now, &name(2), Line::Failed), "others are told of");
            summaries.extend(lines.due(now));
        }
        assert_eq!(said, MEMBER_LINES_MAX);
        assert_eq!(summaries.len(), 4);
        let counted: u64 = summaries.iter().flat_map(|(_, unsaid)| unsaid.counts).sum();
        assert!((450..600).contains(&counted), "{counted}");
        assert!(summaries.iter().all(|(member, unsaid)| *member == Some(name(1)) && unsaid.last.is_some()));
        // When it has been quiet for a minute, it is like any other.
        let later = begin + Duration::from_secs(400);
        assert_eq!(lines.due(later).len(), 1);
        assert_eq!(lines.due(later + INTERVAL), []);
        assert!(lines.say(later + INTERVAL, &name(1), Line::Failed));
    }

    #[test]
    fn many_members_are_bounded_together() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        let said = (0..20_000).filter(|number| lines.say(now, &name(*number), Line::Joined)).count();
        assert_eq!(said, LINES_MAX as usize);
        let due = lines.due(now + INTERVAL);
        assert_eq!(due, [(None, Unsaid { counts: [19_000, 0, 0, 0, 0, 0, 0, 0], last: Some(Line::Joined) })]);
    }
}
