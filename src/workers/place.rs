use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::cancel::Cancel;
use super::error::SubmitError;
use super::job::Job;
use super::progress::Progress;
use super::shared::{Shared, Task};
use super::ticket::Ticket;
use crate::content::ClientTag;

/// A place in the queue that is held for one job.
pub struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) client: ClientTag,
    pub(super) held: bool,
    /// For a job that was told to come at this time.
    pub(super) booked: bool,
}

impl Place {
    /// Whether it is for a job that was told to come at this time.
    pub fn is_booked(&self) -> bool {
        self.booked
    }

    /// Puts the job into the place. Whoever holds a place is refused only if, now that more is known, it can't be done in time
    /// even if all goes as estimated.
    pub fn submit(mut self, job: Job) -> Result<Ticket, SubmitError> {
        job.profile.suits(&job.info)?;
        let (reply_to, reply) = oneshot::channel();
        let task = Arc::new(Task {
            cancel: Cancel::new()?,
            progress: watch::Sender::new(Progress::default()),
            submitted: Instant::now(),
            reply: Mutex::new(Some(reply_to)),
            job,
        });
        let mut state = self.shared.lock();
        if state.draining || state.closed {
            return Err(SubmitError::Draining);
        }
        state.reserved.remove(self.client);
        self.held = false;
        let job = &task.job;
        let estimate = self.shared.estimate(&state, job.client, &job.profile, &job.info);
        let needs = estimate.wait + estimate.service.unwrap_or_default();
        let left = task.job.deadline.saturating_duration_since(task.submitted);
        if left.is_zero() || needs > left {
            return Err(SubmitError::TooLate { needs, left });
        }
        state.bookings.remove(&(task.job.content, task.job.profile.name.clone()));
        state.queue.push_back(Arc::clone(&task));
        drop(state);
        self.shared.work.notify_one();
        self.shared.guests.notify_one();
        Ok(Ticket { task, shared: Arc::clone(&self.shared), reply })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            self.shared.lock().reserved.remove(self.client);
        }
    }
}
