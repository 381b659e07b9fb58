//! What a monitor answers: its dashboard, the members as it sees them, and load generators' reports.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Serialize;

use super::enter::{self, turn_away};
use super::respond::{self, problem};
use super::routes::{self, Id};
use super::server::Service;
use super::{ApiError, Body, caller, dashboard, members};
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
        let view = self.view();
        enter::answer(self.entrance(), &view, request, |request| route(&self, client, request)).await
    }
}

async fn route(monitor: &Arc<Monitor>, client: IpAddr, mut request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (route, values) = match routes::find_in(routes::OF_MONITOR, request.method(), &path) {
        Ok(found) => found,
        Err(ApiError::NotFound(path)) => return problem(&ApiError::NoNode { path, what: "a monitor" }),
        Err(error) => return problem(&error),
    };
    if let Err(error) = caller::admit(monitor.entrance(), (route.need, false), &mut request) {
        return turn_away(request, route, &error);
    }
    match route.id {
        Id::Report => report(monitor, request).await,
        Id::Dashboard => {
            let source: Arc<dyn Source> = Arc::clone(monitor) as _;
            dashboard::answer(&source, client, &values, &request)
        }
        Id::Root if dashboard::is_asked_for(&request) => dashboard::elsewhere(),
        Id::Members => respond::json(StatusCode::OK, &members::document(&monitor.view(), None)),
        Id::Health | Id::Ready => health(monitor),
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
