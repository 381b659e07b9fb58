//! Jobs: uploads whose answer outlives their connection. Accepted, kept on disk, done, fetched.
//!
//! ```text
//!  accept         accepting.rs          the video and the entry in the journal (journal.rs) are safe on disk before the client is told
//!   -> next        running.rs, line.rs   interactive ones first, clients by turns; whoever has no place is tried again later
//!   -> put_off | finish    ending.rs     src/node/jobs.rs does the work: the journey that an upload makes
//!   -> forget              ending.rs     some time after its end, with its results
//!   -> retry               retry.rs      what failed or was cancelled is done again, as a new job
//! ```
//!
//! The jobs that have not come to their end are in memory, too (board.rs); the others are in the journal alone. A node that ends, however it
//! ends, begins them again when it starts. What a second node keeps of a job, and when it becomes its own: copies.rs, keeping.rs.

mod accepting;
mod board;
mod copies;
mod ending;
mod id;
mod journal;
mod keeping;
mod line;
mod notices;
mod record;
mod retry;
mod running;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use starling_overlay::NodeName;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use board::{Board, Unfinished};
pub use copies::Arriving;
use copies::Copy;
pub use id::{JobId, JobIdError, JobNumber};
pub use journal::{Journal, JournalError, Taken};
pub use keeping::{Keeping, Rank};
pub use line::Turn;
#[cfg(test)]
pub(crate) use record::tests as testing;
pub use record::{Ask, Failure, Notice, Output, Record, Stage, Wish, now_ms};
pub use retry::RETRY_KEPT;
pub use running::Begun;
use running::{INTERRUPTED_MAX, waiting};

use crate::api::JobFilter;
use crate::content::ClientTag;
use crate::events::Events;
use crate::store::{DataDir, Room, Store};

/// Jobs of a node that have not come to their end, at the most: all of them are in memory.
const UNFINISHED_MAX: usize = 10_000;
/// And of one client.
const UNFINISHED_PER_CLIENT_MAX: usize = UNFINISHED_MAX / 2;
/// What a new journal takes of the disk, and more than a change of one.
const JOURNAL_ROOM_BYTES: u64 = 2 << 20;

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
    /// Its video is not kept any more, or was not.
    #[error("its video is here no more: send it again (POST /jobs)")]
    VideoGone,
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
            self.board.lock().doubtful.insert(number);
            self.enter(record, room, true);
            if !unsure {
                self.is_own(number).await;
            }
        }
        let swept = self.sweep_at_start().await?;
        if jobs + swept > 0 {
            tracing::info!(jobs, swept_files = swept, "jobs taken up again");
        }
        Ok(())
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
