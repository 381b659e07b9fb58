//! `GET /uploads`: a client's uploads in parts that have not become jobs, wherever they lie.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::{named, told};
use crate::api::{UploadQuestion, UploadsJson};
use crate::content::ClientTag;
use crate::http::respond::{json, problem};
use crate::http::{ApiError, Body, caller, internal};
use crate::node::Node;

/// Uploads in an answer, unless another number is asked for.
const PAGE_UPLOADS: u16 = 100;
/// The most that may be asked for.
const PAGE_UPLOADS_MAX: u16 = 200;

/// The uploads of the client that asks, on all nodes; of everybody for an administrator's token, and, where there are no tokens, on the
/// node's own machine.
pub(in crate::http) async fn list(
    node: &Arc<Node>,
    client: IpAddr,
    request: &Request<Incoming>,
) -> Response<Body> {
    let extensions = request.extensions();
    let own = (!caller::sees_all_jobs(client, extensions)).then(|| caller::tag(node, client, extensions));
    match question(request.uri().query().unwrap_or_default(), own) {
        Ok(question) => json(StatusCode::OK, &listed(node, &question).await),
        Err(error) => problem(&error),
    }
}

/// `POST /internal/unfinished`: those that lie at this node.
pub(in crate::http) async fn unfinished(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    internal::exchange(node, request, async |question: UploadQuestion| {
        let limit = question.limit.min(PAGE_UPLOADS_MAX + 1);
        Ok(here(node, &UploadQuestion { limit, ..question }))
    })
    .await
}

fn question(query: &str, client: Option<ClientTag>) -> Result<UploadQuestion, ApiError> {
    let mut question = UploadQuestion { client, after: None, limit: PAGE_UPLOADS };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "after" => question.after = Some(named(&value)?.number),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_UPLOADS_MAX).contains(limit));
                question.limit = limit.ok_or_else(|| {
                    ApiError::BadRequest(format!("limit={value:.80}: give 1 to {PAGE_UPLOADS_MAX}"))
                })?;
            }
            _ => {
                return Err(ApiError::BadRequest(format!(
                    "{name:.80}: unknown query parameter; there are after and limit alone"
                )));
            }
        }
    }
    Ok(question)
}

fn here(node: &Node, question: &UploadQuestion) -> UploadsJson {
    let shown = node.uploads().list(question.client, question.after, question.limit.into());
    UploadsJson { uploads: shown.iter().map(told::document).collect(), ..UploadsJson::default() }
}

async fn listed(node: &Node, question: &UploadQuestion) -> UploadsJson {
    let limit = usize::from(question.limit);
    // One more of each tells whether there is more of all.
    let question = UploadQuestion { limit: question.limit + 1, ..question.clone() };
    let mut all = here(node, &question);
    for (name, answer) in join_all(node.ask_uploads(&question)).await {
        match answer {
            Ok(answer) => all.uploads.extend(answer.uploads),
            Err(error) => {
                tracing::debug!(peer = %name, %error, "a node did not list its uploads");
                all.missing.push(name);
            }
        }
    }
    // The newest first: a number begins with the time.
    all.uploads.sort_by(|upload, other| other.id.cmp(&upload.id));
    if all.uploads.len() > limit {
        all.uploads.truncate(limit);
        all.next = all.uploads.last().map(|upload| upload.id.clone());
    }
    all
}
