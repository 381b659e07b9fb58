//! Uploads in parts: a video that comes over several requests, and becomes a job when all of it is there.
//!
//! ```text
//!  create   the plan is safe on disk before the client is told where to send the parts
//!   -> append      what has come of a request stays, however it ends; the offset that a client is told is safe on disk
//!   -> finish      all of it is there: it is accepted as a job (crate::jobs), and its parts are the job's now
//!   -> forgotten   some time after the last byte came, whatever it has become by then
//! ```
//!
//! One request at a time changes an upload. A later one ends an earlier one: a client whose connection is dead asks how far the upload is
//! over a new one, and what it is told has to stay true.
//!
//! The two protocols that clients speak are in `src/http/resumable/`; which of them an upload is sent by is not known here.

mod error;
mod id;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use parking_lot::Mutex;
use starling_overlay::NodeName;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

pub use error::UploadError;
pub use id::{UploadId, UploadIdError};
pub use plan::Plan;

use crate::content::{ClientTag, ContentId};
use crate::jobs::{Ask, JobError, JobId, JobNumber, Wish, now_ms};
use crate::store::{Budget, Checkpoint, Checksum, IngestError, Limits, Order, Part, Room, Store, Upload};

/// Uploads in parts that a node knows of, at the most: each is a little memory, and two files.
const UPLOADS_MAX: usize = 10_000;
/// Longest that a request waits for the one that it ends.
const TAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// The uploads in parts of a node.
#[derive(Debug)]
pub struct Uploads {
    node: NodeName,
    store: Store,
    incoming: Arc<Budget>,
    /// How long an upload is kept of which nothing more comes.
    idle_max: Duration,
    per_client_max: u32,
    board: Mutex<BTreeMap<JobNumber, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    number: JobNumber,
    client: ClientTag,
    /// As it is written down.
    plan: Mutex<Plan>,
    /// Ends the request that has `state`.
    interrupt: Mutex<CancellationToken>,
    state: Arc<tokio::sync::Mutex<State>>,
}

/// What a request has that changes an upload.
#[derive(Debug)]
struct State {
    part: Part,
    /// What its bytes take of the room for uploads; none where there was none when the node started.
    room: Option<Room>,
    /// It is forgotten.
    gone: bool,
}

/// An upload as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it is called.
    pub id: UploadId,
    /// What is to become of it, and how far it is.
    pub plan: Plan,
    /// When it is forgotten unless something comes, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// What a request says of what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Where in the upload it begins.
    pub offset: u64,
    /// How long all of it will be, where the client says so.
    pub length: Option<u64>,
    /// Whether all of it is there with this request's end. It is so, too, when it has its length.
    pub last: bool,
    /// What the body hashes to.
    pub checksum: Option<Checksum>,
}

impl Plan {
    fn is_unfinished(&self) -> bool {
        self.job.is_none()
    }
}

impl Entry {
    fn new(number: JobNumber, plan: Plan, part: Part, room: Option<Room>) -> Arc<Self> {
        let state = Arc::new(tokio::sync::Mutex::new(State { part, room, gone: false }));
        let client = plan.client;
        Arc::new(Self { number, client, plan: Mutex::new(plan), interrupt: Mutex::default(), state })
    }

    fn plan(&self) -> Plan {
        self.plan.lock().clone()
    }

    /// The upload for one request alone; the one that has it ends. What the token ends is the request that gets it.
    async fn take(&self) -> Result<(CancellationToken, OwnedMutexGuard<State>), UploadError> {
        let interrupt = CancellationToken::new();
        std::mem::replace(&mut *self.interrupt.lock(), interrupt.clone()).cancel();
        let taken = tokio::time::timeout(TAKE_TIME_MAX, Arc::clone(&self.state).lock_owned());
        Ok((interrupt, taken.await.map_err(|_| UploadError::Busy)?))
    }
}

