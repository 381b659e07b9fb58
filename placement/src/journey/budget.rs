use std::time::{Duration, Instant};

use super::clock;

/// From an upload's arrival until it is decided whether it is refused.
const DECIDED_WITHIN: Duration = Duration::from_millis(700);
/// The same from the end of its body, where that took long.
const DECIDED_AFTER_BODY: Duration = Duration::from_millis(300);

/// The time of one request: what it was given, and what parts of it are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBudget {
    allowed: Duration,
    deadline: Instant,
    decide_by: Instant,
    for_work: Duration,
}

impl TimeBudget {
    /// The budget of a request that arrived then, and may take so long.
    pub fn new(arrived: Instant, allowed: Duration) -> Self {
        let deadline = arrived + allowed;
        Self { allowed, deadline, decide_by: arrived + DECIDED_WITHIN, for_work: clock::left(deadline) }
    }

    /// Its body is here.
    pub fn received(&mut self) {
        self.decide_within(DECIDED_AFTER_BODY);
        self.for_work = self.left();
    }

    /// What the request was given.
    pub const fn allowed(&self) -> Duration {
        self.allowed
    }

    /// By when the request has to be answered.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until then.
    pub fn left(&self) -> Duration {
        clock::left(self.deadline)
    }

    /// Whether nothing is.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// How long work goes on for requests that came later and wait for the same. Without any it ends with the request that began it.
    pub fn limit(&self) -> Instant {
        self.deadline + self.allowed
    }

    /// By when it is decided whether any node does the job, where this one has no place for it: a refusal is to come soon.
    pub const fn decide_by(&self) -> Instant {
        self.decide_by
    }

    /// What it waited for took its time: there is so much more to decide.
    pub fn decide_within(&mut self, time: Duration) {
        self.decide_by = self.decide_by.max(clock::now() + time);
    }

    /// What the request leaves for the work, if nothing else stands before it: what its body takes to come, and the look at it, is
    /// gone whenever it is sent.
    pub const fn for_work(&self) -> Duration {
        self.for_work
    }

    /// The look at it took this long.
    pub const fn looked_at(&mut self, took: Duration) {
        self.for_work = self.for_work.saturating_sub(took);
    }

    /// From its arrival to its result, for work that takes so long.
    pub fn needs(&self, work: Duration) -> Duration {
        self.allowed.saturating_sub(self.for_work) + work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_decision_is_due_soon_after_the_arrival_or_the_body() {
        let arrived = clock::now();
        let mut budget = TimeBudget::new(arrived, 40 * SECOND);
        assert_eq!(budget.decide_by(), arrived + 700 * MS);
        tokio::time::advance(100 * MS).await;
        budget.received();
        assert_eq!(budget.decide_by(), arrived + 700 * MS, "the body came at once");
        tokio::time::advance(10 * SECOND).await;
        budget.received();
        assert_eq!(budget.decide_by(), clock::now() + 300 * MS, "it took long");
        let later = budget.decide_by() + SECOND;
        budget.decide_within(1_300 * MS);
        assert_eq!(budget.decide_by(), later);
        budget.decide_within(MS);
        assert_eq!(budget.decide_by(), later, "never sooner than it was");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_for_the_work_is_what_nothing_else_takes() {
        let mut budget = TimeBudget::new(clock::now(), 10 * SECOND);
        tokio::time::advance(2 * SECOND).await;
        budget.received();
        budget.looked_at(SECOND);
        assert_eq!((budget.for_work(), budget.needs(20 * SECOND)), (7 * SECOND, 23 * SECOND));
        tokio::time::advance(5 * SECOND).await;
        assert_eq!((budget.left(), budget.for_work()), (3 * SECOND, 7 * SECOND));
        assert_eq!(budget.limit() - budget.deadline(), 10 * SECOND);
        tokio::time::advance(5 * SECOND).await;
        assert!(budget.is_over());
    }
}
