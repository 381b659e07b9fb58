//! The run of a job: begun when its turn comes, put off where nobody has a place for it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::board::Unfinished;
use super::line::{Turn, Waiting};
use super::{Failure, JobNumber, Jobs, Record, Stage, now_ms};
use crate::api::JobState;

/// A node that has ended so often while it was at a job does not begin it again: the job may be why.
pub(super) const INTERRUPTED_MAX: u32 = 3;

/// A job that is begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// As it is now.
    pub record: Record,
    /// Cancelled when it is not wanted any more.
    pub cancel: CancellationToken,
}

impl Jobs {
    /// No other node has taken over a job that was there when the node started: it may begin.
    pub async fn is_own(&self, number: JobNumber) {
        let times = {
            let mut board = self.board.lock();
            let Some(job) = board.unfinished.get_mut(&number).filter(|job| job.unsure) else { return };
            job.unsure = false;
            let (waiting, times) = (waiting(&job.record), job.record.interrupted);
            if times < INTERRUPTED_MAX && !job.ends {
                board.line.push(waiting);
            }
            times
        };
        if times >= INTERRUPTED_MAX {
            let why = Failure::Interrupted { times };
            self.finish(number, Stage::Failed { at_ms: now_ms(), why }).await;
        }
        self.woken.notify_one();
    }

    /// The next job, if fewer than so many run. It is written down as begun.
    pub async fn next(&self, running_max: usize) -> Option<Begun> {
        let begun = {
            let mut board = self.board.lock();
            if board.running >= running_max {
                return None;
            }
            let next = board.line.pop(Instant::now())?;
            let Unfinished { record, cancel, .. } = board.unfinished.get_mut(&next.number)?;
            record.begun += 1;
            record.stage = Stage::Running { since_ms: now_ms() };
            record.keeping.version += 1;
            let begun = Begun { record: record.clone(), cancel: cancel.clone() };
            board.running += 1;
            board.untold.insert(next.number);
            begun
        };
        // If that is lost with the node, it is begun again all the same, as one that was not interrupted.
        if let Err(error) = self.write(&begun.record).await {
            tracing::warn!(%error, "it is not written down that a job was begun");
        }
        self.untold.notify_one();
        Some(begun)
    }

    /// When a job that this node holds is begun; none where it is in no line.
    pub fn turn(&self, record: &Record) -> Option<Turn> {
        self.board.lock().line.turn(waiting(record), Instant::now())
    }

    /// Resolves when there may be a job for [`Self::next`].
    pub async fn woken(&self) {
        let due = self.board.lock().line.next_at();
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.woken.notified() => {}
            () = due => {}
        }
    }

    /// There may be a job to begin that was not to be begun before.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// The work on a job that was begun is over, however it ended.
    pub fn rests(&self) {
        self.board.lock().running -= 1;
        self.woken.notify_one();
    }

    /// Nobody had a place for it: it is begun again then.
    pub async fn put_off(&self, number: JobNumber, wait: Duration) {
        let record = {
            let mut board = self.board.lock();
            let Some(job) = board.unfinished.get_mut(&number).filter(|job| !job.ends) else { return };
            job.record.stage = Stage::Queued;
            job.record.keeping.version += 1;
            let record = job.record.clone();
            board.line.push_later(waiting(&record), Instant::now() + wait);
            board.untold.insert(number);
            record
        };
        if let Err(error) = self.write(&record).await {
            tracing::warn!(%error, "it is not written down that a job waits again");
        }
        self.untold.notify_one();
    }

    /// The node leaves: what it is at is not held against its jobs when they are begun again.
    pub async fn leave(&self) {
        let running: Vec<_> = {
            let board = self.board.lock();
            let running =
                board.unfinished.values().filter(|job| job.record.stage.state() == JobState::Running);
            let waiting = |job: &Unfinished| {
                let mut record = Record { stage: Stage::Queued, ..job.record.clone() };
                record.keeping.version += 1;
                record
            };
            running.map(waiting).collect()
        };
        for record in running {
            if let Err(error) = self.write(&record).await {
                tracing::warn!(%error, "a job counts as interrupted when the node starts again");
            }
        }
    }
}

pub(super) const fn waiting(record: &Record) -> Waiting {
    Waiting { number: record.number, client: record.client, priority: record.ask.wish.priority }
}
