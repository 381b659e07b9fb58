//! What is in memory of a node's jobs: those that have not come to their end, and what of the others is still to be done.

use std::collections::{BTreeMap, BTreeSet};

use starling_overlay::NodeName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::copies::{Copy, Results};
use super::line::Line;
use super::{JobNumber, Record};
use crate::content::ClientTag;
use crate::store::Room;

#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) unfinished: BTreeMap<JobNumber, Unfinished>,
    pub(super) by_client: BTreeMap<ClientTag, usize>,
    pub(super) line: Line,
    pub(super) running: usize,
    /// Copies of other nodes' jobs that have not come to their end.
    pub(super) copies: BTreeMap<JobNumber, Copy>,
    /// Own jobs that are being accepted: what waits for one of them is woken when it is in, or is none.
    pub(super) accepting: BTreeMap<JobNumber, watch::Receiver<()>>,
    /// Own jobs that were there when the node started, and whose videos were not looked through since: they may not be whole.
    pub(super) doubtful: BTreeSet<JobNumber>,
    /// What is on its way to become one, or to change.
    pub(super) arriving: BTreeSet<JobNumber>,
    /// Copies that were forgotten lately: what is still on its way of them is not kept.
    pub(super) forgotten: BTreeSet<JobNumber>,
    /// When clients are to be told of the ends of own jobs, in milliseconds since 1970.
    pub(super) notices: BTreeMap<JobNumber, u64>,
    /// Own jobs of whose newest change the second node does not know.
    pub(super) untold: BTreeSet<JobNumber>,
    /// What is kept of other nodes' jobs that have come to their end.
    pub(super) results: BTreeMap<NodeName, Results>,
}

#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) record: Record,
    /// What its video takes of the room for uploads.
    pub(super) room: Option<Room>,
    /// Ends the work on it.
    pub(super) cancel: CancellationToken,
    /// Its end is being written.
    pub(super) ends: bool,
    /// It was there when the node started, and another node may have taken it over meanwhile: it is asked first.
    pub(super) unsure: bool,
}

impl Board {
    /// What is in memory of a job.
    pub(super) fn record(&self, number: JobNumber) -> Option<&Record> {
        let held = self.unfinished.get(&number).map(|job| &job.record);
        held.or_else(|| self.copies.get(&number).map(|copy| &copy.record))
    }

    /// Takes out a job that this node holds; the work on it ends.
    pub(super) fn take_out(&mut self, number: JobNumber) -> Option<Unfinished> {
        let job = self.unfinished.remove(&number)?;
        job.cancel.cancel();
        self.line.remove(number);
        self.untold.remove(&number);
        self.doubtful.remove(&number);
        if let Some(count) = self.by_client.get_mut(&job.record.client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&job.record.client);
            }
        }
        Some(job)
    }
}
