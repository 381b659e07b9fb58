//! Jobs: uploads whose answer outlives their connection. Accepted, kept on disk, done, fetched.
//!
//! ```text
//!  accept   the video and the entry in the journal (journal.rs) are safe on disk before the client is told
//!   -> next        line.rs         interactive ones first, clients by turns; whoever has no place is tried again later
//!   -> put_off | finish             src/node/jobs.rs does the work: the journey that an upload makes
//!   -> forget                       some time after its end, with its results
//! ```
//!
//! The jobs that have not come to their end are in memory, too; the others are in the journal alone. A node that ends, however it
//! ends, begins them again when it starts. What a second node keeps of a job, and when it becomes its own: copies.rs, keeping.rs.

mod copies;
mod id;
mod journal;
mod keeping;
mod line;
mod notices;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_overlay::NodeName;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use copies::Arriving;
use copies::{Copy, Results};
pub use id::{JobId, JobIdError, JobNumber};
pub use journal::{Journal, JournalError, Taken};
pub use keeping::{Keeping, Rank};
use line::{Line, Waiting};
pub use record::{Ask, Failure, Notice, Output, Record, Stage, now_ms};

use crate::api::{JobFilter, JobState};
use crate::content::ClientTag;
use crate::events::{Events, NodeEvent};
use crate::store::{DataDir, Room, Store, Upload};

/// Jobs of a node that have not come to their end, at the most: all of them are in memory.
const UNFINISHED_MAX: usize = 10_000;
/// And of one client.
const UNFINISHED_PER_CLIENT_MAX: usize = UNFINISHED_MAX / 2;
/// A node that has ended so often while it was at a job does not begin it again: the job may be why.
const INTERRUPTED_MAX: u32 = 3;
/// What a new journal takes of the disk, and more than a change of one.
const JOURNAL_ROOM_BYTES: u64 = 2 << 20;
/// When a change that the disk refused is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(2);

/// The jobs of a node.
#[derive(Debug)]
pub struct Jobs {
    node: NodeName,
    journal: Journal,
    store: Store,
    events: Events,
    /// How long a job is kept that has come to its end.
    retention: Duration,
    board: Mutex<Board>,
    /// Something waits that did not, or work has ended.
    woken: Notify,
    /// A second node is to be told of a change.
    untold: Notify,
    /// A client is to be told of an end.
    noticed: Notify,
}

#[derive(Debug, Default)]
struct Board {
    unfinished: BTreeMap<JobNumber, Unfinished>,
    by_client: BTreeMap<ClientTag, usize>,
    line: Line,
    running: usize,
    /// Copies of other nodes' jobs that have not come to their end.
    copies: BTreeMap<JobNumber, Copy>,
    /// What is on its way to become one, or to change.
    arriving: BTreeSet<JobNumber>,
    /// Copies that were forgotten lately: what is still on its way of them is not kept.
    forgotten: BTreeSet<JobNumber>,
    /// When clients are to be told of the ends of own jobs, in milliseconds since 1970.
    notices: BTreeMap<JobNumber, u64>,
    /// Own jobs of whose newest change the second node does not know.
    untold: BTreeSet<JobNumber>,
    /// What is kept of other nodes' jobs that have come to their end.
    results: BTreeMap<NodeName, Results>,
}

#[derive(Debug)]
struct Unfinished {
    record: Record,
    /// What its video takes of the room for uploads.
    room: Option<Room>,
    /// Ends the work on it.
    cancel: CancellationToken,
    /// Its end is being written.
    ends: bool,
    /// It was there when the node started, and another node may have taken it over meanwhile: it is asked first.
    unsure: bool,
}

/// A job that is begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// As it is now.
    pub record: Record,
    /// Cancelled when it is not wanted any more.
    pub cancel: CancellationToken,
}

/// Why a job is not accepted, not found or not changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There are too many.
    #[error("{max} jobs wait or run here, and no more may: wait until some are done, or use other nodes too")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The client has too many.
    #[error("you have {max} jobs waiting or running here: wait until some are done, or use other nodes too")]
    TooManyOfClient {
        /// How many it may have.
        max: usize,
    },
    /// Its name stands for another request.
    #[error("the Idempotency-Key was given to another request before: give each request a name of its own")]
    KeyOfAnother,
    /// The results of another node's jobs take too much.
    #[error(
        "results of that node's jobs may take {max} bytes here (--cache-bytes), and do: ask another node"
    )]
    TooManyResults {
        /// How many bytes they may take.
        max: u64,
    },
    /// It changes at this moment.
    #[error("the job changes at this moment: try again")]
    Busy,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The disk.
    #[error("what a job keeps on disk can't be written or read: {0}")]
    Io(#[from] io::Error),
}

/// A job that is accepted, and whether it is new.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The job.
    pub record: Record,
    /// False: it was accepted before.
    pub new: bool,
}

impl Jobs {
    /// The jobs in a store. What was under way is begun again; [`Self::resume`] has to be called for that.
    pub fn new(node: NodeName, store: Store, events: Events, retention: Duration) -> Self {
        let journal = Journal::at(store.journal_path());
        let board = Mutex::default();
        let (woken, untold, noticed) = (Notify::new(), Notify::new(), Notify::new());
        Self { node, journal, store, events, retention, board, woken, untold, noticed }
    }

