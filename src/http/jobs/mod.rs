//! `/jobs`: uploads whose answer is fetched later. Any node answers for any job: see `keeper.rs`.

mod json;
mod keeper;
mod output;
mod retry;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LOCATION, LOCATION};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use starling_overlay::{MemberState, NodeName};
use starling_placement::journey::Timings;

use super::respond::{json, problem, set_header};
use super::returnable::{ReturnableBody, returnable};
use super::upload::{Admitted, admit, linger};
use super::{ApiError, Body, caller, request, resumable, upload};
use crate::api::{HEADER, JobAnswer, JobFilter, JobJson, JobQuestion, JobsJson};
use crate::content::ClientTag;
use crate::jobs::{Accepted, JobId, Record, Wish};
use crate::node::Node;
use crate::profile::ProfileName;
use crate::trace;
use crate::webhooks::{Target, TargetError};

pub(super) use output::{kept, output};
pub(super) use retry::retry;
pub(super) use stream::events;

/// Jobs on a page, unless the client says otherwise, and at the most.
const PAGE_JOBS: u16 = 50;
const PAGE_JOBS_MAX: u16 = 200;

/// `POST /jobs`: an upload, answered as soon as it is safe.
pub(super) async fn create(node: &Arc<Node>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    // What is a part alone is the begin of an upload in parts.
    match resumable::is_complete(request.headers()) {
        Ok(Some(false)) => return resumable::create(node, client, request).await,
        Ok(_) => {}
        Err(error) => return problem(&error),
    }
    let (head, body) = request.into_parts();
    accept(node, client, head, body).await
}

/// The same of an upload that prefers it.
pub(super) async fn accept(node: &Arc<Node>, client: IpAddr, head: Parts, body: Incoming) -> Response<Body> {
    let arrived = Instant::now();
    let (admitted, received) = admit(node, client, &head, &body, (arrived, node.config().deadline_max));
    let (body, body_return) = returnable(body, received);
    let outcome = match admitted {
        Ok((admitted, _held)) => take(node, &head, admitted, body).await,
        Err(error) => {
            drop(body);
            Err(error)
        }
    };
    if let Some(rest) = body_return.take_back() {
        linger(&head, rest, &outcome);
    }
    match outcome {
        Ok(Accepted { record, new }) => {
            let mut response = answer_accepted(&json::of(node, &record), new);
            if request::prefers_async(&head) {
                set_header(&mut response, "preference-applied", "respond-async");
            }
            response
        }
        Err(error) => {
            node.tell_refused((error.status().as_u16(), error.slug()), &error, &Timings::new(arrived));
            problem(&error)
        }
    }
}

async fn take(
    node: &Arc<Node>,
    head: &Parts,
    admitted: Admitted,
    body: ReturnableBody,
) -> Result<Accepted, ApiError> {
    let (client, strict, allowed) = (admitted.client, admitted.strict, admitted.deadline.allowed);
    let mut wish = wish(node, head, Vec::new(), (strict, allowed))?;
    // However long the body takes: what a job may take counts from when it is begun.
    let (upload, profiles) = upload::receive(node, admitted, body, &mut wish.filename).await?;
    wish.profiles = profiles.iter().map(|profile| profile.name.clone()).collect();
    let ask = wish.of(&upload);
    Ok(node.accept_job(client, ask, upload).await?)
}

/// What a request's head asks for, as a job of these profiles; `allowed` is what it may take once it is begun.
pub(super) fn wish(
    node: &Node,
    head: &Parts,
    profiles: Vec<ProfileName>,
    (strict, allowed): (bool, Duration),
) -> Result<Wish, ApiError> {
    Ok(Wish {
        filename: request::filename(head),
        profiles,
        strict,
        priority: request::priority(head)?,
        allowed_ms: allowed.as_millis() as u64,
        idempotency_key: request::idempotency_key(head)?,
        trace: trace::current().map(|scope| scope.context().traceparent()),
        webhook: webhook(node, request::webhook(head)?)?,
    })
}

/// Where the client wants to be told of the job's end.
pub(super) fn webhook(node: &Node, url: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(url) = url else { return Ok(None) };
    let bad = |why: &dyn std::fmt::Display| ApiError::BadRequest(format!("{}: {why}", HEADER::WEBHOOK));
    let sender = node.config().webhooks.as_ref();
    let sender =
        sender.ok_or_else(|| bad(&"this node sends none; its operator gives --webhook-secret-file"))?;
    let target: Target = url.parse().map_err(|error: TargetError| bad(&error))?;
    sender.check(&target).map_err(|error| bad(&error))?;
    Ok(Some(url))
}

fn answer_accepted(job: &JobJson, new: bool) -> Response<Body> {
    let status = if new || !job.state.is_over() { StatusCode::ACCEPTED } else { StatusCode::OK };
    located(json(status, job), &job.id)
}

/// The answer to what became a job: as to an upload that came in one piece.
pub(super) async fn accepted(node: &Arc<Node>, id: &JobId) -> Result<Response<Body>, ApiError> {
    let job = keeper::find(node, id).await?;
    Ok(answer_accepted(&job, false))
}

fn located(mut response: Response<Body>, id: &JobId) -> Response<Body> {
    let location = format!("/jobs/{id}");
    set_header(&mut response, LOCATION, &location);
    set_header(&mut response, CONTENT_LOCATION, &location);
    response
}

/// `GET /jobs/{id}`.
pub(super) async fn show(node: &Arc<Node>, id: &str) -> Response<Body> {
    match find(node, id).await {
        Ok(job) => json(StatusCode::OK, &job),
        Err(error) => problem(&error),
    }
}

