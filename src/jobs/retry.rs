//! A job that came to no result is done again: its video is kept for that for a while.
//!
//! It becomes a new job, which says of which one it is (`retry_of`). The old one stays as it ended. Which videos are kept is not in the
//! journal: those that are there of jobs that failed or were cancelled not long ago, as the next start finds them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Accepted, Ask, JobError, Jobs, Record, Stage, now_ms};
use crate::store::Room;

/// How long the video of a job that came to no result is kept.
pub const RETRY_KEPT: Duration = Duration::from_secs(3600);

impl Record {
    /// Whether it came to no result: the same asked for again is new work.
    pub const fn may_be_done_again(&self) -> bool {
        matches!(self.stage, Stage::Failed { .. } | Stage::Cancelled { .. })
    }

    /// Until when its video is kept so that it may be done again, in milliseconds since 1970; none where that may not be.
    pub(super) const fn retry_until_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Failed { at_ms, .. } | Stage::Cancelled { at_ms } => {
                Some(at_ms.saturating_add(RETRY_KEPT.as_millis() as u64))
            }
            Stage::Queued | Stage::Running { .. } | Stage::Done { .. } => None,
        }
    }
}

impl Jobs {
    /// A job has come to its end: its video goes, now or later.
    pub(super) async fn settle_video(&self, record: &Record) {
        let settled = match record.retry_until_ms() {
            Some(until_ms) => self.store.spare_input(record.number, until_ms).await,
            None => self.store.drop_input(record.number).await,
        };
        if let Err(error) = settled {
            tracing::warn!(%error, "a job's video can't be deleted: the next start does it");
        }
    }

    /// Deletes what is kept in vain: of jobs that are not known, and videos of jobs that are over and are not to be done again. How many
    /// files that were.
    pub(super) async fn sweep_at_start(&self) -> Result<usize, JobError> {
        let journal = self.journal.clone();
        // What the journal can't say is kept.
        let unknown = self.store.sweep_kept(move |job| !matches!(journal.get(job), Ok(None))).await?;
        let mut over = 0;
        for job in self.store.kept_inputs().await? {
            let Ok(Some(record)) = self.find(job).await else { continue };
            if record.stage.state().is_over() {
                over += usize::from(record.retry_until_ms().is_none());
                self.settle_video(&record).await;
            }
        }
        Ok(unknown + over + self.store.sweep_spares(now_ms()).await?)
    }

    /// What is asked for when a job is done again, which may take so long, where that is another time than before.
    pub fn asked_again(of: &Record, allowed: Option<Duration>, trace: Option<String>) -> Ask {
        let mut ask = of.ask.clone();
        // The name was that request's, and this is another one.
        ask.wish.idempotency_key = None;
        ask.wish.trace = trace;
        if let Some(allowed) = allowed {
            ask.wish.allowed_ms = allowed.as_millis() as u64;
        }
        ask
    }

    /// Accepts a job that failed or was cancelled once more, as a new one of the same client. `room`: what its video takes of the room for
    /// uploads.
    pub async fn retry(self: &Arc<Self>, of: &Record, ask: Ask, room: Room) -> Result<Accepted, JobError> {
        let video = self.store.kept_input(of.number, ask.content, Some(room)).await;
        let video = video.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => JobError::VideoGone,
            _ => error.into(),
        })?;
        self.accept_again(Some(of.id()), of.client, ask, video).await
    }
}
