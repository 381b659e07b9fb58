//! `GET /health`, `/ready` and `/metrics`: for probes, balancers and scrapers. None of them waits for anything.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiError, Body, full_body, respond};
use crate::api::LoadJson;
use crate::metrics::Format;
use crate::node::{Node, Readiness};
use crate::workers::sandbox::Guarantees;

#[derive(Serialize, ToSchema)]
pub(super) struct HealthJson<'a> {
    status: &'static str,
    node: &'a str,
    /// Greater after each restart: what a proof for this node is bound to.
    boot: u64,
    zone: &'a str,
    version: &'static str,
    uptime_s: u64,
    /// Tells clusters of one name apart; settled once the cluster has stood for a while.
    cluster_id: Option<String>,
    cluster_settled: bool,
    /// None: not known.
    #[schema(value_type = Option<Object>)]
    sandbox: Option<&'a Guarantees>,
    #[serde(flatten)]
    load: LoadJson,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ReadyJson {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(super) fn health(node: &Node) -> Response<Body> {
    let (identity, cluster) = (node.identity(), node.view().cluster);
    let health = HealthJson {
        status: "ok",
        node: identity.name.as_str(),
        boot: identity.boot.0,
        zone: identity.zone.as_str(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: node.uptime().as_secs(),
        cluster_id: cluster.map(|cluster| cluster.id.to_string()),
        cluster_settled: cluster.is_some_and(|cluster| cluster.settled),
        sandbox: node.guarantees(),
        load: LoadJson::from(&node.own_load()),
    };
    respond::json(StatusCode::OK, &health)
}

pub(super) fn ready(node: &Node) -> Response<Body> {
    let (status, reason) = match node.readiness() {
        Readiness::Ready => (StatusCode::OK, None),
        Readiness::Joining => (StatusCode::SERVICE_UNAVAILABLE, Some("joining: no seed has answered yet")),
        Readiness::CutOff => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some("cut off: members are believed alive, but nothing is heard of any of them"),
        ),
        Readiness::Resting => (StatusCode::SERVICE_UNAVAILABLE, Some("paused or drained by its operator")),
        Readiness::Draining => (StatusCode::SERVICE_UNAVAILABLE, Some("shutting down")),
    };
    respond::json(status, &ReadyJson { ready: reason.is_none(), reason })
}

pub(super) fn metrics<B>(node: &Node, request: &Request<B>) -> Response<Body> {
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let text = match node.metrics_text(format) {
        Ok(text) => text,
        Err(error) => return respond::problem(&ApiError::Internal(error.to_string())),
    };
    let mut response = Response::new(full_body(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}
