//! Which job comes next: interactive ones before batch ones, and clients by turns.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::JobNumber;
use crate::api::Priority;
use crate::content::ClientTag;

/// The jobs that wait.
#[derive(Debug, Default)]
pub struct Line {
    lanes: BTreeMap<Priority, Lane>,
    /// Those that nobody had a place for, and when to try again.
    later: BTreeMap<JobNumber, (Instant, Waiting)>,
}

/// A job that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub number: JobNumber,
    /// Whose.
    pub client: ClientTag,
    /// What comes first.
    pub priority: Priority,
}

/// When a job is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// After so many others, as things are now.
    Ahead(usize),
    /// Nobody had a place for it: it is tried again after this time.
    Later(Duration),
}

/// Jobs of one priority. The client at the front has the next turn.
#[derive(Debug, Default)]
struct Lane {
    turns: VecDeque<ClientTag>,
    jobs: BTreeMap<ClientTag, VecDeque<JobNumber>>,
}

impl Line {
    /// A job more, behind those of its client.
    pub fn push(&mut self, job: Waiting) {
        let lane = self.lanes.entry(job.priority).or_default();
        let jobs = lane.jobs.entry(job.client).or_default();
        if jobs.is_empty() {
            lane.turns.push_back(job.client);
        }
        jobs.push_back(job.number);
    }

    /// A job that is to be tried again then; before others of its client.
    pub fn push_later(&mut self, job: Waiting, at: Instant) {
        self.later.insert(job.number, (at, job));
    }

    /// The next one.
    pub fn pop(&mut self, now: Instant) -> Option<Waiting> {
        self.wake(now);
        for (priority, lane) in &mut self.lanes {
            let Some(client) = lane.turns.pop_front() else { continue };
            let jobs = lane.jobs.get_mut(&client)?;
            let number = jobs.pop_front()?;
            if jobs.is_empty() {
                lane.jobs.remove(&client);
            } else {
                lane.turns.push_back(client);
            }
            return Some(Waiting { number, client, priority: *priority });
        }
        None
    }

    /// Takes one out. False: it does not wait here.
    pub fn remove(&mut self, number: JobNumber) -> bool {
        if self.later.remove(&number).is_some() {
            return true;
        }
        self.lanes.values_mut().any(|lane| lane.remove(number))
    }

    /// When a job is begun; none: it does not wait here. It costs time for each client that waits, and for each job of its own.
    pub fn turn(&self, job: Waiting, now: Instant) -> Option<Turn> {
        if let Some((at, _)) = self.later.get(&job.number) {
            return Some(Turn::Later(at.saturating_duration_since(now)));
        }
        let before = self.lanes.range(..job.priority).map(|(_, lane)| lane.len()).sum::<usize>();
        Some(Turn::Ahead(before + self.lanes.get(&job.priority)?.ahead(job)?))
    }

    /// When the next of those comes that are to be tried again.
    pub fn next_at(&self) -> Option<Instant> {
        self.later.values().map(|(at, _)| *at).min()
    }

    fn wake(&mut self, now: Instant) {
        let due = self.later.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<_> = due.map(|(number, _)| *number).collect();
        // The oldest goes to the very front, and so comes last here.
        for number in due.into_iter().rev() {
            let Some((_, job)) = self.later.remove(&number) else { continue };
            let lane = self.lanes.entry(job.priority).or_default();
            let jobs = lane.jobs.entry(job.client).or_default();
            if jobs.is_empty() {
                lane.turns.push_front(job.client);
            }
            jobs.push_front(job.number);
        }
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.jobs.values().map(VecDeque::len).sum()
    }

    /// How many have their turn before this one: the clients before its own have one more of theirs, the others as many as it.
    fn ahead(&self, job: Waiting) -> Option<usize> {
        let place = self.jobs.get(&job.client)?.iter().position(|number| *number == job.number)?;
        let own = self.turns.iter().position(|client| *client == job.client)?;
        let of_others =
            self.turns.iter().enumerate().filter(|(turn, _)| *turn != own).map(|(turn, client)| {
                let waiting = self.jobs.get(client).map_or(0, VecDeque::len);
                waiting.min(place + usize::from(turn < own))
            });
        Some(place + of_others.sum::<usize>())
    }

