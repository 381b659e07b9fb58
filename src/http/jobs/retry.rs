//! `POST /jobs/{id}/retry`: a job that failed or was cancelled is done again, by a node that has kept its video.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use starling_overlay::NodeName;

use super::keeper::{Found, away, located, not_found};
use super::{answer_accepted, json, named};
use crate::api::{JobAnswer, JobJson, JobQuestion, JobState, Problem};
use crate::http::respond::{problem, problem_told};
use crate::http::{ApiError, Body, caller, request};
use crate::jobs::{Accepted, JobId, Jobs, Record};
use crate::node::Node;
use crate::store::IngestError;
use crate::trace;

/// The new job, or the one that does the same already: and whether it is new.
type Retried = (JobJson, bool);

/// Why a job is not done again.
enum Refusal {
    /// By this node's word.
    Own(ApiError),
    /// By that of a node that keeps it.
    Told(Box<Problem>),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Own(error)
    }
}

impl Refusal {
    fn is_video_gone(&self) -> bool {
        match self {
            Self::Own(error) => *error == ApiError::VideoGone,
            Self::Told(problem) => problem.slug() == Some(ApiError::VideoGone.slug()),
        }
    }
}

pub(in crate::http) async fn retry(
    node: &Arc<Node>,
    client: IpAddr,
    id: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, _) = request.into_parts();
    let retried = async {
        let id = named(id)?;
        let allowed = request::retry_allowed(&head, node.config().deadline_max)?;
        // It is paid for as an upload is, whose bytes are here already.
        let charge = caller::charge(node, (client, &head.extensions, &head.headers), (1, Arc::default()))?;
        let retried = at_keeper(node, &id, allowed).await;
        drop(charge);
        retried
    };
    match retried.await {
        Ok((job, new)) => answer_accepted(&job, new),
        Err(Refusal::Own(error)) => problem(&error),
        Err(Refusal::Told(document)) => problem_told(&document),
    }
}

/// Asks the nodes that keep a job, the holder first, until one has its video.
async fn at_keeper(node: &Arc<Node>, id: &JobId, allowed: Option<Duration>) -> Result<Retried, Refusal> {
    let Found { job, by } = located(node, id).await?;
    may_be_done_again(&job)?;
    let own = &node.identity().name;
    let teller = by.as_ref().map_or(own, |by| &by.name);
    let mut keepers: Vec<&NodeName> = job.kept_at.iter().collect();
    if !keepers.contains(&teller) {
        keepers.push(teller);
    }
    let mut refusal = Refusal::Own(away(&job.node, "it is no live member"));
    for keeper in keepers {
        let answered = if keeper == own {
            here(node, id, allowed).await.map_err(Refusal::Own)
        } else if let Some(peer) = node.live(keeper) {
            let allowed_ms = allowed.map(|allowed| allowed.as_millis() as u64);
            let question = JobQuestion::Retry { id: id.clone(), allowed_ms };
            // One that did not answer may have accepted it: no other one is asked then.
            let answer = node.ask_jobs(&peer, &question).await;
            let answer = answer.map_err(|error| away(keeper, &error.to_string()))?;
            heard(id, answer)
        } else {
            continue;
        };
        match answered {
            Err(other) if other.is_video_gone() => refusal = other,
            answered => return answered,
        }
    }
    Err(refusal)
}

fn heard(id: &JobId, JobAnswer { jobs, before, refused }: JobAnswer) -> Result<Retried, Refusal> {
    match (refused, jobs.into_iter().next()) {
        (Some(problem), _) => Err(Refusal::Told(Box::new(problem))),
        (None, Some(job)) => Ok((job, !before)),
        (None, None) => Err(not_found(id).into()),
    }
}

fn may_be_done_again(job: &JobJson) -> Result<(), ApiError> {
    match job.state {
        JobState::Failed | JobState::Cancelled => Ok(()),
        JobState::Done => {
            let outputs: Vec<_> = job.outputs.iter().map(|output| output.href.as_str()).collect();
            Err(ApiError::JobDone { outputs: outputs.join(", ") })
        }
        state @ (JobState::Queued | JobState::Running) => Err(ApiError::JobNotOver { state }),
    }
}

/// What this node answers another one that asks it to do a job again.
pub(super) async fn answer(node: &Arc<Node>, id: &JobId, allowed_ms: Option<u64>) -> JobAnswer {
    match here(node, id, allowed_ms.map(Duration::from_millis)).await {
        Ok((job, new)) => JobAnswer { jobs: vec![job], before: !new, refused: None },
        Err(error) => JobAnswer { refused: Some(error.problem()), ..JobAnswer::default() },
    }
}

/// A job is done again by this node, which keeps it.
async fn here(node: &Arc<Node>, id: &JobId, allowed: Option<Duration>) -> Result<Retried, ApiError> {
    let record = node.jobs().find(id.number).await?.filter(|record| record.id() == *id);
    let record = record.ok_or_else(|| not_found(id))?;
    may_be_done_again(&json::of(node, &record))?;
    let Accepted { record, new } = node.copied(accepted(node, &record, allowed).await?).await?;
    Ok((json::of(node, &record), new))
}

async fn accepted(node: &Arc<Node>, of: &Record, allowed: Option<Duration>) -> Result<Accepted, ApiError> {
    if node.is_draining() {
        return Err(ApiError::Draining);
    }
    if node.rests() {
        return Err(ApiError::Resting);
    }
    for name in &of.ask.wish.profiles {
        node.profile(Some(name.as_str()))?;
    }
    trace::identify(of.client, Some(of.ask.content));
    let ask = Jobs::asked_again(of, allowed, trace::current().map(|scope| scope.context().traceparent()));
    // What does the same already needs neither a video nor room.
    if let Some(record) = node.jobs().before(of.client, &ask).await? {
        return Ok(Accepted { record, new: false });
    }
    let room = node.room_of(of.client, ask.bytes).map_err(IngestError::NoRoom)?;
    Ok(node.jobs().retry(of, ask, room).await?)
}
