//! What a policy predicts of a job at one node, and what the node's own word makes of it.

use std::time::Duration;

use super::{Candidate, RTT_UNKNOWN};
use crate::desk::{Ready, believed};

/// A peer has to be likely to be done sooner than this node by this part of this node's time, ...
const MARGIN_PART: f64 = 0.05;
/// ... and by this at the least.
const MARGIN_MIN: Duration = Duration::from_millis(20);

/// Where a job's time goes at a node, beside its work there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Until a worker is free, by gossip and this node's own hand-offs; at this node, by its own desk.
    pub wait: Duration,
    /// What the input's bytes take to it.
    pub there: Duration,
    /// What the result's bytes take from it.
    pub back: Duration,
    /// How many times as long it takes for the tries that fail: 1 where none did.
    pub tries: f64,
    /// How many times as long as usual its work takes there, since other work has a part of the cores: 1 where none has.
    pub slowed: f64,
}

impl Forecast {
    /// This node itself, with so much before the job.
    pub const fn here(wait: Duration) -> Self {
        Self { wait, there: Duration::ZERO, back: Duration::ZERO, tries: 1.0, slowed: 1.0 }
    }
}

impl Candidate {
    /// From a peer's yes to the result, if its desk says this: the input is on its way while the job waits. What the peer leaves
    /// out is as gossip has it. None where nothing is predicted.
    pub fn done_after(&self, ready: Ready) -> Option<Duration> {
        let forecast = self.forecast?;
        let half = self.rtt.unwrap_or(RTT_UNKNOWN) / 2;
        let said = |ms: Option<u32>, else_is| ms.map_or(else_is, |ms| Duration::from_millis(ms.into()));
        // The yes was half a round trip on its way.
        let wait = said(ready.wait_ms, forecast.wait).saturating_sub(half);
        let work = self.work_there(ready, forecast.slowed);
        let begins = (half + forecast.there).max(wait);
        let done = begins.saturating_add(work).saturating_add(half + forecast.back);
        Some(Duration::try_from_secs_f64(done.as_secs_f64() * forecast.tries).unwrap_or(Duration::MAX))
    }

    /// How long the job keeps a worker there: what the peer's desk says, beyond what its jobs can't tell. A desk has learned of jobs that
    /// are done, and does not see what has come to its machine since.
    fn work_there(&self, ready: Ready, slowed: f64) -> Duration {
        let Some(work_ms) = ready.work_ms else { return self.work };
        let error = f64::from(ready.work_error_permille.unwrap_or_default()) / 1000.0;
        let usual = believed(self.work.as_secs_f64() / slowed, f64::from(work_ms) / 1000.0, Some(error));
        Duration::try_from_secs_f64(usual * slowed).unwrap_or(Duration::MAX)
    }

    /// The same if no job is before it there.
    pub fn done_after_at_least(&self) -> Option<Duration> {
        self.done_after(Ready { wait_ms: Some(0), ..Ready::default() })
    }

    /// Whether it is worth an offer to a peer where the job is done here after so long: done there, with nothing before it, it would
    /// be sooner, the offer's round trip included.
    pub fn is_worth_asking(&self, here: Duration) -> bool {
        let offer = self.rtt.unwrap_or(RTT_UNKNOWN);
        self.done_after_at_least().is_some_and(|done| is_sooner(done.saturating_add(offer), here))
    }
}

/// Whether a job that is done there after so long leaves a node where it is done after `here`: what is known of this node is exact, what
/// is known of others is not.
pub fn is_sooner(there: Duration, here: Duration) -> bool {
    there.saturating_add(margin(here)) < here
}

/// By how much a peer has to be sooner.
pub fn margin(here: Duration) -> Duration {
    here.mul_f64(MARGIN_PART).max(MARGIN_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicyKind;
    use crate::policy::testing::{Decider, member, sample, view_of};
    use crate::testing::start;

    #[test]
    fn what_a_peer_says_of_the_work_is_believed_beyond_its_error() {
        let (now, second) = (start(), Duration::from_secs(1));
        let peer = member("node2", "FRA", Some(0), Some(sample(0, 1, 10 * second)), now);
        let view = view_of(now, member("node1", "FRA", Some(0), None, now), vec![peer]);
        let ranked = Decider::new(PolicyKind::Eta, view, now).own_jobs(2, 1, 10 * second).rank();
        let there = ranked.iter().find(|candidate| !candidate.is_local()).unwrap();
        let done = |work_ms, work_error_permille| {
            let ready = Ready { wait_ms: Some(0), work_ms, work_error_permille };
            let ways = there.forecast.map(|forecast| forecast.there + forecast.back).unwrap();
            there.done_after(ready).unwrap().as_secs_f64() - ways.as_secs_f64()
        };
        let near =
            |got: f64, expected: f64| assert!((got - expected).abs() < 1e-3, "{got} is not {expected}");
        near(done(None, None), 10.0);
        near(done(Some(4_000), None), 4.0);
        near(done(Some(4_000), Some(0)), 4.0);
        near(done(Some(9_000), Some(100)), 10.0);
        near(done(Some(12_000), Some(100)), 10.0);
        near(done(Some(4_000), Some(100)), 4.0 * 0.2f64.exp());
        near(done(Some(40_000), Some(100)), 40.0 / 0.2f64.exp());
        near(done(Some(4_000), Some(u32::MAX)), 10.0);
        // Its desk does not see that others have a part of its cores now.
        let mut there = there.clone();
        there.work *= 2;
        there.forecast = there.forecast.map(|forecast| Forecast { slowed: 2.0, ..forecast });
        let ready = Ready { wait_ms: Some(0), work_ms: Some(4_000), work_error_permille: Some(0) };
        let ways = there.forecast.map(|forecast| forecast.there + forecast.back).unwrap();
        near(there.done_after(ready).unwrap().as_secs_f64() - ways.as_secs_f64(), 8.0);
    }
}