impl Uploads {
    /// Those in a store; [`Self::resume`] has to be called for what is there.
    pub fn new(
        node: NodeName,
        store: Store,
        incoming: Arc<Budget>,
        (idle_max, per_client_max): (Duration, u32),
    ) -> Self {
        Self { node, store, incoming, idle_max, per_client_max, board: Mutex::default() }
    }

    /// Takes up what an earlier process has left.
    pub async fn resume(&self) -> io::Result<()> {
        for (number, text) in self.store.plans().await? {
            let plan: Plan = match serde_json::from_slice(&text) {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::warn!(upload = %number, %error, "an upload's plan can't be read: left alone");
                    continue;
                }
            };
            let room = if plan.is_unfinished() {
                self.incoming.share_of(plan.client).room(plan.offset).ok()
            } else {
                // It may have ended just before this was done.
                self.store.drop_part(number).await?;
                None
            };
            let entry = Entry::new(number, plan.clone(), Part::of_before(plan.offset), room);
            self.board.lock().insert(number, entry);
        }
        Ok(())
    }

    /// A new upload: it is known after a crash, too, when this returns.
    pub async fn create(
        &self,
        (client, wish): (ClientTag, Wish),
        (length, announced): (Option<u64>, Option<ContentId>),
        metadata: Option<String>,
    ) -> Result<Shown, UploadError> {
        let room = self.incoming.share_of(client).room(0).map_err(IngestError::from)?;
        self.make_place(client).await?;
        let number = JobNumber::of_now();
        let plan = Plan {
            client,
            wish,
            announced,
            length,
            metadata,
            offset: 0,
            whole: false,
            touched_ms: now_ms(),
            job: None,
        };
        self.write(number, &plan).await?;
        let entry = Entry::new(number, plan, Part::new(), Some(room));
        let shown = self.shown(&entry);
        self.board.lock().insert(number, entry);
        Ok(shown)
    }

    /// Room for one more in the list. Where it is full, what has become a job long ago is forgotten first.
    async fn make_place(&self, client: ClientTag) -> Result<(), UploadError> {
        let oldest = {
            let board = self.board.lock();
            let of_client = board
                .values()
                .filter(|entry| entry.client == client && entry.plan.lock().is_unfinished())
                .take(self.per_client_max as usize);
            if of_client.count() == self.per_client_max as usize {
                return Err(UploadError::TooManyOfClient { max: self.per_client_max });
            }
            if board.len() < UPLOADS_MAX {
                return Ok(());
            }
            board.values().find(|entry| !entry.plan.lock().is_unfinished()).cloned()
        };
        let oldest = oldest.ok_or(UploadError::TooMany { max: UPLOADS_MAX })?;
        let (_, mut state) = oldest.take().await?;
        self.forget(&oldest, &mut state).await
    }

    /// An upload as it is, whatever goes on with it.
    pub fn show(&self, id: &UploadId) -> Result<Shown, UploadError> {
        let entry = self.entry(id)?;
        Ok(self.shown(&entry))
    }

    /// Those that have not become jobs, the newest first: of this client alone, older than this one, and no more than that.
    pub fn list(&self, client: Option<ClientTag>, after: Option<JobNumber>, max: usize) -> Vec<Shown> {
        let board = self.board.lock();
        let wanted = |entry: &&Arc<Entry>| {
            client.is_none_or(|client| client == entry.client)
                && after.is_none_or(|after| entry.number < after)
                && entry.plan.lock().is_unfinished()
        };
        board.values().rev().filter(wanted).take(max).map(|entry| self.shown(entry)).collect()
    }

    /// An upload as it stays until its client sends more: whatever else brings parts of it ends.
    pub async fn settled(&self, id: &UploadId) -> Result<Shown, UploadError> {
        let entry = self.entry(id)?;
        let (_, state) = entry.take().await?;
        if state.gone {
            return Err(UploadError::NotFound(id.clone()));
        }
        Ok(self.shown(&entry))
    }

    /// Appends a body. What came of it is there, however this ends, unless a checksum speaks for all of it, or the upload can't become
    /// anything: then it is forgotten.
    pub async fn append<B>(
        &self,
        id: &UploadId,
        given: Given,
        body: B,
        limits: &Limits,
    ) -> Result<Shown, UploadError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let entry = self.entry(id)?;
        let (interrupt, mut state) = entry.take().await?;
        if state.gone {
            return Err(UploadError::NotFound(id.clone()));
        }
        let plan = entry.plan();
        if given.offset != plan.offset {
            return Err(UploadError::Offset { expected: plan.offset, given: given.offset });
        }
        if plan.whole {
            // Said once more by a client that did not get the answer.
            return if body.size_hint().exact() == Some(0) {
                Ok(self.shown(&entry))
            } else {
                Err(UploadError::Complete { offset: plan.offset })
            };
        }
        let length = match (plan.length, given.length) {
            (Some(known), Some(given)) if known != given => {
                return Err(UploadError::Length { known, given });
            }
            (known, given) => known.or(given),
        };
        if let Some(length) = length.filter(|length| *length < plan.offset) {
            return Err(UploadError::Length { known: plan.offset, given: length });
        }
        // What it is to be is known before anything comes of it, and stays known.
        if length != plan.length {
            self.change(&entry, |plan| plan.length = length).await?;
        }
        let order = Order { limits, length, checksum: given.checksum, interrupt };
        let done = self.receive(&entry, &mut state, body, order).await;
        let outcome = match done {
            Ok(()) => self.is_whole(&entry, given.last).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            if error.is_final() {
                self.forget(&entry, &mut state).await?;
            }
            return Err(error);
        }
        Ok(self.shown(&entry))
    }

    async fn receive<B>(
        &self,
        entry: &Entry,
        state: &mut State,
        body: B,
        order: Order<'_>,
    ) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let State { part, room, .. } = state;
        let room = if let Some(room) = room {
            room
        } else {
            let again = self.incoming.share_of(entry.client).room(part.bytes());
            room.insert(again.map_err(IngestError::from)?)
        };
        self.store
            .append((entry.number, part), body, (order, room), &PlanCheckpoint { uploads: self, entry })
            .await?;
        Ok(())
    }

    async fn is_whole(&self, entry: &Entry, last: bool) -> Result<(), UploadError> {
        let Plan { offset, length, .. } = entry.plan();
        match length {
            _ if !last && length != Some(offset) => Ok(()),
            Some(known) if known != offset => Err(UploadError::Length { known, given: offset }),
            _ => Ok(self.change(entry, |plan| (plan.whole, plan.length) = (true, Some(offset))).await?),
        }
    }

    /// Makes a job of an upload that is whole, by `accept`; none where it is not whole. What has become one is not made one again.
    pub async fn finish<F>(
        &self,
        id: &UploadId,
        accept: impl FnOnce(ClientTag, Ask, Upload) -> F + Send,
    ) -> Result<Option<JobId>, UploadError>
    where
        F: Future<Output = Result<JobId, JobError>> + Send,
    {
        let entry = self.entry(id)?;
        let (_, mut state) = entry.take().await?;
        if state.gone {
            return Err(UploadError::NotFound(id.clone()));
        }
        let plan = entry.plan();
        if !plan.whole || plan.job.is_some() {
            return Ok(plan.job);
        }
        let made = match self.whole(&entry, &plan, &mut state).await {
            Ok(upload) => {
                let ask = plan.wish.clone().of(&upload);
                accept(plan.client, ask, upload).await.map_err(UploadError::from)
            }
            Err(error) => Err(error),
        };
        match made {
            Ok(job) => {
                self.change(&entry, |plan| plan.job = Some(job.clone())).await?;
                state.room = None;
                self.store.drop_part(entry.number).await?;
                Ok(Some(job))
            }
            Err(error) => {
                if error.is_final() {
                    self.forget(&entry, &mut state).await?;
                }
                Err(error)
            }
        }
    }

    async fn whole(&self, entry: &Entry, plan: &Plan, state: &mut State) -> Result<Upload, UploadError> {
        let State { part, room, .. } = state;
        let upload = self.store.whole(entry.number, part, room.take()).await?;
        match plan.announced {
            Some(announced) if announced != upload.content => Err(mismatch(announced, upload.content)),
            _ => Ok(upload),
        }
    }

    /// The client does not want it any more. What has become a job stays one.
    pub async fn end(&self, id: &UploadId) -> Result<(), UploadError> {
        let entry = self.entry(id)?;
        let (_, mut state) = entry.take().await?;
        if state.gone {
            return Err(UploadError::NotFound(id.clone()));
        }
        self.forget(&entry, &mut state).await
    }

    /// Forgets what nothing came of for too long, and tells which are whole and no job yet.
    pub async fn sweep(&self) -> Result<Vec<UploadId>, UploadError> {
        let (entries, now) = (self.board.lock().values().cloned().collect::<Vec<_>>(), now_ms());
        let mut whole = Vec::new();
        for entry in entries {
            let shown = self.shown(&entry);
            // What somebody is at is not at rest.
            let Ok(mut state) = Arc::clone(&entry.state).try_lock_owned() else { continue };
            if shown.expires_ms <= now {
                tracing::debug!(upload = %shown.id, bytes = shown.plan.offset, "an upload in parts is forgotten");
                self.forget(&entry, &mut state).await?;
            } else if shown.plan.whole && shown.plan.is_unfinished() {
                whole.push(shown.id);
            }
        }
        Ok(whole)
    }

    /// Ends all requests that bring parts: the node ends.
    pub fn interrupt(&self) {
        for entry in self.board.lock().values() {
            entry.interrupt.lock().cancel();
        }
    }

    /// How many there are that have not become jobs, and how many bytes of them have come.
    pub fn unfinished(&self) -> (usize, u64) {
        let board = self.board.lock();
        let plans = board.values().map(|entry| entry.plan.lock());
        plans
            .filter(|plan| plan.is_unfinished())
            .fold((0, 0), |(count, bytes), plan| (count + 1, bytes + plan.offset))
    }

    fn entry(&self, id: &UploadId) -> Result<Arc<Entry>, UploadError> {
        let entry = self.board.lock().get(&id.number).cloned().filter(|_| id.node == self.node);
        entry.ok_or_else(|| UploadError::NotFound(id.clone()))
    }

    fn shown(&self, entry: &Entry) -> Shown {
        let plan = entry.plan();
        let expires_ms = plan.touched_ms.saturating_add(self.idle_max.as_millis() as u64);
        Shown { id: UploadId { number: entry.number, node: self.node.clone() }, plan, expires_ms }
    }

    /// Changes a plan: on disk first.
    async fn change(&self, entry: &Entry, change: impl FnOnce(&mut Plan)) -> io::Result<()> {
        let mut plan = entry.plan();
        change(&mut plan);
        self.write(entry.number, &plan).await?;
        *entry.plan.lock() = plan;
        Ok(())
    }

    async fn write(&self, number: JobNumber, plan: &Plan) -> io::Result<()> {
        let text = serde_json::to_vec(plan).map_err(io::Error::other)?;
        self.store.write_plan(number, text).await
    }

    async fn forget(&self, entry: &Entry, state: &mut State) -> Result<(), UploadError> {
        self.store.drop_upload(entry.number).await?;
        self.board.lock().remove(&entry.number);
        (state.gone, state.room) = (true, None);
        Ok(())
    }
}

/// How much of an upload is safe, in its plan.
struct PlanCheckpoint<'a> {
    uploads: &'a Uploads,
    entry: &'a Entry,
}

impl Checkpoint for PlanCheckpoint<'_> {
    async fn write(&self, bytes: u64) -> io::Result<()> {
        let change = |plan: &mut Plan| (plan.offset, plan.touched_ms) = (bytes, now_ms());
        self.uploads.change(self.entry, change).await
    }
}

fn mismatch(announced: ContentId, got: ContentId) -> UploadError {
    IngestError::DigestMismatch { announced, got }.into()
}
