//! How the wait at a desk rises and falls with what it has promised.
//!
//! Work is a level, in time that the desk takes for it. It sinks as time passes, never below nothing, and rises by a job's share
//! whenever one comes (Lindley's recursion for the wait in a queue). So a desk that has nothing to do for a while before a
//! promised job comes does not have that while in hand for those after it.

use std::time::Duration;

/// A job that comes at a known time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// From now.
    pub(super) at: Duration,
    /// By how much the wait of all behind it grows.
    pub(super) work: Duration,
    /// The longest wait that it can bear.
    pub(super) wait_max: Duration,
}

/// The level from now on.
#[derive(Clone, Debug)]
pub(super) struct Course {
    begin: Duration,
    stops: Vec<Stop>,
    /// How many seconds pass for one second of work.
    slowness: f64,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    at: Duration,
    /// The wait that is found there.
    level: Duration,
    work: Duration,
    /// How much more there may be to do when this one comes, before it or one after it waits longer than it can bear; for one that
    /// does so already, nothing.
    tolerance: Duration,
}

impl Course {
    /// `begin` is the wait now, `arrivals` is sorted by time. `slowness`: 1 where work takes what it is thought to take.
    pub(super) fn new(begin: Duration, arrivals: impl Iterator<Item = Arrival>, slowness: f64) -> Self {
        let (mut level, mut time) = (begin, Duration::ZERO);
        let mut bounds = Vec::new();
        let mut stops: Vec<Stop> = arrivals
            .map(|arrival| {
                let passed = arrival.at.saturating_sub(time).div_f64(slowness);
                level = level.saturating_sub(passed);
                let stop = Stop { at: arrival.at, level, work: arrival.work, tolerance: Duration::ZERO };
                bounds.push(arrival.wait_max);
                (level, time) = (level + arrival.work, arrival.at);
                stop
            })
            .collect();
        let mut behind: Option<(Duration, Duration)> = None;
        for (stop, wait_max) in stops.iter_mut().zip(bounds).rev() {
            let own = wait_max.saturating_sub(stop.level);
            stop.tolerance = match behind {
                None => own,
                Some((at, tolerance)) => {
                    // What the desk stands idle before the next one comes takes up as much.
                    let passed = at.saturating_sub(stop.at).div_f64(slowness);
                    own.min(tolerance + passed.saturating_sub(stop.level + stop.work))
                }
            };
            behind = Some((stop.at, stop.tolerance));
        }
        Self { begin, stops, slowness }
    }

    /// The wait of a job that comes now, and how much work it may bring without pushing another one too far back. A promised job that
    /// should be here and is not counts in both: it comes first by right, and will stand behind this one in the line.
    pub(super) fn now(&self) -> (Duration, Duration) {
        let (wait, _) = self.at(Duration::ZERO);
        (wait, self.room(0, Duration::ZERO, self.begin))
    }

    /// The wait that a job finds which comes so much later, and how much work it may bring without pushing one that comes after it
    /// too far back.
    pub(super) fn at(&self, after: Duration) -> (Duration, Duration) {
        let next = self.stops.partition_point(|stop| stop.at <= after);
        let (level, time) = match next.checked_sub(1).map(|last| self.stops[last]) {
            Some(last) => (last.level + last.work, last.at),
            None => (self.begin, Duration::ZERO),
        };
        let level = level.saturating_sub(after.saturating_sub(time).div_f64(self.slowness));
        (level, self.room(next, after, level))
    }

    /// How much more may be done before the stop of that number, for a job that finds this level.
    fn room(&self, next: usize, after: Duration, level: Duration) -> Duration {
        self.stops.get(next).map_or(Duration::MAX, |stop| {
            let passed = stop.at.saturating_sub(after).div_f64(self.slowness);
            stop.tolerance.saturating_add(passed.saturating_sub(level))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn course(begin: u64, arrivals: &[(u64, u64, u64)]) -> Course {
        let arrivals = arrivals.iter().map(|(at, work, wait_max)| Arrival {
            at: ms(*at),
            work: ms(*work),
            wait_max: ms(*wait_max),
        });
        Course::new(ms(begin), arrivals, 1.0)
    }

    #[test]
    fn time_in_which_there_is_nothing_to_do_is_lost() {
        let course = course(1_000, &[(5_000, 2_000, 500), (6_000, 1_000, 1_500)]);
        assert_eq!(course.at(ms(0)), (ms(1_000), ms(4_500)), "four idle seconds, and half a one of wait");
        assert_eq!(course.at(ms(400)), (ms(600), ms(4_500)));
        assert_eq!(course.at(ms(5_000)), (ms(2_000), ms(500)));
        assert_eq!(course.at(ms(6_500)), (ms(1_500), Duration::MAX));
        assert_eq!(course.at(ms(9_000)), (ms(0), Duration::MAX));
    }

    proptest! {
        /// Beside the same thing done one after the other.
        #[test]
        fn so_much_fits_and_no_more(
            begin in 0u64..5_000,
            gaps in prop::collection::vec((0u64..4_000, 0u64..4_000, 0u64..8_000), 0..12),
            after in 0u64..20_000,
            work in 0u64..10_000,
        ) {
            let mut time = 0;
            let arrivals: Vec<_> = gaps.iter().map(|(gap, work, bound)| {
                time += gap;
                (time, *work, *bound)
            }).collect();
            let waits = |newcomer: Option<(u64, u64)>| {
                let mut all: Vec<_> = arrivals.iter().map(|(at, work, bound)| (*at, *work, Some(*bound))).collect();
                if let Some((at, work)) = newcomer {
                    let place = all.partition_point(|(other, ..)| *other <= at);
                    all.insert(place, (at, work, None));
                }
                let (mut level, mut time, mut found, mut pushed) = (begin, 0, None, false);
                for (at, work, bound) in all {
                    level = level.saturating_sub(at - time);
                    time = at;
                    match bound {
                        None => found = Some(level),
                        Some(bound) => pushed |= found.is_some() && level > bound,
                    }
                    level += work;
                }
                (found, pushed)
            };
            let (found, pushed) = waits(Some((after, work)));
            let (wait, room) = course(begin, &arrivals).at(ms(after));
            prop_assert_eq!(Some(wait), found.map(ms));
            // Where one waits too long already, nothing may come before it that it would notice.
            let (_, too_long_already) = waits(Some((after, 0)));
            if !too_long_already {
                prop_assert_eq!(ms(work) > room, pushed, "{:?}", room);
            }
        }
    }
}
