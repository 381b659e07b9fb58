//! Whether the membership has come to rest, kept up to date from the overlay's events.

use std::time::Duration;

use starling_overlay::Event;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// What the membership's events said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Convergence {
    /// Whether another member was ever seen.
    pub joined: bool,
    /// Whether every live member is known to hold the same view, and none has changed since.
    pub at_rest: bool,
    /// How long the last disturbance took to settle.
    pub elapsed: Option<Duration>,
}

impl Convergence {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Converged(settled) => {
                self.at_rest = true;
                self.joined |= settled.members > 1;
                self.elapsed = Some(settled.elapsed);
            }
            Event::Joined(_) | Event::Rejoined(_) => {
                self.joined = true;
                self.at_rest = false;
            }
            Event::Failed(_) | Event::Left(_) => self.at_rest = false,
            // A suspicion changes nobody's live set, nor does a name that two nodes claim.
            _ => {}
        }
    }
}

/// Follows the events until the overlay stops.
pub(super) async fn follow(mut events: broadcast::Receiver<Event>, state: watch::Sender<Convergence>) {
    loop {
        match events.recv().await {
            Ok(event) => {
                state.send_modify(|state| state.apply(&event));
            }
            // Only the newest state matters, and it is rebuilt from what comes next.
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "membership events passed over"),
            Err(RecvError::Closed) => return,
        }
    }
}