    /// Takes up what was not at its end when the node ended, and deletes what no job needs. `room`: what a client's video takes of the
    /// room for uploads, if there is any.
    pub async fn resume(&self, room: impl Fn(ClientTag, u64) -> Option<Room>) -> Result<(), JobError> {
        self.count_results().await?;
        let journal = self.journal.clone();
        let records = blocking(move || Ok(journal.unsettled()?)).await?;
        let jobs = records.len();
        for mut record in records {
            let over = record.stage.state().is_over();
            if record.keeping.holder == self.node && over {
                self.will_notice(&record);
                continue;
            }
            if record.keeping.holder != self.node {
                let tag = copies::tag_of(&record.keeping.holder);
                let room = if over { None } else { room(tag, record.ask.bytes) };
                self.board.lock().copies.insert(record.number, Copy { record, room });
                continue;
            }
            if matches!(record.stage, Stage::Running { .. }) {
                record.interrupted += 1;
                record.stage = Stage::Queued;
                record.keeping.version += 1;
                self.write(&record).await?;
            }
            let room = room(record.client, record.ask.bytes);
            let (number, unsure) = (record.number, record.keeping.second.is_some());
            self.enter(record, room, true);
            if !unsure {
                self.is_own(number).await;
            }
        }
        let journal = self.journal.clone();
        // What the journal can't say is kept.
        let swept = self.store.sweep_kept(move |job| !matches!(journal.get(job), Ok(None))).await?;
        if jobs + swept > 0 {
            tracing::info!(jobs, swept_files = swept, "jobs taken up again");
        }
        Ok(())
    }

    /// A job that was accepted before and is the same: its video need not be kept.
    pub async fn before(&self, client: ClientTag, ask: &Ask) -> Result<Option<Record>, JobError> {
        let (journal, ask) = (self.journal.clone(), ask.clone());
        match blocking(move || Ok(journal.before(client, &ask)?)).await? {
            Taken::New => Ok(None),
            Taken::Before(record) => Ok(Some(self.newest(*record))),
            Taken::KeyOfAnother => Err(JobError::KeyOfAnother),
        }
    }

    /// Accepts a job: it is safe on disk when this returns.
    pub async fn accept(
        &self,
        client: ClientTag,
        ask: Ask,
        mut upload: Upload,
    ) -> Result<Accepted, JobError> {
        if let Some(record) = self.before(client, &ask).await? {
            return Ok(Accepted { record, new: false });
        }
        self.has_room(client)?;
        let record = Record {
            number: JobNumber::of_now(),
            keeping: Keeping::by(self.node.clone()),
            client,
            ask,
            accepted_ms: now_ms(),
            begun: 0,
            interrupted: 0,
            stage: Stage::Queued,
            notice: None,
        };
        let number = record.number;
        self.store.keep_input(number, &upload).await?;
        let (journal, entry) = (self.journal.clone(), record.clone());
        let dir = self.store.folder().clone();
        let taken = blocking(move || roomy(&dir, || journal.take(&entry))).await;
        let before = match taken {
            Ok(Taken::New) => {
                let (id, content) = (record.id(), &record.ask.content);
                self.events.tell(&NodeEvent::JobAccepted { id: &id, content });
                self.enter(record.clone(), upload.room.take(), false);
                return Ok(Accepted { record, new: true });
            }
            Ok(Taken::Before(record)) => Ok(Accepted { record: self.newest(*record), new: false }),
            Ok(Taken::KeyOfAnother) => Err(JobError::KeyOfAnother),
            Err(error) => Err(error),
        };
        self.store.drop_input(number).await?;
        before
    }

    /// How many jobs of this client have not come to their end here.
    pub fn unfinished_of(&self, client: ClientTag) -> usize {
        self.board.lock().by_client.get(&client).copied().unwrap_or(0)
    }

    fn has_room(&self, client: ClientTag) -> Result<(), JobError> {
        let board = self.board.lock();
        if board.unfinished.len() >= UNFINISHED_MAX {
            return Err(JobError::TooMany { max: UNFINISHED_MAX });
        }
        match board.by_client.get(&client) {
            Some(count) if *count >= UNFINISHED_PER_CLIENT_MAX => {
                Err(JobError::TooManyOfClient { max: UNFINISHED_PER_CLIENT_MAX })
            }
            _ => Ok(()),
        }
    }

    /// A job that this node holds from now on.
    fn enter(&self, record: Record, room: Option<Room>, unsure: bool) {
        let mut board = self.board.lock();
        if !unsure {
            board.line.push(waiting(&record));
        }
        *board.by_client.entry(record.client).or_default() += 1;
        board.untold.insert(record.number);
        let cancel = CancellationToken::new();
        let unfinished = Unfinished { record, room, cancel, ends: false, unsure };
        board.unfinished.insert(unfinished.record.number, unfinished);
        drop(board);
        self.woken.notify_one();
        self.untold.notify_one();
    }

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

