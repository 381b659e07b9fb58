//! Which node answers for a job: the one that holds it, else one that has a copy.
//!
//! A job is named after the node that took it. That one holds it, mostly; where it does not, or does not answer, all others are asked.

use std::sync::Arc;

use futures_util::future::join_all;
use starling_overlay::{Identity, NodeName};

use super::{answer, json};
use crate::api::{JobJson, JobQuestion};
use crate::http::ApiError;
use crate::jobs::{JobId, Record};
use crate::node::Node;
use crate::trace;

/// Where a job was found.
pub(super) struct Found {
    pub(super) job: JobJson,
    /// The node that told of it; none: this one.
    pub(super) by: Option<Arc<Identity>>,
}

/// A job, wherever it is kept.
pub(super) async fn find(node: &Arc<Node>, id: &JobId) -> Result<JobJson, ApiError> {
    Ok(located(node, id).await?.job)
}

/// A job that is not wanted any more, as it is then.
pub(super) async fn cancel(node: &Arc<Node>, id: &JobId) -> Result<JobJson, ApiError> {
    let Found { job, by } = located(node, id).await?;
    let holder = node.live(&job.node);
    let is_here = job.node == node.identity().name || holder.is_none() && by.is_none();
    let question = JobQuestion::Cancel { id: id.clone() };
    let answered = if is_here {
        answer(node, question).await?
    } else {
        // Where the holder is away, the one that has the copy becomes it.
        let peer = holder.or(by).ok_or_else(|| away(&job.node, "it is no live member"))?;
        node.ask_jobs(&peer, &question).await.map_err(|error| away(&peer.name, &error.to_string()))?
    };
    answered.jobs.into_iter().next().ok_or_else(|| not_found(id))
}

/// The same of a job that this node keeps. None: it keeps no such job.
pub(super) async fn cancel_here(node: &Arc<Node>, id: &JobId) -> Result<Option<Record>, ApiError> {
    let (node, id) = (Arc::clone(node), id.clone());
    trace::to_the_end(async move { cancelled(&node, &id).await }).await
}

async fn cancelled(node: &Arc<Node>, id: &JobId) -> Result<Option<Record>, ApiError> {
    let jobs = node.jobs();
    let Some(record) = jobs.find(id.number).await? else { return Ok(None) };
    let holder = &record.keeping.holder;
    if *holder != node.identity().name {
        if node.live(holder).is_some() {
            return Err(away(holder, "it is the one to cancel it, and this node has a copy alone"));
        }
        if !record.stage.state().is_over() {
            jobs.take_over(id.number).await?;
        }
    }
    let cancelled = jobs.cancel(id.number).await?;
    if record.stage.state().is_over() {
        node.forget_copy(&record).await;
    } else {
        // A node that takes the job over is not to do what the client was told is cancelled.
        node.copy_job(id.number).await;
    }
    Ok(cancelled)
}

pub(super) fn not_found(id: &JobId) -> ApiError {
    ApiError::NotFound(format!("/jobs/{id}"))
}

pub(super) fn away(node: &NodeName, why: &str) -> ApiError {
    ApiError::JobElsewhere { node: node.to_string(), why: why.to_owned() }
}

pub(super) async fn located(node: &Arc<Node>, id: &JobId) -> Result<Found, ApiError> {
    let own = &node.identity().name;
    let copy = own_word(node, id).await?;
    if let Some(job) = copy.as_ref().filter(|job| job.node == *own) {
        return Ok(Found { job: job.clone(), by: None });
    }
    // The holder knows best, then the one after which the job is named.
    let likely = copy.as_ref().map_or(&id.node, |copy| &copy.node);
    let mut why = "it is no live member".to_owned();
    if let Some(peer) = node.live(likely) {
        match asked(node, &peer, id).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "it does not know the job".clone_into(&mut why),
            Err(error) => why = error,
        }
    }
    if let Some(job) = copy {
        return Ok(Found { job, by: None });
    }
    let view = node.view();
    let others = view.peers.iter().filter(|peer| {
        let name = &peer.identity.name;
        peer.state.is_live() && !peer.identity.is_observer() && name != likely
    });
    let answers = join_all(others.map(|peer| asked(node, &peer.identity, id))).await;
    let all_know = answers.iter().all(Result::is_ok) && why == "it does not know the job";
    let found = answers.into_iter().filter_map(Result::ok).flatten();
    // A holder's own word before that of a copy.
    let best = found.max_by_key(|found| {
        let is_holder = found.by.as_ref().is_some_and(|by| by.name == found.job.node);
        (found.job.state.is_over(), is_holder)
    });
    match best {
        Some(found) => Ok(found),
        None if all_know || id.node == *own => Err(not_found(id)),
        None => Err(away(&id.node, &why)),
    }
}

/// What this node itself knows.
async fn own_word(node: &Arc<Node>, id: &JobId) -> Result<Option<JobJson>, ApiError> {
    let record = node.jobs().find(id.number).await?.filter(|record| record.id() == *id);
    Ok(record.map(|record| json::of(node, &record)))
}

/// What another node knows.
async fn asked(node: &Arc<Node>, peer: &Arc<Identity>, id: &JobId) -> Result<Option<Found>, String> {
    let answer = node.ask_jobs(peer, &JobQuestion::Show { id: id.clone() }).await;
    let jobs = answer.map_err(|error| error.to_string())?.jobs;
    let job = jobs.into_iter().find(|job| job.id == *id);
    Ok(job.map(|job| Found { job, by: Some(Arc::clone(peer)) }))
}
