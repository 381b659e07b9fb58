//! The lab's own dashboard: that of a node that runs, with buttons that break things.
//!
//! ```text
//! browser --127.0.0.1--> page --/lab/…, with the token--> supervisor, links
//!                             --all else--> the first node that runs
//! ```
//!
//! Whoever has the token may kill and cut; it is in the address that the lab prints, in the part that browsers send nowhere.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, BodyStream, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use starling_netem::control::{self, FaultState, Reply};
use starling_netem::{LinkChange, Shift};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use super::ctl::{self, Answer, Call};
use super::node::NodeState;
use super::{LabError, Report};
use crate::body::{Body, full_body};
use crate::gate::{Gate, Hosts, Origins};

/// What has the token.
const TOKEN_HEADER: &str = "x-lab-token";
/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// Longest order.
const ORDER_BYTES_MAX: usize = 4 * 1024;
/// Time to wait for another node where the last one that ran has ended.
const NODE_WAIT: Duration = Duration::from_secs(5);

/// The page of a running lab.
#[derive(Debug)]
pub(super) struct Page {
    address: SocketAddr,
    token: String,
    /// How the nodes are now.
    report: watch::Sender<Option<Report>>,
}

/// What each connection needs.
struct Shared {
    gate: Gate,
    token: String,
    calls: mpsc::Sender<Call>,
    netem: PathBuf,
    report: watch::Receiver<Option<Report>>,
    client: Client<HttpConnector, Incoming>,
}

/// What can be broken: what `starling lab ctl` does, and what `netem` does.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Order {
    Link(LinkOrder),
    Node(ctl::Request),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum LinkOrder {
    /// `{"do":"partition","groups":"IAD"}`
    Partition { groups: String },
    /// `{"do":"fault","links":"FRA-IAD","loss_percent":30,"delay_ms":100}`
    Fault {
        links: String,
        #[serde(default)]
        loss_percent: f64,
        #[serde(default)]
        delay_ms: u32,
    },
    /// `{"do":"heal"}`
    Heal,
}

/// How the lab is.
#[derive(Serialize)]
struct State {
    report: Option<Report>,
    faults: Vec<FaultState>,
}

#[derive(Serialize)]
struct Refusal {
    detail: String,
}

impl Page {
    /// Serves the page on this port of 127.0.0.1, for as long as the runtime lives; on a free one where that is 0 or taken.
    pub(super) async fn serve(
        port: u16,
        calls: mpsc::Sender<Call>,
        netem: PathBuf,
    ) -> Result<Self, LabError> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match bind(port).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::info!(port, %error, "the dashboard's port is taken: another one is used");
                bind(0)
                    .await
                    .map_err(|source| LabError::Process { what: "the lab's dashboard".to_owned(), source })?
            }
        };
        let address = listener
            .local_addr()
            .map_err(|source| LabError::Process { what: "the lab's dashboard".to_owned(), source })?;
        let token = format!("{:032x}", rand::random::<u128>());
        let report = watch::Sender::new(None);
        let shared = Arc::new(Shared {
            gate: Gate::new(Hosts::default(), Origins::default()),
            token: token.clone(),
            calls,
            netem,
            report: report.subscribe(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        // Ends with the supervisor's process.
        tokio::spawn(accept(listener, shared));
        Ok(Self { address, token, report })
    }

    /// The nodes are like this now.
    pub(super) fn tell(&self, report: Report) {
        self.report.send_replace(Some(report));
    }

    /// What its user opens.
    pub(super) fn url(&self) -> String {
        format!("http://{}/dashboard#lab={}", self.address, self.token)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the lab's dashboard can't accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        // Ends with its connection.
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection to the lab's dashboard ended early");
            }
            drop(place);
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    if let Err(error) = shared.gate.check(&request, |_| false) {
        return refusal(StatusCode::FORBIDDEN, error.to_string());
    }
    let path = request.uri().path().to_owned();
    match (path.as_str(), request.method()) {
        ("/lab" | "/lab/do", _) if !has_token(shared, &request) => refusal(
            StatusCode::FORBIDDEN,
            "open the dashboard by the address that the lab printed".to_owned(),
        ),
        ("/lab", &Method::GET) => state(shared).await,
        ("/lab/do", &Method::POST) => obey(shared, request).await,
        ("/lab" | "/lab/do", _) => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "GET /lab, POST /lab/do".to_owned())
        }
        _ => pass_on(shared, request).await,
    }
}

