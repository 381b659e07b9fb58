//! Where a request's time went, for its log line.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock;
use parking_lot::Mutex;

/// A request that takes more steps than this has told enough.
const STEPS_MAX: usize = 32;

/// The steps that a request has taken, each with the time since its arrival at which it was done. Clones share their
/// steps.
#[derive(Clone, Debug)]
pub struct Timings {
    arrived: Instant,
    steps: Arc<Mutex<Vec<(&'static str, Duration)>>>,
}

impl Timings {
    /// The timings of a request that arrived then.
    pub fn new(arrived: Instant) -> Self {
        Self { arrived, steps: Arc::default() }
    }

    /// Timings of their own that begin with the same steps.
    #[must_use]
    pub fn branch(&self) -> Self {
        let steps = self.steps.lock().clone();
        Self { arrived: self.arrived, steps: Arc::new(Mutex::new(steps)) }
    }

    /// When the request came.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// Time since the arrival.
    pub fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.arrived)
    }

    /// When a step was first done, since the arrival.
    pub fn at(&self, step: &str) -> Option<Duration> {
        self.steps.lock().iter().find(|(name, _)| *name == step).map(|(_, at)| *at)
    }

    /// A step is done.
    pub fn mark(&self, step: &'static str) {
        let mut steps = self.steps.lock();
        if steps.len() < STEPS_MAX {
            steps.push((step, clock::now().saturating_duration_since(self.arrived)));
        }
    }
}

impl fmt::Display for Timings {
    /// `body=12 look=80 home=95`, in milliseconds since the arrival.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.lock();
        for (place, (step, at)) in steps.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{step}={}", at.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn steps_stand_in_order_and_end_somewhere() {
        let timings = Timings::new(start());
        assert_eq!(timings.to_string(), "");
        let same = timings.clone();
        let branch = timings.branch();
        for _ in 0..STEPS_MAX {
            timings.mark("body");
            same.mark("look");
        }
        let text = timings.to_string();
        let names: Vec<_> = text.split(' ').filter_map(|step| step.split('=').next()).collect();
        assert_eq!((names.len(), &names[..2]), (STEPS_MAX, &["body", "look"][..]), "{text}");
        assert_eq!(branch.to_string(), "", "another one's steps");
        assert!(timings.at("look").is_some() && branch.at("look").is_none());
        assert_eq!(timings.branch().to_string(), text);
    }
}
