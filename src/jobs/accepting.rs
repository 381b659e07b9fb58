//! A job is accepted: its video and its entry in the journal become safe on disk, side by side, before its client is told.
//!
//! Side by side they take one sync's time. So the power may go when one is safe and the other is not. A video without an entry is swept at
//! the next start. An entry without a whole video is a job that nobody was told of: its video is looked through before work on it begins, and
//! the same video sent again takes its place.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Accepted, Ask, Failure, JobError, JobId, JobNumber, Jobs, Keeping, Record, Stage, Taken, blocking,
    now_ms, roomy,
};
use crate::content::ClientTag;
use crate::events::NodeEvent;
use crate::store::Upload;
use crate::trace;

/// A job on its way into the journal. Nobody else's request is answered with it before it is in.
struct Accepting<'a> {
    jobs: &'a Jobs,
    number: JobNumber,
    /// What waits for it is woken when this is dropped.
    _waited_for: watch::Sender<()>,
}

impl<'a> Accepting<'a> {
    fn begin(jobs: &'a Jobs, number: JobNumber) -> Self {
        let (waited_for, wait) = watch::channel(());
        jobs.board.lock().accepting.insert(number, wait);
        Self { jobs, number, _waited_for: waited_for }
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        self.jobs.board.lock().accepting.remove(&self.number);
    }
}

impl Jobs {
    /// A job that was accepted before and is the same: its video need not be kept.
    pub async fn before(&self, client: ClientTag, ask: &Ask) -> Result<Option<Record>, JobError> {
        loop {
            let (journal, ask) = (self.journal.clone(), ask.clone());
            let record = match blocking(move || Ok(journal.before(client, &ask)?)).await? {
                Taken::New => return Ok(None),
                Taken::Before(record) => record,
                Taken::KeyOfAnother => return Err(JobError::KeyOfAnother),
            };
            let accepting = self.board.lock().accepting.get(&record.number).cloned();
            match accepting {
                // It is not safe yet, and may come to nothing.
                Some(mut accepting) => while accepting.changed().await.is_ok() {},
                None => return Ok(Some(self.newest(*record))),
            }
        }
    }

    /// Accepts a job: it is safe on disk when this returns, and accepted even where the request that waits for it is dropped meanwhile.
    pub async fn accept(
        self: &Arc<Self>,
        client: ClientTag,
        ask: Ask,
        upload: Upload,
    ) -> Result<Accepted, JobError> {
        self.accept_again(None, client, ask, upload).await
    }

    /// The same of one that does another one again, if it does.
    pub(super) async fn accept_again(
        self: &Arc<Self>,
        retry_of: Option<JobId>,
        client: ClientTag,
        ask: Ask,
        upload: Upload,
    ) -> Result<Accepted, JobError> {
        let jobs = Arc::clone(self);
        trace::to_the_end(async move { jobs.accepted(retry_of, client, ask, upload).await }).await
    }

    async fn accepted(
        &self,
        retry_of: Option<JobId>,
        client: ClientTag,
        ask: Ask,
        mut upload: Upload,
    ) -> Result<Accepted, JobError> {
        loop {
            if let Some(record) = self.before(client, &ask).await? {
                if self.is_doubtful(record.number) {
                    self.store.keep_input(record.number, &upload).await?;
                    self.is_sound(record.number);
                }
                return Ok(Accepted { record, new: false });
            }
            self.has_room(client)?;
            let record = Record {
                number: JobNumber::of_now(),
                keeping: Keeping::by(self.node.clone()),
                client,
                ask: ask.clone(),
                retry_of: retry_of.clone(),
                accepted_ms: now_ms(),
                begun: 0,
                interrupted: 0,
                stage: Stage::Queued,
                notice: None,
            };
            let accepting = Accepting::begin(self, record.number);
            if self.made_safe(&record, &upload).await? {
                let (id, content) = (record.id(), &record.ask.content);
                self.events.tell(&NodeEvent::JobAccepted { id: &id, content });
                self.enter(record.clone(), upload.room.take(), false);
                drop(accepting);
                return Ok(Accepted { record, new: true });
            }
        }
    }

    /// Writes a new job and its video to the disk. False: another request has brought the same job before, and nothing is left of this one.
    async fn made_safe(&self, record: &Record, upload: &Upload) -> Result<bool, JobError> {
        let (journal, entry) = (self.journal.clone(), record.clone());
        let dir = self.store.folder().clone();
        let (kept, taken) = tokio::join!(
            self.store.keep_input(record.number, upload),
            blocking(move || roomy(&dir, || journal.take(&entry))),
        );
        let outcome = match (kept, taken) {
            (Ok(()), Ok(Taken::New)) => return Ok(true),
            (Err(error), Ok(Taken::New)) => {
                self.take_back(record).await;
                return Err(error.into());
            }
            (_, Ok(Taken::Before(_))) => Ok(false),
            (_, Ok(Taken::KeyOfAnother)) => Err(JobError::KeyOfAnother),
            (_, Err(error)) => Err(error),
        };
        self.store.drop_input(record.number).await?;
        outcome
    }

    /// Forgets a job whose video could not be made safe, however long the disk refuses that.
    async fn take_back(&self, record: &Record) {
        while let Err(error) = self.forget(vec![record.clone()]).await {
            tracing::error!(%error, job = %record.id(), "a job that can't be accepted can't be forgotten: tried again");
            tokio::time::sleep(super::ending::JOURNAL_RETRY).await;
        }
    }

    fn is_doubtful(&self, number: JobNumber) -> bool {
        self.board.lock().doubtful.contains(&number)
    }

    fn is_sound(&self, number: JobNumber) {
        self.board.lock().doubtful.remove(&number);
    }

    /// What a job is to be made of, as an upload of its own.
    pub async fn video(&self, record: &Record) -> Result<Upload, Failure> {
        let number = record.number;
        let lost = |why: &dyn std::fmt::Display| Failure::Lost {
            what: format!("its video can't be read back: {why}; send it again"),
        };
        let upload = self.store.kept_input(number, record.ask.content, None).await;
        let upload = upload.map_err(|error| lost(&error))?;
        if self.is_doubtful(number) {
            match self.store.is_whole(&upload).await {
                Ok(true) => self.is_sound(number),
                Ok(false) => return Err(lost(&"it is not what was sent, since the node ended meanwhile")),
                Err(error) => return Err(lost(&error)),
            }
        }
        Ok(upload)
    }
}