    fn remove(&mut self, number: JobNumber) -> bool {
        let found = self.jobs.iter().find_map(|(client, jobs)| {
            let at = jobs.iter().position(|other| *other == number)?;
            Some((*client, at))
        });
        let Some((client, at)) = found else { return false };
        if let Some(jobs) = self.jobs.get_mut(&client) {
            jobs.remove(at);
            if jobs.is_empty() {
                self.jobs.remove(&client);
                self.turns.retain(|other| *other != client);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn job(number: u128, client: u64, priority: Priority) -> Waiting {
        Waiting { number: JobNumber(number), client: ClientTag(client), priority }
    }

    fn order(line: &mut Line, now: Instant) -> Vec<u128> {
        std::iter::from_fn(|| line.pop(now)).map(|job| job.number.0).collect()
    }

    #[test]
    fn clients_take_turns_and_batches_wait_for_all_others() {
        let mut line = Line::default();
        line.push(job(1, 1, Priority::Batch));
        for number in 2..5 {
            line.push(job(number, 1, Priority::Interactive));
        }
        line.push(job(5, 2, Priority::Interactive));
        line.push(job(6, 3, Priority::Batch));
        assert_eq!(order(&mut line, Instant::now()), [2, 5, 3, 4, 1, 6]);
    }

    #[test]
    fn what_is_put_off_comes_when_it_is_due_and_then_first() {
        let (mut line, now) = (Line::default(), Instant::now());
        let second = Duration::from_secs(1);
        line.push(job(3, 1, Priority::Interactive));
        line.push_later(job(1, 1, Priority::Interactive), now + second);
        line.push_later(job(2, 1, Priority::Interactive), now + second);
        assert_eq!(line.next_at(), Some(now + second));
        assert_eq!(line.turn(job(1, 1, Priority::Interactive), now), Some(Turn::Later(second)));
        assert_eq!(order(&mut line, now), [3]);
        line.push(job(4, 1, Priority::Interactive));
        assert_eq!(order(&mut line, now + second), [1, 2, 4]);
    }

    proptest! {
        #[test]
        fn what_is_told_of_a_jobs_turn_is_the_order_in_which_they_come(
            jobs in prop::collection::vec((0u64..5, any::<bool>()), 0..40),
            begun in 0usize..10,
        ) {
            let (mut line, now) = (Line::default(), Instant::now());
            let mut all = Vec::new();
            for (number, (client, batch)) in jobs.into_iter().enumerate() {
                let priority = if batch { Priority::Batch } else { Priority::Interactive };
                let job = job(number as u128, client, priority);
                line.push(job);
                all.push(job);
            }
            // In the middle of the turns.
            for _ in 0..begun {
                let Some(gone) = line.pop(now) else { break };
                prop_assert_eq!(line.turn(gone, now), None);
                all.retain(|job| *job != gone);
            }
            all.sort_by_key(|job| match line.turn(*job, now) {
                Some(Turn::Ahead(ahead)) => ahead,
                other => panic!("{other:?}"),
            });
            let told: Vec<_> = all.iter().map(|job| job.number.0).collect();
            let aheads: Vec<_> = all.iter().map(|job| line.turn(*job, now)).collect();
            let places: Vec<_> = (0..all.len()).map(|place| Some(Turn::Ahead(place))).collect();
            prop_assert_eq!(aheads, places);
            prop_assert_eq!(told, order(&mut line, now));
        }

        #[test]
        fn each_job_comes_once_unless_it_is_taken_out(
            jobs in prop::collection::vec((0u64..4, any::<bool>(), any::<bool>(), any::<bool>()), 0..40),
        ) {
            let (mut line, now) = (Line::default(), Instant::now());
            let mut expected = Vec::new();
            for (number, (client, batch, later, removed)) in jobs.into_iter().enumerate() {
                let priority = if batch { Priority::Batch } else { Priority::Interactive };
                let job = job(number as u128, client, priority);
                if later { line.push_later(job, now) } else { line.push(job) }
                if removed {
                    prop_assert!(line.remove(job.number));
                    prop_assert!(!line.remove(job.number));
                } else {
                    expected.push(number as u128);
                }
            }
            let mut got = order(&mut line, now);
            got.sort_unstable();
            prop_assert_eq!(got, expected);
        }
    }
}