/// `DELETE /jobs/{id}`: it is cancelled, or forgotten where it has come to its end.
pub(super) async fn cancel(node: &Arc<Node>, id: &str) -> Response<Body> {
    let cancelled = async { keeper::cancel(node, &named(id)?).await };
    match cancelled.await {
        Ok(job) => json(StatusCode::OK, &job),
        Err(error) => problem(&error),
    }
}

/// A job, wherever it is kept.
async fn find(node: &Arc<Node>, id: &str) -> Result<JobJson, ApiError> {
    keeper::find(node, &named(id)?).await
}

fn named(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|error: crate::jobs::JobIdError| ApiError::BadRequest(error.to_string()))
}

/// What this node says of jobs that it keeps.
pub(super) async fn answer(node: &Arc<Node>, question: JobQuestion) -> Result<JobAnswer, ApiError> {
    let records: Vec<Record> = match question {
        JobQuestion::Show { id } => node.jobs().find(id.number).await?.into_iter().collect(),
        JobQuestion::Retry { id, allowed_ms } => return Ok(retry::answer(node, &id, allowed_ms).await),
        JobQuestion::Cancel { id } => keeper::cancel_here(node, &id).await?.into_iter().collect(),
        JobQuestion::List(filter) => return kept_here(node, filter, Vec::new()).await,
    };
    let jobs = records.iter().map(|record| json::of(node, record)).collect();
    Ok(JobAnswer { jobs, ..JobAnswer::default() })
}

/// Jobs that this node holds, and its copies of those whose holders are no live members, or did not answer.
async fn kept_here(
    node: &Arc<Node>,
    filter: JobFilter,
    silent: Vec<NodeName>,
) -> Result<JobAnswer, ApiError> {
    let view = node.view();
    let away = move |name: &NodeName| {
        silent.contains(name) || !view.peer(name).is_some_and(|member| member.state.is_live())
    };
    let filter = JobFilter { limit: filter.limit.min(PAGE_JOBS_MAX + 1), ..filter };
    let records = node.jobs().list(filter, away).await?;
    let jobs = records.iter().map(|record| json::of(node, record)).collect();
    Ok(JobAnswer { jobs, ..JobAnswer::default() })
}

/// `GET /jobs`: the jobs of the client that asks, on all nodes; of everybody for an administrator's token, and, where there are no
/// tokens, on the node's own machine.
pub(super) async fn list(node: &Arc<Node>, client: IpAddr, request: &Request<Incoming>) -> Response<Body> {
    let extensions = request.extensions();
    let own = (!caller::sees_all_jobs(client, extensions)).then(|| caller::tag(node, client, extensions));
    match listed(node, own, request.uri().query().unwrap_or_default()).await {
        Ok(jobs) => json(StatusCode::OK, &jobs),
        Err(error) => problem(&error),
    }
}

async fn listed(node: &Arc<Node>, own: Option<ClientTag>, query: &str) -> Result<JobsJson, ApiError> {
    let wanted = filter(query, own)?;
    let limit = usize::from(wanted.limit);
    // One more than fits on the page: by it is seen whether there is another page.
    let filter = JobFilter { limit: wanted.limit + 1, ..wanted };
    let view = node.view();
    let peers = || view.peers.iter().filter(|peer| !peer.identity.is_observer());
    let asked = peers().filter(|peer| peer.state.is_live()).map(|peer| async {
        let answer = node.ask_jobs(&peer.identity, &JobQuestion::List(filter.clone())).await;
        answer.map_err(|error| {
            tracing::debug!(peer = %peer.identity.name, %error, "a node did not list its jobs");
            peer.identity.name.clone()
        })
    });
    let (mut jobs, mut missing) = (Vec::new(), Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok(answer) => jobs.extend(answer.jobs),
            Err(name) => missing.push(name),
        }
    }
    jobs.extend(kept_here(node, filter, missing.clone()).await?.jobs);
    // Of jobs of which both nodes that keep them are gone nobody else can tell.
    missing.extend(
        peers().filter(|peer| peer.state == MemberState::Dead).map(|peer| peer.identity.name.clone()),
    );
    jobs.sort_by(|job, other| other.id.cmp(&job.id));
    // Two may speak for one, while they do not agree who holds it.
    jobs.dedup_by(|job, other| job.id == other.id);
    let next = if jobs.len() > limit { jobs.get(limit - 1).map(|job| job.id.clone()) } else { None };
    jobs.truncate(limit);
    Ok(JobsJson { jobs, next, missing })
}

fn filter(query: &str, client: Option<ClientTag>) -> Result<JobFilter, ApiError> {
    let mut filter = JobFilter { client, state: None, webhook: None, after: None, limit: PAGE_JOBS };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => filter.state = Some(value.parse().map_err(ApiError::BadRequest)?),
            "webhook" => filter.webhook = Some(value.parse().map_err(ApiError::BadRequest)?),
            "after" => filter.after = Some(named(&value)?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_JOBS_MAX).contains(limit));
                filter.limit = limit.ok_or_else(|| {
                    ApiError::BadRequest(format!("limit={value:.80}: give 1 to {PAGE_JOBS_MAX}"))
                })?;
            }
            _ => {
                return Err(ApiError::BadRequest(format!(
                    "{name:.80}: unknown query parameter; there are state, webhook, after and limit alone"
                )));
            }
        }
    }
    Ok(filter)
}

/// How often it is looked how far a job is.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
