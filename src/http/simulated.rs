//! What a simulation that is played answers: its dashboard, and orders.

use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};

use super::respond::{self, problem};
use super::server::Service;
use super::{ApiError, Body, cors, dashboard};
use crate::dashboard::Source;
use crate::gate::Gate;
use crate::simulated::{Order, Stage};

/// Longest order.
const ORDER_BYTES_MAX: usize = 1_024;
const DOCUMENT_TYPE: &str = "application/json";

/// The HTTP service of a simulation.
pub struct SimulationPage {
    /// What is played.
    pub stage: Arc<Stage>,
    /// Under which names, and by which pages, it may be asked.
    pub gate: Gate,
}

impl Service for SimulationPage {
    fn is_member(&self, _: IpAddr) -> bool {
        false
    }

    async fn answer(self: Arc<Self>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
        let (mut response, passed) = match self.gate.check(&request, |_| false) {
            Err(error) => (problem(&error.into()), None),
            Ok(passed) => (route(&self.stage, client, request).await, Some(passed)),
        };
        cors::finish(&mut response, passed);
        response
    }
}

async fn route(stage: &Arc<Stage>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match segments.as_slice() {
        ["sim"] if read => respond::json(StatusCode::OK, &stage.playing()),
        ["sim"] if request.method() == Method::POST => order(stage, request).await,
        ["sim"] => problem(&ApiError::MethodNotAllowed { path, allow: "GET, HEAD, POST".to_owned() }),
        ["dashboard", rest @ ..] if read => {
            let source: Arc<dyn Source> = Arc::clone(stage) as _;
            dashboard::answer(&source, client, rest, &request)
        }
        [""] if read && dashboard::is_asked_for(&request) => dashboard::elsewhere(),
        ["dashboard", ..] => problem(&ApiError::MethodNotAllowed { path, allow: "GET, HEAD".to_owned() }),
        _ => problem(&ApiError::NoNode { path: path.chars().take(200).collect(), what: "a simulation" }),
    }
}

async fn order(stage: &Stage, request: Request<Incoming>) -> Response<Body> {
    let bad = |what: String| problem(&ApiError::BadRequest(what));
    // No page of another site can send this type without asking for leave.
    let is_document =
        request.headers().get(CONTENT_TYPE).is_some_and(|given| given.as_bytes() == DOCUMENT_TYPE.as_bytes());
    if !is_document {
        let path = request.uri().path().to_owned();
        return problem(&ApiError::WrongMediaType { path, expected: DOCUMENT_TYPE });
    }
    let bytes = match Limited::new(request.into_body(), ORDER_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return bad(format!("the order did not come whole: {error}")),
    };
    match serde_json::from_slice::<Order>(&bytes) {
        Err(error) => bad(format!("give an order such as {{\"do\":\"pause\"}}: {error}")),
        Ok(order) => match stage.order(&order) {
            Ok(playing) => respond::json(StatusCode::OK, &playing),
            Err(error) => bad(error.to_string()),
        },
    }
}
