//! Whether this node takes work: paused and drained by an operator, until it is told otherwise or starts again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::Node;
use crate::api::{WorkJson, WorkMode};
use crate::events::NodeEvent;

/// How often a node that drains gives away what waits there: jobs come back from workers and peers, and nodes come that may take them.
const HAND_OVER_INTERVAL: Duration = Duration::from_secs(2);
/// Longest that one round of that may take.
const HAND_OVER_MAX: Duration = Duration::from_secs(30);

/// A [`WorkMode`] that is read by all and set now and then.
#[derive(Debug, Default)]
pub(super) struct Mode(AtomicU8);

impl Mode {
    fn get(&self) -> WorkMode {
        match self.0.load(Ordering::Relaxed) {
            0 => WorkMode::Working,
            1 => WorkMode::Paused,
            _ => WorkMode::Draining,
        }
    }

    fn set(&self, mode: WorkMode) -> WorkMode {
        let before = self.get();
        let number = match mode {
            WorkMode::Working => 0,
            WorkMode::Paused => 1,
            WorkMode::Draining => 2,
        };
        self.0.store(number, Ordering::Relaxed);
        before
    }
}

impl Node {
    /// Whether it takes work.
    pub fn work_mode(&self) -> WorkMode {
        self.mode.get()
    }

    /// Whether an operator has it take no work.
    pub fn rests(&self) -> bool {
        self.work_mode() != WorkMode::Working
    }

    /// What it has to do, and whether it takes more.
    pub fn work(&self) -> WorkJson {
        let pool = self.pool.stats();
        WorkJson {
            node: self.identity.name.clone(),
            mode: self.work_mode(),
            running: pool.running,
            queued: pool.queued + pool.reserved,
            jobs: self.jobs.unfinished().0,
        }
    }

    /// Takes work from now on, or none.
    pub fn set_work_mode(&self, mode: WorkMode) {
        let before = self.mode.set(mode);
        if before == mode {
            return;
        }
        self.events.tell(&NodeEvent::WorkModeChanged { mode, before });
        // The others learn of it with the next ping.
        self.publish_load();
        self.jobs.wake();
    }
}

/// Gives away what waits while the node drains, for as long as it lives; aborted when it stops.
pub(super) async fn hand_over_while_draining(node: Arc<Node>) {
    let mut tick = tokio::time::interval(HAND_OVER_INTERVAL);
    loop {
        tick.tick().await;
        if node.work_mode() == WorkMode::Draining {
            node.hand_over_jobs(true, HAND_OVER_MAX).await;
        }
    }
}
