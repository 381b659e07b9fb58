use std::sync::Arc;
use std::time::Instant;

use starling_placement::desk::JobId;
use tokio::sync::{oneshot, watch};

use super::error::TranscodeError;
use super::job::Transcoded;
use super::progress::Progress;
use super::shared::{Shared, Task};

/// The claim to one job's result. Dropping it cancels the job: out of the queue, or SIGKILL to ffmpeg's process group.
pub struct Ticket {
    pub(super) id: JobId,
    pub(super) task: Arc<Task>,
    pub(super) shared: Arc<Shared>,
    pub(super) reply: oneshot::Receiver<Result<Transcoded, TranscodeError>>,
}

impl Ticket {
    /// Waits for the result, until the job's limit at the latest.
    pub async fn wait(mut self) -> Result<Transcoded, TranscodeError> {
        let deadline = tokio::time::Instant::from_std(self.limit());
        // First the reply: a result that came in time is not thrown away because its reader was late.
        tokio::select! {
            biased;
            reply = &mut self.reply => reply.unwrap_or(Err(TranscodeError::Cancelled)),
            () = tokio::time::sleep_until(deadline) => {
                Err(TranscodeError::DeadlinePassed { running: self.task.progress.borrow().running })
            }
        }
    }

    /// How far it has come, each time it comes further.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.task.progress.subscribe()
    }

    /// When the job gives up.
    pub fn limit(&self) -> Instant {
        self.task.job.limit
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.task.cancel.set();
        self.shared.forget(self.id);
    }
}
