//! `GET /jobs/{id}/output/{profile}`: a result of a job, from any node.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::CONTENT_DISPOSITION;
use hyper::{Request, Response};

use super::{find, named};
use crate::api::{HEADER, JobJson, JobState, OutputJson, result_name};
use crate::http::disposition::attachment;
use crate::http::objects::{self, Shown};
use crate::http::respond::{problem, set_header};
use crate::http::{ApiError, Body};
use crate::jobs::JobId;
use crate::node::Node;
use crate::store::{Limits, Meta, Object, Store};

/// The one result of a job, or that of a profile.
pub(in crate::http) async fn output(
    node: &Arc<Node>,
    (id, profile): (&str, Option<&str>),
    request: &Request<Incoming>,
) -> Response<Body> {
    let found = async {
        let job = find(node, id).await?;
        let (at, output) = chosen(&job, profile)?;
        let (own, is_kept) = (&node.identity().name, job.kept_at.contains(&node.identity().name));
        let own_copy = if is_kept { Some(here(node, &job.id, at).await) } else { None };
        let object = match own_copy {
            Some(Ok(object)) => object,
            Some(Err(error)) if job.node == *own => return Err(error),
            // It may be on its way here.
            _ => there(node, &job, (at, output)).await?,
        };
        Ok::<_, ApiError>((object, result_of(&job, output)))
    };
    match found.await {
        Ok((object, headers)) => {
            let mut response = objects::answer(node, &Shown::whole(&object), request);
            for (name, value) in headers {
                set_header(&mut response, name, &value);
            }
            response
        }
        Err(error) => problem(&error),
    }
}

/// What an upload's answer says beside the result itself.
fn result_of(job: &JobJson, output: &OutputJson) -> Vec<(hyper::header::HeaderName, String)> {
    let own = hyper::header::HeaderName::from_static;
    let mut headers = vec![
        (own(HEADER::SERVED_BY), output.served_by.to_string()),
        (own(HEADER::ROUTE), output.route.clone()),
        (own(HEADER::CACHE), output.cache.clone()),
    ];
    if let Some(name) = &job.filename {
        let name = result_name(name, output.profile.as_str(), &output.extension);
        headers.push((CONTENT_DISPOSITION, attachment(&name)));
    }
    headers
}

fn chosen<'a>(job: &'a JobJson, profile: Option<&str>) -> Result<(usize, &'a OutputJson), ApiError> {
    let none = |hint: String| ApiError::NoOutput { state: job.state, hint };
    let mut outputs = job.outputs.iter().enumerate();
    match (profile, &job.outputs[..]) {
        (_, []) if job.state == JobState::Failed => {
            let why = job.problem.as_ref().map(|problem| problem.detail.clone()).unwrap_or_default();
            Err(none(format!(": {why}")))
        }
        (_, []) if job.state == JobState::Cancelled => Err(none(String::new())),
        (_, []) => Err(none(format!(" yet; wait for GET /jobs/{}/events to say that it is done", job.id))),
        (None, [output]) => Ok((0, output)),
        (None, _) => {
            let all: Vec<_> = job.outputs.iter().map(|output| output.href.as_str()).collect();
            Err(none(format!("; it has several: {}", all.join(", "))))
        }
        (Some(profile), _) => outputs
            .find(|(_, output)| output.profile.as_str() == profile)
            .ok_or_else(|| none(format!("; it has {}", names(job)))),
    }
}

fn names(job: &JobJson) -> String {
    job.outputs.iter().map(|output| output.profile.as_str()).collect::<Vec<_>>().join(", ")
}

async fn here(node: &Arc<Node>, id: &JobId, at: usize) -> Result<Object, ApiError> {
    let not_found = || ApiError::NotFound(format!("/jobs/{id}/output"));
    let record = node.jobs().find(id.number).await?.ok_or_else(not_found)?;
    let object = node.output(&record, at).await.ok_or_else(not_found)?;
    object.map_err(|error| ApiError::Internal(format!("a job's result can't be read back: {error}")))
}

/// A result that another node keeps, brought here for this answer.
async fn there(
    node: &Arc<Node>,
    job: &JobJson,
    (at, output): (usize, &OutputJson),
) -> Result<Object, ApiError> {
    let elsewhere = |why: &str| ApiError::JobElsewhere { node: job.node.to_string(), why: why.to_owned() };
    let mut found = Err(elsewhere("it is no live member"));
    for peer in job.kept_at.iter().filter_map(|name| node.live(name)) {
        found = match node.fetch_output(&peer, &job.id.to_string(), at).await {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => Err(elsewhere("it has that result no more")),
            Err(error) => Err(elsewhere(&error.to_string())),
        };
        if found.is_ok() {
            break;
        }
    }
    let delivery = found?;
    // Whatever the peer sends has to be what the job says.
    let received = node.receive_output(delivery, &Limits::of_result(output.sha256)).await?;
    let meta = Meta {
        content: job.content,
        profile: output.profile.clone(),
        encoder: String::new(),
        bytes: output.bytes,
        sha256: output.sha256,
        media_type: output.media_type.clone(),
        extension: output.extension.clone(),
        damage: output.damage.as_ref().and_then(|text| text.parse().ok()),
    };
    Store::borrowed(received, meta)
        .map_err(|error| ApiError::Internal(format!("a result can't be opened: {error}")))
}

/// What a job is to be made of, for another node that is to keep it.
async fn video(node: &Arc<Node>, id: &JobId) -> Result<Object, ApiError> {
    let not_found = || ApiError::NotFound(format!("/jobs/{id}/video"));
    let record = node.jobs().find(id.number).await?.ok_or_else(not_found)?;
    let video = node.kept_video(&record).await.ok_or_else(not_found)?;
    video.map_err(|error| ApiError::Internal(format!("a job's video can't be read back: {error}")))
}

/// A result that this node keeps, or a video, for another node.
pub(in crate::http) async fn kept(node: &Arc<Node>, job: &str, at: &str) -> Result<Object, ApiError> {
    if at == "video" {
        return video(node, &named(job)?).await;
    }
    let at = at.parse().map_err(|_| ApiError::BadRequest(format!("{at:.80} is no number of a result")))?;
    here(node, &named(job)?, at).await
}
