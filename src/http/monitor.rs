//! What a monitor answers: its dashboard, the members as it sees them, and load generators' reports.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::respond::{self, problem};
use super::server::Service;
use super::{ApiError, Body, cors, dashboard, members};
use crate::dashboard::Source;
use crate::monitor::{LoadReport, Monitor};

/// Longest report: six figures and a name are far below it.
const REPORT_BYTES_MAX: usize = 16 * 1024;

#[derive(Serialize)]
struct HealthJson<'a> {
    status: &'static str,
    node: &'a str,
    boot: u64,
    zone: &'a str,
    version: &'static str,
    uptime_s: u64,
    observer: bool,
}

#[derive(Serialize)]
struct Taken {
    status: &'static str,
}

impl Service for Monitor {
    fn is_member(&self, address: IpAddr) -> bool {
        Self::is_member(self, address)
    }

    async fn answer(self: Arc<Self>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
        let is_member = |name: &str| {
            let view = self.view();
            view.peers.iter().any(|peer| peer.identity.name.as_str().eq_ignore_ascii_case(name))
        };
        let (mut response, passed) = match self.gate().check(&request, is_member) {
            Err(error) => (problem(&error.into()), None),
            Ok(passed) => match cors::preflight(&request, &passed) {
                Some(leave) => (leave, Some(passed)),
                None => (route(&self, client, request).await, Some(passed)),
            },
        };
        cors::finish(&mut response, passed);
        response
    }
}

async fn route(monitor: &Arc<Monitor>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let read = matches!(method, Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["update_metrics"] if method == Method::POST => report(monitor, request).await,
        ["update_metrics"] => problem(&ApiError::MethodNotAllowed { path, allow: "POST".into() }),
        ["dashboard", rest @ ..] if read => {
            let source: Arc<dyn Source> = Arc::clone(monitor) as _;
            dashboard::answer(&source, client, rest, &request)
        }
        [""] if read && dashboard::is_asked_for(&request) => dashboard::elsewhere(),
        ["members"] if read => respond::json(StatusCode::OK, &members::document(&monitor.view(), None)),
        ["health" | "ready"] if read => health(monitor),
        ["dashboard", ..] | ["members" | "health" | "ready"] => {
            problem(&ApiError::MethodNotAllowed { path, allow: "GET, HEAD".into() })
        }
        _ => problem(&ApiError::NoNode { path: path.chars().take(200).collect(), what: "a monitor" }),
    }
}

fn health(monitor: &Monitor) -> Response<Body> {
    let identity = monitor.identity();
    let health = HealthJson {
        status: "ok",
        node: identity.name.as_str(),
        boot: identity.boot.0,
        zone: identity.zone.as_str(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: monitor.uptime().as_secs(),
        observer: true,
    };
    respond::json(StatusCode::OK, &health)
}

/// Whatever type it says that it has: the paper's client says JSON, others forget to.
async fn report(monitor: &Monitor, request: Request<Incoming>) -> Response<Body> {
    let bad = |what: String| problem(&ApiError::BadRequest(what));
    let bytes = match Limited::new(request.into_body(), REPORT_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return bad(format!("the report did not come whole: {error}")),
    };
    let report: LoadReport = match serde_json::from_slice(&bytes) {
        Ok(report) => report,
        Err(error) => {
            return bad(format!(
                "give a JSON object with node_id, throughput, avg_latency, success, total and timestamp: {error}"
            ));
        }
    };
    match monitor.report(&report) {
        Ok(()) => respond::json(StatusCode::OK, &Taken { status: "ok" }),
        Err(error) => bad(error.to_string()),
    }
}