    fn begin_to_end(&self, number: JobNumber, stage: Stage) -> Option<Record> {
        let mut board = self.board.lock();
        let job = board.unfinished.get_mut(&number).filter(|job| !job.ends)?;
        job.ends = true;
        let mut record = Record { stage, ..job.record.clone() };
        record.notice = record.ask.webhook.is_some().then(|| Notice::new(now_ms()));
        record.keeping.version += 1;
        board.line.remove(number);
        Some(record)
    }

    async fn ended(&self, record: &Record) {
        {
            let mut board = self.board.lock();
            drop(board.take_out(record.number));
            board.untold.insert(record.number);
        }
        self.untold.notify_one();
        self.will_notice(record);
        if let Err(error) = self.store.drop_input(record.number).await {
            tracing::warn!(%error, "a job's video can't be deleted: the next start does it");
        }
        let (state, id) = (record.stage.state(), record.id());
        self.events.tell(&NodeEvent::JobEnded { id: &id, content: &record.ask.content, state });
    }

    /// A client does not want a job any more. One that has come to its end is forgotten. The job as it was or is now, if there is one.
    pub async fn cancel(&self, number: JobNumber) -> Result<Option<Record>, JobError> {
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
    fn goes_on(&self, number: JobNumber) {
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

    /// A job, or the copy of one.
    pub async fn find(&self, number: JobNumber) -> Result<Option<Record>, JobError> {
        if let Some(record) = self.board.lock().record(number) {
            return Ok(Some(record.clone()));
        }
        let journal = self.journal.clone();
        blocking(move || Ok(journal.get(number)?)).await
    }

    /// Jobs that this node holds, the newest first, and copies of those that these nodes hold.
    pub async fn list(
        &self,
        filter: JobFilter,
        away: impl Fn(&NodeName) -> bool + Send + 'static,
    ) -> Result<Vec<Record>, JobError> {
        let (journal, own) = (self.journal.clone(), self.node.clone());
        let shown = move |record: &Record| record.keeping.holder == own || away(&record.keeping.holder);
        let records = blocking(move || Ok(journal.list(&filter, shown)?)).await?;
        Ok(records.into_iter().map(|record| self.newest(record)).collect())
    }

    /// The record as it is in memory, where that is newer.
    fn newest(&self, record: Record) -> Record {
        self.board.lock().record(record.number).cloned().unwrap_or(record)
    }

    /// Forgets what has come to its end long enough ago.
    pub async fn sweep(&self) -> Result<(), JobError> {
        let (journal, before) =
            (self.journal.clone(), now_ms().saturating_sub(self.retention.as_millis() as u64));
        let old = blocking(move || Ok(journal.ended_before(before)?)).await?;
        if old.is_empty() {
            return Ok(());
        }
        tracing::debug!(jobs = old.len(), "jobs forgotten");
        self.forget(old).await
    }

    async fn forget(&self, records: Vec<Record>) -> Result<(), JobError> {
        for record in &records {
            self.store.drop_kept(record.number, record.ask.profiles.len()).await?;
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

    /// How many wait or run, and how many of them run.
    pub fn unfinished(&self) -> (usize, usize) {
        let board = self.board.lock();
        (board.unfinished.len(), board.running)
    }

    async fn write(&self, record: &Record) -> Result<(), JobError> {
        let (journal, record) = (self.journal.clone(), record.clone());
        let dir = self.store.folder().clone();
        blocking(move || roomy(&dir, || journal.put(&record)).map(drop)).await
    }
}

impl Board {
    /// What is in memory of a job.
    fn record(&self, number: JobNumber) -> Option<&Record> {
        let held = self.unfinished.get(&number).map(|job| &job.record);
        held.or_else(|| self.copies.get(&number).map(|copy| &copy.record))
    }

    /// Takes out a job that this node holds; the work on it ends.
    fn take_out(&mut self, number: JobNumber) -> Option<Unfinished> {
        let job = self.unfinished.remove(&number)?;
        job.cancel.cancel();
        self.line.remove(number);
        self.untold.remove(&number);
        if let Some(count) = self.by_client.get_mut(&job.record.client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&job.record.client);
            }
        }
        Some(job)
    }
}

const fn waiting(record: &Record) -> Waiting {
    Waiting { number: record.number, client: record.client, priority: record.ask.priority }
}

/// A change of the journal. Where the disk is full, results that are only cached make room for it.
fn roomy<T>(dir: &DataDir, mut step: impl FnMut() -> Result<T, JournalError>) -> Result<T, JobError> {
    let mut failed = None;
    let done = dir.with_room(JOURNAL_ROOM_BYTES, || match step() {
        Err(error) if error.is_full() => Err(io::Error::from(io::ErrorKind::StorageFull)),
        Err(error) => {
            failed = Some(error);
            Ok(None)
        }
        Ok(done) => Ok(Some(done)),
    })?;
    match (done, failed) {
        (Some(done), _) => Ok(done),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(io::Error::from(io::ErrorKind::StorageFull).into()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobError> + Send + 'static,
) -> Result<T, JobError> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
