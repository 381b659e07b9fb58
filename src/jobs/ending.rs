//! The end of a job: written down before it is told; and what becomes of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use super::running::waiting;
use super::{JobError, JobNumber, Jobs, Notice, Record, Stage, blocking, now_ms};
use crate::events::NodeEvent;
use crate::trace;

/// When a change that the disk refused is tried again.
pub(super) const JOURNAL_RETRY: Duration = Duration::from_secs(2);

impl Jobs {
    /// A job has come to its end. Written down before it is told, however long the disk refuses; false: it had come to another one before.
    pub async fn finish(&self, number: JobNumber, stage: Stage) -> bool {
        let Some(record) = self.begin_to_end(number, stage) else { return false };
        while let Err(error) = self.write(&record).await {
            tracing::error!(%error, job = %record.id(), "a job's end can't be written down: tried again");
            tokio::time::sleep(JOURNAL_RETRY).await;
        }
        self.ended(&record).await;
        true
    }

    pub(super) fn begin_to_end(&self, number: JobNumber, stage: Stage) -> Option<Record> {
        let mut board = self.board.lock();
        let job = board.unfinished.get_mut(&number).filter(|job| !job.ends)?;
        job.ends = true;
        let mut record = Record { stage, ..job.record.clone() };
        record.notice = record.ask.wish.webhook.is_some().then(|| Notice::new(now_ms()));
        record.keeping.version += 1;
        board.line.remove(number);
        Some(record)
    }

    pub(super) async fn ended(&self, record: &Record) {
        {
            let mut board = self.board.lock();
            drop(board.take_out(record.number));
            board.untold.insert(record.number);
        }
        self.untold.notify_one();
        self.will_notice(record);
        self.settle_video(record).await;
        let (state, id) = (record.stage.state(), record.id());
        let ended_ms = record.stage.ended_ms().unwrap_or_default();
        let took = Duration::from_millis(ended_ms.saturating_sub(record.accepted_ms));
        self.events.tell(&NodeEvent::JobEnded { id: &id, content: &record.ask.content, state, took });
    }

    /// A client does not want a job any more. One that has come to its end is forgotten. The job as it was or is now, if there is one.
    pub async fn cancel(self: &Arc<Self>, number: JobNumber) -> Result<Option<Record>, JobError> {
        let jobs = Arc::clone(self);
        trace::to_the_end(async move { jobs.cancelled(number).await }).await
    }

    async fn cancelled(&self, number: JobNumber) -> Result<Option<Record>, JobError> {
        let stage = Stage::Cancelled { at_ms: now_ms() };
        if let Some(record) = self.begin_to_end(number, stage) {
            if let Err(error) = self.write(&record).await {
                self.goes_on(number);
                return Err(error);
            }
            self.ended(&record).await;
            return Ok(Some(record));
        }
        let found = self.find(number).await?;
        match &found {
            Some(record) if record.stage.state().is_over() => self.forget(vec![record.clone()]).await?,
            _ => {}
        }
        Ok(found)
    }

    /// The end of a job could not be written: it goes on as it was.
    pub(super) fn goes_on(&self, number: JobNumber) {
        let mut board = self.board.lock();
        if let Some(job) = board.unfinished.get_mut(&number) {
            job.ends = false;
            if job.record.stage == Stage::Queued && !job.unsure {
                let waiting = waiting(&job.record);
                board.line.push(waiting);
            }
        }
        drop(board);
        self.woken.notify_one();
    }

    /// Forgets what has come to its end long enough ago, and lets go of videos of such as can't be done again any more.
    pub async fn sweep(&self) -> Result<(), JobError> {
        self.store.sweep_spares(now_ms()).await?;
        let (journal, before) =
            (self.journal.clone(), now_ms().saturating_sub(self.retention.as_millis() as u64));
        let old = blocking(move || Ok(journal.ended_before(before)?)).await?;
        if old.is_empty() {
            return Ok(());
        }
        tracing::debug!(jobs = old.len(), "jobs forgotten");
        self.forget(old).await
    }

    pub(super) async fn forget(&self, records: Vec<Record>) -> Result<(), JobError> {
        for record in &records {
            self.store.drop_kept(record.number, record.ask.wish.profiles.len()).await?;
            self.uncount_results(record);
        }
        {
            let mut board = self.board.lock();
            for record in &records {
                board.notices.remove(&record.number);
                board.copies.remove(&record.number);
            }
        }
        let journal = self.journal.clone();
        blocking(move || Ok(journal.forget(&records)?)).await
    }
}
