//! How a run is played, and orders to play it otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_overlay::sim::{Fault, Report};

/// Virtual seconds in a second, at the least and at the most.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=1_000.0;
/// Faults that are remembered, and the longest text of one.
const FAULTS_MAX: usize = 500;
const FAULT_CHARS_MAX: usize = 200;

/// How a run is played: `GET /sim`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Playing {
    /// The seed that makes the run, the same each time.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// Virtual seconds since its beginning.
    pub at_s: f64,
    /// Virtual seconds in a second.
    pub speed: f64,
    /// Nothing happens.
    pub paused: bool,
    /// As fast as it can be computed, until then.
    pub until_s: Option<f64>,
    /// The number of the node that is looked through, from 1.
    pub seen_by: usize,
    /// What went wrong so far, the oldest first.
    pub faults: Vec<PlayedFault>,
    /// It is over.
    pub ended: bool,
    /// The rules that it broke, once it is over.
    pub violations: Vec<String>,
    /// How often it was begun.
    pub run: u64,
    /// Steps to be made while it is paused.
    #[serde(skip)]
    pub(super) steps: u32,
    /// It is to be begun again.
    #[serde(skip)]
    pub(super) again: bool,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlayedFault {
    /// Virtual seconds since the beginning.
    pub at_s: f64,
    /// What.
    pub what: String,
}

/// `POST /sim`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Nothing happens any more.
    Pause,
    /// It goes on.
    Play,
    /// It goes on for a fifth of a second.
    Step,
    /// So many virtual seconds in a second.
    Speed {
        /// How many.
        speed: f64,
    },
    /// As fast as it can be computed until then, and then no further.
    Until {
        /// Virtual seconds since the beginning.
        at_s: f64,
    },
    /// Seen by another node.
    SeenBy {
        /// Its number, from 1.
        node: usize,
    },
    /// From the beginning; what is left of the run is computed before, as fast as it can be.
    Again,
}

/// An order that can't be followed. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// No speed.
    #[error("speed {0}: give 0.01 to 1000 virtual seconds in a second")]
    Speed(f64),
    /// No time, or one that has passed.
    #[error("at_s {at_s}: the run is at {now_s:.1} s; give a later time, or have it begin again first")]
    Past {
        /// The time that was given.
        at_s: f64,
        /// The time of the run.
        now_s: f64,
    },
    /// No node.
    #[error("node {node}: give a number from 1 to {nodes}")]
    Node {
        /// The number that was given.
        node: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Nothing can come any more.
    #[error("the run is over: have it begin again")]
    Over,
}

impl Playing {
    pub(super) fn new((seed, nodes): (u64, usize), speed: f64, paused: bool) -> Self {
        Self {
            seed,
            nodes,
            at_s: 0.0,
            speed,
            paused,
            until_s: None,
            seen_by: 1,
            faults: Vec::new(),
            ended: false,
            violations: Vec::new(),
            run: 1,
            steps: 0,
            again: false,
        }
    }

    pub(super) fn take(&mut self, order: &Order) -> Result<(), OrderError> {
        match *order {
            Order::Play | Order::Step | Order::Until { .. } if self.ended => return Err(OrderError::Over),
            Order::Pause => (self.paused, self.until_s) = (true, None),
            Order::Play => (self.paused, self.until_s) = (false, None),
            Order::Step => (self.paused, self.steps) = (true, self.steps.saturating_add(1)),
            Order::Speed { speed } if SPEEDS.contains(&speed) => self.speed = speed,
            Order::Speed { speed } => return Err(OrderError::Speed(speed)),
            Order::Until { at_s } if at_s > self.at_s => (self.paused, self.until_s) = (false, Some(at_s)),
            Order::Until { at_s } => return Err(OrderError::Past { at_s, now_s: self.at_s }),
            Order::SeenBy { node } if (1..=self.nodes).contains(&node) => self.seen_by = node,
            Order::SeenBy { node } => return Err(OrderError::Node { node, nodes: self.nodes }),
            Order::Again => {
                self.again = true;
                self.paused = false;
            }
        }
        Ok(())
    }

    /// The run is at this time now.
    pub(super) fn passed(&mut self, now: Duration) {
        self.at_s = now.as_secs_f64();
        if self.until_s.is_some_and(|until_s| until_s <= self.at_s) {
            (self.until_s, self.paused) = (None, true);
        }
    }

    pub(super) fn went_wrong(&mut self, now: Duration, fault: &Fault) {
        if self.faults.len() < FAULTS_MAX {
            let what = format!("{fault:?}").chars().take(FAULT_CHARS_MAX).collect();
            self.faults.push(PlayedFault { at_s: now.as_secs_f64(), what });
        }
    }

    pub(super) fn ended(&mut self, report: &Report) {
        self.ended = true;
        self.violations.clone_from(&report.violations);
    }

    /// It begins again, at the same speed and seen by the same node.
    pub(super) fn begin_again(&mut self) {
        let (speed, paused, seen_by, run) = (self.speed, self.paused, self.seen_by, self.run + 1);
        *self = Self { seen_by, run, ..Self::new((self.seed, self.nodes), speed, paused) };
    }

    /// How long the next piece of the run, which is so long, is to take.
    pub(super) fn pace(&self, piece: Duration) -> Duration {
        if self.until_s.is_some() { Duration::ZERO } else { piece.div_f64(self.speed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(playing: &mut Playing, json: &str) -> Result<(), OrderError> {
        playing.take(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn orders_are_followed_or_refused() {
        let mut playing = Playing::new((1, 5), 1.0, true);
        let piece = Duration::from_millis(200);
        assert_eq!(order(&mut playing, r#"{"do":"play"}"#), Ok(()));
        assert_eq!(order(&mut playing, r#"{"do":"speed","speed":10}"#), Ok(()));
        assert_eq!((playing.paused, playing.pace(piece)), (false, Duration::from_millis(20)));
        for speed in ["0", "-1", "1e9"] {
            let refused = order(&mut playing, &format!(r#"{{"do":"speed","speed":{speed}}}"#));
            assert!(matches!(refused, Err(OrderError::Speed(_))), "{speed}");
        }
        playing.passed(Duration::from_secs(3));
        assert!(matches!(order(&mut playing, r#"{"do":"until","at_s":2}"#), Err(OrderError::Past { .. })));
        assert_eq!(order(&mut playing, r#"{"do":"until","at_s":9}"#), Ok(()));
        assert_eq!(playing.pace(piece), Duration::ZERO);
        playing.passed(Duration::from_secs(9));
        assert!(playing.paused && playing.until_s.is_none());
        assert_eq!(order(&mut playing, r#"{"do":"seen_by","node":5}"#), Ok(()));
        assert_eq!(
            order(&mut playing, r#"{"do":"seen_by","node":6}"#),
            Err(OrderError::Node { node: 6, nodes: 5 })
        );
        let mut report = Report::default();
        report.violations.push("a rule".to_owned());
        playing.ended(&report);
        assert_eq!(order(&mut playing, r#"{"do":"play"}"#), Err(OrderError::Over));
        assert_eq!(order(&mut playing, r#"{"do":"again"}"#), Ok(()));
        playing.begin_again();
        assert_eq!((playing.at_s, playing.seen_by, playing.run, playing.ended), (0.0, 5, 2, false));
        assert!(serde_json::from_str::<Order>(r#"{"do":"explode"}"#).is_err());
    }
}
