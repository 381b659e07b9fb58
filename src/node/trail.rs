//! Where a request's time went, for its log line.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A request that takes more steps than this has told enough.
const STEPS_MAX: usize = 32;

/// The steps that a request has taken, each with the time since its arrival at which it was done. Clones are the same
/// trail.
#[derive(Clone, Debug)]
pub struct Trail {
    arrived: Instant,
    steps: Arc<Mutex<Vec<(&'static str, Duration)>>>,
}

impl Trail {
    /// The trail of a request that arrived then.
    pub fn new(arrived: Instant) -> Self {
        Self { arrived, steps: Arc::default() }
    }

    /// A trail of its own that begins with the same steps.
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
        self.arrived.elapsed()
    }

    /// A step is done.
    pub fn mark(&self, step: &'static str) {
        let mut steps = self.steps.lock();
        if steps.len() < STEPS_MAX {
            steps.push((step, self.arrived.elapsed()));
        }
    }
}

impl fmt::Display for Trail {
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

    #[test]
    fn steps_stand_in_order_and_end_somewhere() {
        let trail = Trail::new(Instant::now());
        assert_eq!(trail.to_string(), "");
        let same = trail.clone();
        let branch = trail.branch();
        for _ in 0..STEPS_MAX {
            trail.mark("body");
            same.mark("look");
        }
        let text = trail.to_string();
        let names: Vec<_> = text.split(' ').filter_map(|step| step.split('=').next()).collect();
        assert_eq!((names.len(), &names[..2]), (STEPS_MAX, &["body", "look"][..]), "{text}");
        assert_eq!(branch.to_string(), "", "another one's steps");
        assert_eq!(trail.branch().to_string(), text);
    }
}
