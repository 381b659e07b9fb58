//! Copies of other nodes' jobs, and own jobs of which another node has a copy. Who asks whom is in src/node/keepers.rs.

use std::collections::BTreeMap;
use std::sync::Arc;

use starling_overlay::NodeName;

use super::{
    INTERRUPTED_MAX, JobError, JobNumber, Jobs, Record, Stage, UNFINISHED_MAX, blocking, now_ms, roomy,
};
use crate::content::ClientTag;
use crate::events::NodeEvent;
use crate::jobs::Failure;
use crate::store::Room;
use crate::trace;

/// Copies of one other node's jobs that have not come to their end: as many as it may have itself.
const COPIES_PER_NODE_MAX: usize = UNFINISHED_MAX;
/// And of all of them.
const COPIES_MAX: usize = 2 * UNFINISHED_MAX;
/// Copies of one other node's jobs that have come to their end.
const ENDED_PER_NODE_MAX: u64 = 100_000;

/// Forgotten copies that are remembered as such.
const FORGOTTEN_MAX: usize = 1024;

/// The copy of a job of which something may change yet: it has not come to its end, or its client does not know.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) record: Record,
    /// What its video takes of the room for uploads.
    pub(super) room: Option<Room>,
}

/// What is kept of one other node's jobs that have come to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    jobs: u64,
    bytes: u64,
}

/// Nothing else changes a job or its copy while this lives.
#[derive(Debug)]
pub struct Arriving<'a> {
    jobs: &'a Jobs,
    number: JobNumber,
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.jobs.board.lock().arriving.remove(&self.number);
    }
}

/// Whose share of the room for uploads a copy takes: that of the node that holds the job.
pub(super) fn tag_of(holder: &NodeName) -> ClientTag {
    ClientTag::of_peer(holder.as_str())
}

/// Bytes of a job's results.
fn result_bytes(record: &Record) -> u64 {
    match &record.stage {
        Stage::Done { outputs, .. } => outputs.iter().map(|output| output.meta.bytes).sum(),
        _ => 0,
    }
}

