use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use starling_placement::desk::ReservationId;
use tokio::sync::{oneshot, watch};

use super::cancel::Cancel;
use super::error::SubmitError;
use super::job::Job;
use super::progress::Progress;
use super::shared::{Shared, Task, spec};
use super::ticket::Ticket;
use crate::events::NodeEvent;
use crate::trace;

/// A place in the queue that is held for one job, and given back when this is dropped unused.
pub struct Reservation {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ReservationId,
    /// For a job that was told to come at this time.
    pub(super) booked: bool,
}

impl Reservation {
    /// Whether it is for a job that was told to come at this time.
    pub fn is_booked(&self) -> bool {
        self.booked
    }

    /// The job is with a peer now, and no work here unless it comes back.
    pub fn send_away(&self) {
        self.shared.lock().desk.send_away(self.id);
    }

    /// Puts the job into the place. Whoever holds a place is refused only if, now that more is known, it can't be done in time
    /// even if all goes as estimated.
    pub fn submit(self, job: Job) -> Result<Ticket, SubmitError> {
        job.profile.suits(&job.info)?;
        let (reply_to, reply) = oneshot::channel();
        let task = Arc::new(Task {
            cancel: Cancel::new()?,
            progress: watch::Sender::new(Progress::default()),
            submitted: Instant::now(),
            reply: Mutex::new(Some(reply_to)),
            scope: trace::current(),
            job,
        });
        let mut state = self.shared.lock();
        let id = state.desk.submit(task.submitted, self.id, spec(&task.job))?;
        state.tasks.insert(id, Arc::clone(&task));
        // Under the lock, so that it is told before a worker begins it.
        let (content, profile) = task.name();
        self.shared.events.tell(&NodeEvent::Enqueued { content, profile });
        drop(state);
        self.shared.work.notify_one();
        self.shared.guests.notify_one();
        Ok(Ticket { id, task, shared: Arc::clone(&self.shared), reply })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // One that was used is known no more.
        self.shared.lock().desk.release(self.id);
    }
}
