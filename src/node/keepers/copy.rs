//! What another node says of a job: kept here, with what belongs to it.

use std::sync::Arc;

use starling_overlay::{Identity, NodeName};
use starling_placement::journey::PeerError;

use crate::api::{COMPARED_MAX, CopyAnswer, CopyQuestion, Held};
use crate::content::ClientTag;
use crate::jobs::{JobError, Record, Stage};
use crate::node::Node;
use crate::store::{IngestError, Limits, Upload};
use crate::trace;

/// Why a job is not kept here as another node wants it to be. What was kept before stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The node that says so is not known.
    #[error("{0} is no member that is known here: its jobs are not kept here")]
    Stranger(NodeName),
    /// There are too many, or the disk refuses.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The video or a result did not come.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The node that says so does not give what belongs to it.
    #[error("what belongs to the job does not come from there: {0}")]
    Peer(#[from] PeerError),
    /// Too many questions in one.
    #[error("at most {COMPARED_MAX} jobs are compared at once")]
    TooManyCompared,
}

impl Node {
    /// Answers a node that keeps a job, too, and does what it says, even if that node does not wait for the answer.
    pub async fn answer_keeper(self: &Arc<Self>, question: CopyQuestion) -> Result<CopyAnswer, KeeperError> {
        let node = Arc::clone(self);
        trace::to_the_end(async move { node.heard_keeper(question).await }).await
    }

    async fn heard_keeper(self: &Arc<Self>, question: CopyQuestion) -> Result<CopyAnswer, KeeperError> {
        match question {
            CopyQuestion::Keep { from, record } => self.keep_copy(&from, *record).await,
            CopyQuestion::Compare { held } => self.compare(held).await,
            CopyQuestion::Forget { from, number } => {
                self.jobs().forget_copy(number, &from).await?;
                Ok(CopyAnswer::default())
            }
        }
    }

    /// Keeps a job as another node says that it is, unless something newer is known here: then that is the answer.
    pub(super) async fn keep_copy(
        self: &Arc<Self>,
        from: &NodeName,
        record: Record,
    ) -> Result<CopyAnswer, KeeperError> {
        let (jobs, holder) = (self.jobs(), &record.keeping.holder);
        if *holder != self.identity().name && self.view().peer(holder).is_none() {
            return Err(KeeperError::Stranger(holder.clone()));
        }
        let arriving = jobs.arriving(record.number).ok_or(JobError::Busy)?;
        let known = jobs.find(record.number).await?;
        if let Some(known) = &known {
            if known.rank() > record.rank() {
                return Ok(CopyAnswer { newer: vec![known.clone()], ..CopyAnswer::default() });
            }
            if known.rank() == record.rank() {
                return Ok(CopyAnswer::default());
            }
        }
        let second = &record.keeping.second;
        if !record.keeping.is_keeper(&self.identity().name) && (second.is_some() || known.is_none()) {
            if let Some(known) = known {
                jobs.let_go(&arriving, known).await?;
            }
            return Ok(CopyAnswer::default());
        }
        jobs.may_copy(&record, self.config().cache_bytes)?;
        let peer = self.live(from).ok_or_else(|| KeeperError::Stranger(from.clone()))?;
        let mut room = None;
        match &record.stage {
            Stage::Done { .. } => self.fetch_results(&peer, &record).await?,
            stage if stage.state().is_over() => {}
            _ if known.is_some_and(|known| !known.stage.state().is_over()) => {}
            _ => {
                let mut video = self.fetch_copy(&peer, &record).await?;
                self.store.keep_input(record.number, &video).await.map_err(JobError::from)?;
                room = video.room.take();
            }
        }
        let (number, is_new) = (record.number, room.is_some());
        if let Err(error) = jobs.adopt(&arriving, record, room).await {
            if is_new {
                self.store.drop_input(number).await.map_err(JobError::from)?;
            }
            return Err(error.into());
        }
        Ok(CopyAnswer::default())
    }

    /// Brings a job's video here. It counts as an upload of the node that holds the job.
    async fn fetch_copy(&self, peer: &Arc<Identity>, record: &Record) -> Result<Upload, KeeperError> {
        let delivery = self.peers.fetch_video(peer, &record.id().to_string()).await?;
        let delivery = delivery.ok_or_else(|| PeerError::NotTaken("it has the video no more".to_owned()))?;
        let holder = ClientTag::of_peer(record.keeping.holder.as_str());
        Ok(self.ingest(delivery.response.into_body(), Some(record.ask.content), holder).await?)
    }

    /// Brings a job's results here, but for those that are here already.
    async fn fetch_results(&self, peer: &Arc<Identity>, record: &Record) -> Result<(), KeeperError> {
        let Stage::Done { outputs, .. } = &record.stage else { return Ok(()) };
        for (at, output) in outputs.iter().enumerate() {
            if self.store.kept_output(record.number, at, output.meta.clone()).await.is_ok() {
                continue;
            }
            let delivery = self.peers.fetch_output(peer, &record.id().to_string(), at).await?;
            let delivery =
                delivery.ok_or_else(|| PeerError::NotTaken("it has that result no more".to_owned()))?;
            let received = self.receive_output(delivery, &Limits::of_result(output.meta.sha256)).await?;
            self.store.keep_received_output(record.number, at, received).await.map_err(JobError::from)?;
        }
        Ok(())
    }

    async fn compare(&self, held: Vec<Held>) -> Result<CopyAnswer, KeeperError> {
        if held.len() > COMPARED_MAX {
            return Err(KeeperError::TooManyCompared);
        }
        let mut answer = CopyAnswer::default();
        for Held { number, rank } in held {
            match self.jobs().find(number).await? {
                None => answer.unknown.push(number),
                Some(record) if record.rank() > rank => answer.newer.push(record),
                Some(_) => {}
            }
        }
        Ok(answer)
    }
}