impl Jobs {
    /// Keeps a job from being changed by another node's word but this one. None: another one is being heard.
    pub fn arriving(&self, number: JobNumber) -> Option<Arriving<'_>> {
        let free = self.board.lock().arriving.insert(number);
        free.then_some(Arriving { jobs: self, number })
    }

    /// Whether there is room for one more of a node's jobs here. `results_bytes_max`: what results of one node's jobs may take.
    pub fn may_copy(&self, record: &Record, results_bytes_max: u64) -> Result<(), JobError> {
        let (board, holder) = (self.board.lock(), &record.keeping.holder);
        if record.stage.state().is_over() {
            let Results { jobs, bytes } = board.results.get(holder).copied().unwrap_or_default();
            if jobs >= ENDED_PER_NODE_MAX {
                return Err(JobError::TooMany { max: ENDED_PER_NODE_MAX as usize });
            }
            let bytes = bytes.saturating_add(result_bytes(record));
            return if bytes > results_bytes_max {
                Err(JobError::TooManyResults { max: results_bytes_max })
            } else {
                Ok(())
            };
        }
        if board.copies.contains_key(&record.number) || board.unfinished.contains_key(&record.number) {
            return Ok(());
        }
        let of_holder = board.copies.values().filter(|copy| copy.record.keeping.holder == *holder).count();
        match (board.copies.len(), of_holder) {
            (COPIES_MAX.., _) => Err(JobError::TooMany { max: COPIES_MAX }),
            (_, COPIES_PER_NODE_MAX..) => Err(JobError::TooMany { max: COPIES_PER_NODE_MAX }),
            _ => Ok(()),
        }
    }

    /// Takes another node's word for what a job is; what belongs to it is here. `room`: what its video takes, where that came just now.
    pub async fn adopt(
        &self,
        arriving: &Arriving<'_>,
        mut record: Record,
        room: Option<Room>,
    ) -> Result<(), JobError> {
        let number = record.number;
        if record.keeping.holder == self.node && matches!(record.stage, Stage::Running { .. }) {
            // It was at work here, and this node's own journal knows less of that.
            record.interrupted += 1;
            record.stage = Stage::Queued;
            record.keeping.version += 1;
        }
        let before = self.find(number).await?;
        if self.board.lock().forgotten.contains(&number) {
            return self.let_go(arriving, before.unwrap_or(record)).await;
        }
        {
            // Its end is not written meanwhile.
            let mut board = self.board.lock();
            if let Some(job) = board.unfinished.get_mut(&number) {
                if job.ends {
                    return Err(JobError::Busy);
                }
                job.ends = true;
            }
        }
        if let Err(error) = self.write_copy(&record).await {
            self.goes_on(number);
            return Err(error);
        }
        let (over, own) = (record.stage.state().is_over(), record.keeping.holder == self.node);
        let (room, was_own) = {
            let mut board = self.board.lock();
            let held = board.take_out(number);
            let was_own = held.is_some();
            let copy = board.copies.remove(&number);
            let room = room.or(held.and_then(|job| job.room)).or(copy.and_then(|copy| copy.room));
            board.notices.remove(&number);
            if !own && !record.is_settled() {
                let room = if over { None } else { room };
                board.copies.insert(number, Copy { record: record.clone(), room });
                (None, was_own)
            } else {
                (room, was_own)
            }
        };
        if over {
            drop(room);
            if let Some(before) = &before {
                self.uncount_results(before);
            }
            self.count(&record);
            self.settle_video(&record).await;
            if own {
                self.will_notice(&record);
            }
        } else if own {
            if !was_own {
                self.tell_taken_over(&record);
            }
            self.enter(record, room, false);
        }
        Ok(())
    }

    /// Gives up what is kept of a job of which other nodes are the keepers.
    pub async fn let_go(&self, _arriving: &Arriving<'_>, record: Record) -> Result<(), JobError> {
        {
            let mut board = self.board.lock();
            if board.unfinished.get(&record.number).is_some_and(|job| job.ends) {
                return Err(JobError::Busy);
            }
            drop(board.take_out(record.number));
            board.copies.remove(&record.number);
        }
        self.forget(vec![record]).await
    }

    /// Forgets what a node's client wants forgotten that holds it.
    pub async fn forget_copy(&self, number: JobNumber, from: &NodeName) -> Result<(), JobError> {
        {
            let mut board = self.board.lock();
            board.forgotten.insert(number);
            if board.forgotten.len() > FORGOTTEN_MAX {
                board.forgotten.pop_first();
            }
        }
        // What is on its way finds that it is forgotten.
        let Some(arriving) = self.arriving(number) else { return Ok(()) };
        match self.find(number).await? {
            Some(record) if record.keeping.holder == *from && record.stage.state().is_over() => {
                self.let_go(&arriving, record).await
            }
            _ => Ok(()),
        }
    }

    /// Becomes the holder of a job of which there is a copy here. None: there is none that has not come to its end, or it changes just now.
    pub async fn take_over(self: &Arc<Self>, number: JobNumber) -> Result<Option<Record>, JobError> {
        let jobs = Arc::clone(self);
        trace::to_the_end(async move { jobs.taken_over(number).await }).await
    }

    async fn taken_over(&self, number: JobNumber) -> Result<Option<Record>, JobError> {
        let Some(_arriving) = self.arriving(number) else { return Ok(None) };
        let record = {
            let board = self.board.lock();
            let Some(copy) = board.copies.get(&number) else { return Ok(None) };
            copy.record.taken_over(&self.node)
        };
        self.write_copy(&record).await?;
        if record.stage.state().is_over() {
            // Its client is not told yet, or not known to be.
            let copy = self.board.lock().copies.remove(&number);
            if let Some(copy) = &copy {
                self.uncount_results(&copy.record);
            }
            self.board.lock().untold.insert(number);
            self.will_notice(&record);
            return Ok(Some(record));
        }
        let room = self.board.lock().copies.remove(&number).and_then(|copy| copy.room);
        self.tell_taken_over(&record);
        self.enter(record.clone(), room, false);
        let times = record.interrupted;
        if times >= INTERRUPTED_MAX {
            let why = Failure::Interrupted { times };
            self.finish(number, Stage::Failed { at_ms: now_ms(), why }).await;
        }
        Ok(Some(record))
    }

    fn tell_taken_over(&self, record: &Record) {
        let (id, content) = (record.id(), &record.ask.content);
        let term = record.keeping.term;
        self.events.tell(&NodeEvent::JobTakenOver { id: &id, content, term });
    }

    /// The copies of jobs of which something may change yet: who holds them, and how new they are.
    pub fn copies(&self) -> Vec<(NodeName, Record)> {
        let board = self.board.lock();
        board.copies.values().map(|copy| (copy.record.keeping.holder.clone(), copy.record.clone())).collect()
    }

    /// Own jobs of whose newest change the second node does not know; from now on it is taken to know.
    pub fn take_untold(&self) -> Vec<JobNumber> {
        std::mem::take(&mut self.board.lock().untold).into_iter().collect()
    }

    /// It does not know yet.
    pub fn still_untold(&self, number: JobNumber) {
        self.board.lock().untold.insert(number);
    }

    /// Resolves when there may be something for [`Self::take_untold`].
    pub async fn untold(&self) {
        self.untold.notified().await;
    }

    /// A job that this node holds, whether it has come to its end or not.
    pub async fn held(&self, number: JobNumber) -> Result<Option<Record>, JobError> {
        Ok(self.find(number).await?.filter(|record| record.keeping.holder == self.node))
    }

    /// Own jobs that other nodes held before, which may not know that they do not hold them any more.
    pub fn held_before(&self) -> Vec<Record> {
        let board = self.board.lock();
        let held = board.unfinished.values().map(|job| &job.record);
        held.filter(|record| !record.keeping.former.is_empty()).cloned().collect()
    }

    /// Jobs that were there when the node started, and for which it was not asked yet whether another node has taken them over.
    pub fn unsure(&self) -> Vec<Record> {
        let board = self.board.lock();
        board.unfinished.values().filter(|job| job.unsure).map(|job| job.record.clone()).collect()
    }

    /// The same of one job.
    pub fn is_unsure(&self, number: JobNumber) -> bool {
        self.board.lock().unfinished.get(&number).is_some_and(|job| job.unsure)
    }

    /// Changes who keeps a job that this node holds, in memory and in the journal.
    pub async fn change_keepers(
        &self,
        number: JobNumber,
        change: impl Fn(&mut Record),
    ) -> Result<(), JobError> {
        let changed = {
            let mut board = self.board.lock();
            match board.unfinished.get_mut(&number) {
                // Its end is written with what was known before.
                Some(job) if job.ends => return Ok(()),
                Some(job) => {
                    change(&mut job.record);
                    Some(job.record.clone())
                }
                None => None,
            }
        };
        let record = if let Some(record) = changed {
            record
        } else {
            let Some(mut record) = self.held(number).await? else { return Ok(()) };
            change(&mut record);
            record
        };
        self.write(&record).await
    }

    /// A job goes to another node, which has said that it holds it now. `record`: as it is from now on.
    pub async fn handed_over(&self, record: Record) -> Result<(), JobError> {
        let Some(arriving) = self.arriving(record.number) else { return Err(JobError::Busy) };
        self.adopt(&arriving, record, None).await
    }

    /// The nodes that have copies of jobs which this node holds and that have not come to their end, and which jobs those are.
    pub fn by_second(&self) -> BTreeMap<NodeName, Vec<JobNumber>> {
        let board = self.board.lock();
        let mut by_second: BTreeMap<NodeName, Vec<JobNumber>> = BTreeMap::new();
        for (number, job) in board.unfinished.iter().filter(|(_, job)| !job.ends) {
            let Some(second) = &job.record.keeping.second else { continue };
            match by_second.get_mut(second) {
                Some(numbers) => numbers.push(*number),
                None => drop(by_second.insert(second.clone(), vec![*number])),
            }
        }
        by_second
    }

    /// The jobs that this node holds and that have not come to their end, the oldest first; with `waiting` those alone that wait.
    pub fn held_unfinished(&self, waiting: bool) -> Vec<Record> {
        let board = self.board.lock();
        let held = board.unfinished.values().filter(|job| !job.ends).map(|job| &job.record);
        held.filter(|record| !waiting || record.stage == Stage::Queued).cloned().collect()
    }

    async fn write_copy(&self, record: &Record) -> Result<(), JobError> {
        let (journal, record) = (self.journal.clone(), record.clone());
        let dir = self.store.folder().clone();
        blocking(move || roomy(&dir, || journal.copy(&record))).await
    }

    /// What was kept of other nodes' jobs when the node ended.
    pub(super) async fn count_results(&self) -> Result<(), JobError> {
        let (journal, own) = (self.journal.clone(), self.node.clone());
        let ended = blocking(move || {
            let mut ended = Vec::new();
            journal.ended_copies(&own, |record| {
                ended.push((record.keeping.holder.clone(), result_bytes(record)));
            })?;
            Ok(ended)
        })
        .await?;
        let mut board = self.board.lock();
        for (holder, bytes) in ended {
            let results = board.results.entry(holder).or_default();
            (results.jobs, results.bytes) = (results.jobs + 1, results.bytes.saturating_add(bytes));
        }
        Ok(())
    }

    fn count(&self, record: &Record) {
        if record.keeping.holder == self.node {
            return;
        }
        let mut board = self.board.lock();
        let results = board.results.entry(record.keeping.holder.clone()).or_default();
        results.jobs += 1;
        results.bytes = results.bytes.saturating_add(result_bytes(record));
    }

    /// A copy of a job that has come to its end is forgotten.
    pub(super) fn uncount_results(&self, record: &Record) {
        if !record.stage.state().is_over() {
            return;
        }
        let mut board = self.board.lock();
        let Some(results) = board.results.get_mut(&record.keeping.holder) else { return };
        results.jobs = results.jobs.saturating_sub(1);
        results.bytes = results.bytes.saturating_sub(result_bytes(record));
        if results.jobs == 0 {
            board.results.remove(&record.keeping.holder);
        }
    }
}
