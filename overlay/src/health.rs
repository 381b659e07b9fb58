//! How well this node itself does: Lifeguard's local health multiplier, and the loss its probes meet.

use std::time::Duration;

/// Highest score (Lifeguard's S).
const SCORE_MAX: u8 = 8;

/// Lifeguard's local health multiplier (Dadgar, Phillips, Currey 2017, section IV-A).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalHealth {
    score: u8,
}

impl LocalHealth {
    /// Something happened that a slow or cut-off node would see: timeouts grow.
    pub fn worse(&mut self, by: u8) {
        self.score = self.score.saturating_add(by).min(SCORE_MAX);
    }

    pub fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// What timeouts are multiplied by.
    pub fn multiplier(self) -> u32 {
        u32::from(self.score) + 1
    }
}

/// How far a node is behind with what it has to do: mean lateness of its timers, in protocol periods. More datagrams than
/// it can read make it late, and so does a machine that is shared by too many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backlog {
    late_periods: f64,
    high: bool,
}

/// Weight of a new observation of lateness.
const LATE_WEIGHT: f64 = 0.125;
/// Mean lateness from which on a node is overloaded, in periods, and that from which on it is not any more. Timers of a
/// healthy node are milliseconds late.
const LATE_PERIODS_HIGH: f64 = 0.05;
const LATE_PERIODS_CALM: f64 = 0.015;

impl Backlog {
    /// A timer ran so much too late. One long stop counts no more than one of a period: it is over.
    pub fn observe(&mut self, late: Duration, period: Duration) {
        let late = (late.as_secs_f64() / period.as_secs_f64()).min(1.0);
        self.late_periods += LATE_WEIGHT * (late - self.late_periods);
        self.high = self.late_periods > if self.high { LATE_PERIODS_CALM } else { LATE_PERIODS_HIGH };
    }

    /// Whether work is to be shed.
    pub fn is_high(self) -> bool {
        self.high
    }
}

/// Mean number of pings until one is answered, over the recent probes of members that did answer. From it follows how
/// many unanswered pings it takes before silence means something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossEstimate {
    attempts_mean: f64,
}

impl Default for LossEstimate {
    fn default() -> Self {
        Self { attempts_mean: 1.2 }
    }
}

/// A probe that fails by chance this often raises a suspicion.
const SUSPECT_CHANCE: f64 = 0.02;
/// A verdict that comes by chance this often, of those suspicions.
const VERDICT_CHANCE: f64 = 1e-6;
/// Part by which the loss may be worse than it looks.
const MARGIN: f64 = 1.1;
/// Loss is met from so many tries on, on average. A node begins above, and finds out.
const MET: f64 = 1.1;
/// Weight of a new observation.
const WEIGHT: f64 = 0.08;

impl LossEstimate {
    /// The ping that was answered was this probe's `attempt`th (from 1).
    pub fn observe(&mut self, attempt: u8) {
        self.attempts_mean += WEIGHT * (f64::from(attempt) - self.attempts_mean);
    }

    /// Pings without an answer before a member is suspected.
    pub fn attempts_to_suspect(self) -> u8 {
        self.attempts(SUSPECT_CHANCE).clamp(3, 12)
    }

    /// Pings without an answer before a suspected member may be declared dead.
    pub fn attempts_to_verdict(self) -> u8 {
        self.attempts(VERDICT_CHANCE).clamp(5, 60)
    }

    /// Whether more datagrams get lost than now and then.
    pub fn is_met(self) -> bool {
        self.attempts_mean > MET
    }

    fn attempts(self, chance: f64) -> u8 {
        // The estimate is itself uncertain: assume somewhat more loss than has been seen.
        let answered = (1.0 / (self.attempts_mean * MARGIN)).clamp(0.1, 0.9);
        (chance.ln() / (1.0 - answered).ln()).ceil() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_loss() {
        let mut loss = LossEstimate::default();
        for _ in 0..200 {
            loss.observe(1);
        }
        assert_eq!((loss.attempts_to_suspect(), loss.attempts_to_verdict()), (3, 6));
        assert!(LossEstimate::default().is_met() && !loss.is_met());
        // 40 % each way: a ping is answered with probability 0.36, after 2.8 tries on average.
        for i in 0..1000 {
            loss.observe(if i % 5 == 0 { 2 } else { 3 });
        }
        let suspect = loss.attempts_to_suspect();
        let verdict = loss.attempts_to_verdict();
        assert!(loss.is_met());
        assert!((8..=11).contains(&suspect) && (30..=38).contains(&verdict), "{suspect} {verdict}");
    }

    #[test]
    fn who_is_late_again_and_again_is_overloaded_and_who_was_stopped_once_is_not() {
        let (mut backlog, second) = (Backlog::default(), Duration::from_secs(1));
        backlog.observe(60 * second, second);
        (0..20).for_each(|_| backlog.observe(Duration::from_millis(2), second));
        assert!(!backlog.is_high());
        backlog.observe(Duration::from_millis(150), second);
        assert!(!backlog.is_high(), "once is not always");
        (0..20).for_each(|_| backlog.observe(Duration::from_millis(150), second));
        assert!(backlog.is_high());
        (0..20).for_each(|_| backlog.observe(Duration::from_millis(2), second));
        assert!(!backlog.is_high());
    }

    #[test]
    fn health_is_bounded() {
        let mut health = LocalHealth::default();
        health.better();
        assert_eq!(health.multiplier(), 1);
        health.worse(200);
        assert_eq!(health.multiplier(), 9);
    }
}
