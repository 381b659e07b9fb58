//! Worlds that are looked at while they run.

use std::fmt;
use std::time::Duration;

use super::{Fault, World};
use crate::Time;

/// Looks at a world now and then, and before each fault. A run is the same with it and without; it may take its time.
pub struct Watcher {
    every: Duration,
    next: Time,
    look: Box<Look>,
}

type Look = dyn FnMut(&World, Option<&Fault>) + Send;

impl Watcher {
    /// One that looks so often, in virtual time.
    pub fn new(every: Duration, look: impl FnMut(&World, Option<&Fault>) + Send + 'static) -> Self {
        Self { every, next: Time::ZERO, look: Box::new(look) }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("every", &self.every).finish_non_exhaustive()
    }
}

impl World {
    /// It is looked at from now on.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Time has gone on.
    pub(super) fn passed(&mut self) {
        if self.watcher.as_ref().is_some_and(|watcher| watcher.next <= self.now()) {
            self.look(None);
        }
    }

    /// Shows the world, and what is about to happen to it.
    pub(super) fn look(&mut self, fault: Option<&Fault>) {
        let Some(mut watcher) = self.watcher.take() else { return };
        (watcher.look)(self, fault);
        watcher.next = self.now() + watcher.every;
        self.watcher = Some(watcher);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::sim::{Scenario, run, run_shown};

    #[test]
    fn a_run_is_the_same_whether_it_is_looked_at_or_not() {
        let mut scenario = Scenario::new(7);
        scenario.nodes = 6;
        scenario.kill = 1;
        scenario.duration = Duration::from_secs(3);
        let seen = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let at = Arc::clone(&seen);
        let watcher = Watcher::new(Duration::from_millis(100), move |world, fault| {
            let mut seen = at.lock();
            seen.0.push(world.now());
            seen.1.extend(fault.cloned());
        });
        let shown = run_shown(&scenario, watcher);
        let unseen = run(&scenario);
        assert_eq!(shown.fired, unseen.fired);
        assert_eq!((shown.converged_ms, shown.sim_seconds), (unseen.converged_ms, unseen.sim_seconds));
        let (times, faults) = &*seen.lock();
        assert!(matches!(faults[..], [Fault::Kill(_)]), "{faults:?}");
        let looks = shown.sim_seconds * 10.0;
        assert!(
            times.is_sorted() && (times.len() as f64 - looks).abs() < looks / 4.0,
            "{} looks",
            times.len()
        );
    }
}
