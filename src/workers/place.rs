use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::cancel::Cancel;
use super::error::SubmitError;
use super::job::Job;
use super::progress::Progress;
use super::shared::{Shared, Task};
use super::ticket::Ticket;

/// A place in the queue that is held for one job.
pub struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) held: bool,
}

impl Place {
    /// Puts the job into the place.
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
        state.reserved -= 1;
        self.held = false;
        state.queue.push_back(Arc::clone(&task));
        drop(state);
        self.shared.work.notify_one();
        Ok(Ticket { task, shared: Arc::clone(&self.shared), reply })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            self.shared.lock().reserved -= 1;
        }
    }
}