fn has_token<B>(shared: &Shared, request: &Request<B>) -> bool {
    let given = request.headers().get(TOKEN_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    // Of digests it tells nothing how far they are the same.
    Sha256::digest(given) == Sha256::digest(&shared.token)
}

async fn state(shared: &Shared) -> Response<Body> {
    let report = shared.report.borrow().clone();
    let faults = match links(shared, control::Request::Show).await {
        Ok(Reply::State(state)) => state.faults,
        // Where links are not shaped there are none.
        _ => Vec::new(),
    };
    json(StatusCode::OK, &State { report, faults })
}

async fn obey(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let bytes = match Limited::new(request.into_body(), ORDER_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => {
            return refusal(StatusCode::BAD_REQUEST, format!("the order did not come whole: {error}"));
        }
    };
    let done = match serde_json::from_slice::<Order>(&bytes) {
        Err(error) => return refusal(StatusCode::BAD_REQUEST, format!("no order: {error}")),
        Ok(Order::Node(order)) => match ctl::ask(order, &shared.calls).await {
            Answer::Done(_) => Ok(()),
            Answer::Refused(reason) => Err(reason),
        },
        Ok(Order::Link(order)) => links(shared, order.into()).await.map(drop),
    };
    match done {
        Ok(()) => state(shared).await,
        Err(reason) => refusal(StatusCode::CONFLICT, reason),
    }
}

impl From<LinkOrder> for control::Request {
    fn from(order: LinkOrder) -> Self {
        match order {
            LinkOrder::Heal => Self::Heal { id: None },
            LinkOrder::Partition { groups } => Self::Partition { groups, for_ms: None, lease: false },
            LinkOrder::Fault { links, loss_percent, delay_ms } => {
                let delay = Shift::parse(&format!("+{delay_ms}ms")).ok().filter(|_| delay_ms > 0);
                let loss = Some((loss_percent / 100.0).clamp(0.0, 1.0)).filter(|loss| *loss > 0.0);
                let change = LinkChange { delay, loss, ..LinkChange::default() };
                Self::Fault { links, change, one_way: false, for_ms: None, lease: false }
            }
        }
    }
}

/// Asks whoever holds the links.
async fn links(shared: &Shared, request: control::Request) -> Result<Reply, String> {
    let socket = shared.netem.clone();
    let ask = move || control::Client::connect(&socket)?.ask(&request);
    match tokio::task::spawn_blocking(ask).await {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Has a node that runs answer; a stream ends when that one does not run any more, so that the page takes another.
async fn pass_on(shared: &Shared, mut request: Request<Incoming>) -> Response<Body> {
    let Some((name, address)) = running(shared).await else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "no node of the lab runs".to_owned());
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match format!("http://{address}{path}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, error.to_string()),
    }
    request.headers_mut().remove(CONNECTION);
    let mut response = match shared.client.request(request).await {
        Ok(response) => response,
        Err(error) => return refusal(StatusCode::BAD_GATEWAY, format!("{name} does not answer: {error}")),
    };
    response.headers_mut().remove(CONNECTION);
    let mut report = shared.report.clone();
    let ends = async move {
        let gone = report.wait_for(|report| {
            let nodes = report.as_ref().map(|report| report.nodes.as_slice()).unwrap_or_default();
            !nodes.iter().any(|node| node.name == name && node.state == NodeState::Running)
        });
        drop(gone.await);
    };
    response.map(|body| {
        let frames = BodyStream::new(body).take_until(Box::pin(ends));
        StreamBody::new(frames.map(|frame| frame.map_err(std::io::Error::other))).boxed_unsync()
    })
}

async fn running(shared: &Shared) -> Option<(String, String)> {
    let mut report = shared.report.clone();
    let first = |report: &Option<Report>| {
        let nodes = &report.as_ref()?.nodes;
        let node = nodes.iter().find(|node| node.state == NodeState::Running)?;
        Some((node.name.clone(), node.http.clone()))
    };
    let found = tokio::time::timeout(NODE_WAIT, report.wait_for(|report| first(report).is_some())).await;
    found.ok()?.ok().and_then(|report| first(&report))
}

fn refusal(status: StatusCode, detail: String) -> Response<Body> {
    json(status, &Refusal { detail })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let bytes = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
    let mut response = Response::new(full_body(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
