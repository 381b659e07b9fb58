//! Webhooks: a receiver that checks what it gets by the scheme of Standard Webhooks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::support::{Answer, Clip, Cluster, Http, Node, NodeOptions, Stub, eventually};

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver got: id and message, of those whose signature is right.
#[derive(Default)]
struct Got {
    messages: Vec<(String, Value)>,
    /// What it answers next; 200 when there is nothing more.
    answers: VecDeque<StatusCode>,
}

/// A receiver of webhooks on loopback, which ends with the test.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Got>>,
}

impl Receiver {
    pub(crate) async fn start(answers: &[StatusCode]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Got { answers: answers.iter().copied().collect(), ..Got::default() }));
        let shared = Arc::clone(&got);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let got = Arc::clone(&shared);
                let service = service_fn(move |request| receive(Arc::clone(&got), request));
                // A sender that goes away is its own affair.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, got }
    }

    fn ids(&self) -> Vec<String> {
        self.got.lock().messages.iter().map(|(id, _)| id.clone()).collect()
    }

    /// The messages about a job, each with its id.
    pub(crate) fn about(&self, job: &str) -> Vec<(String, Value)> {
        let got = self.got.lock();
        got.messages.iter().filter(|(_, message)| message["data"]["id"] == job).cloned().collect()
    }

    fn last(&self) -> Value {
        self.got.lock().messages.last().unwrap().1.clone()
    }
}

async fn receive(
    got: Arc<Mutex<Got>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(SECRET).unwrap()).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    assert_eq!(
        (head.uri.to_string().as_str(), header("content-type").as_str()),
        ("/hook?a=b", "application/json")
    );
    let mut got = got.lock();
    got.messages.push((id, serde_json::from_slice(&body).unwrap()));
    let mut response = Response::new(Empty::new());
    *response.status_mut() = got.answers.pop_front().unwrap_or(StatusCode::OK);
    Ok(response)
}

pub(crate) fn secret_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("whsec_{SECRET}\n")).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_secrets_that_others_can_read_is_warned_of() {
    const WARNING: &str = "others can read the secrets of the webhooks: chmod 600 it";
    let file = secret_file();
    let warned = async |mode| {
        std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let mut node = Node::start(with_secrets(NodeOptions::new("node1", "FRA"), &file));
        node.logged("node started", |_| true).await;
        // What it says at its start it has said before it ends.
        assert!(node.terminate().await.success());
        node.count(WARNING)
    };
    assert_eq!([warned(0o644).await, warned(0o640).await, warned(0o600).await], [1, 1, 0]);
}

pub(crate) fn with_secrets(options: NodeOptions, file: &tempfile::NamedTempFile) -> NodeOptions {
    options.arg(format!("--webhook-secret-file={}", file.path().display()))
}

async fn post(http: &Http, url: &str, tag: u32) -> Answer {
    let video = Clip { tag, audio: false, ..Clip::default() }.make();
    http.upload_with("/jobs?profile=poster", &[("x-webhook", url)], video).await
}

fn path_of(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_by_a_signed_message_that_is_tried_again_also_by_the_heir_of_a_dead_node() {
    let secrets = secret_file();
    let allow = |options| with_secrets(options, &secrets).arg("--webhook-allow-private");
    let mut cluster = Cluster::start_with(&["FRA", "FRA"], allow).await;
    let receiver = Receiver::start(&[StatusCode::INTERNAL_SERVER_ERROR]).await;
    let job = path_of(&post(&cluster.nodes[0].http, &receiver.url, 1).await);
    eventually("a second try", async || receiver.ids().len() == 2).await;
    let ids = receiver.ids();
    assert_eq!(ids[0], ids[1], "the same message, which its receiver takes once");
    let told = receiver.last();
    let done = cluster.nodes[1].http.json(&job).await;
    assert_eq!((&told["type"], &told["data"]["id"]), (&Value::from("job.done"), &done["id"]), "{told}");
    assert_eq!(told["data"]["outputs"][0]["sha256"], done["outputs"][0]["sha256"], "{told}");
    eventually("it is known to be delivered", async || {
        let webhook = cluster.nodes[1].http.json(&job).await["webhook"].clone();
        webhook["state"] == "delivered" && webhook["tries"] == 2
    })
    .await;
    assert_eq!(tries(&cluster.nodes[0]).await, [1, 1, 0], "one delivered, one failed, none given up");
    assert_eq!(cluster.nodes[0].metric("starling_pending_webhooks").await, 0);
    // It fails, and its node dies before the next try: the second node knows what is to be told.
    let receiver = Receiver::start(&[StatusCode::SERVICE_UNAVAILABLE; 4]).await;
    path_of(&post(&cluster.nodes[0].http, &receiver.url, 2).await);
    eventually("it is counted as to be told", async || {
        cluster.nodes[0].metric("starling_pending_webhooks").await == 1
            && tries(&cluster.nodes[0]).await[1] > 1
    })
    .await;
    eventually("it is tried, and the second node has the result", async || {
        let outputs = cluster.nodes[1].kept_files();
        !receiver.ids().is_empty() && outputs.iter().filter(|name| name.ends_with(".output")).count() == 2
    })
    .await;
    cluster.nodes[0].kill();
    let before = receiver.ids().len();
    eventually("the second node tells it", async || receiver.ids().len() > before).await;
    assert!(receiver.ids().iter().all(|id| *id == receiver.ids()[0]));
}

/// How many tries were delivered, failed and given up.
async fn tries(node: &Node) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, outcome) in counts.iter_mut().zip(["delivered", "failed", "dead"]) {
        *count = node.metric(&format!("starling_webhook_tries_total{{outcome=\"{outcome}\"}}")).await;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_the_nodes_own_networks_and_what_is_given_up_is_listed() {
    let secrets = secret_file();
    let stub = Stub::holding();
    let node = Node::start(with_secrets(NodeOptions::new("node1", "FRA").tools(&stub), &secrets));
    let receiver = Receiver::start(&[]).await;
    for url in
        [receiver.url.as_str(), "http://169.254.169.254/", "http://[::1]/", "ftp://example.com/", "nonsense"]
    {
        post(&node.http, url, 3).await.assert_problem(400, "bad-request");
    }
    // A name is looked up when there is something to send.
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let job = path_of(&post(&node.http, &by_name, 3).await);
    stub.release();
    eventually("it is given up", async || node.http.json(&job).await["webhook"]["state"] == "dead").await;
    assert_eq!(tries(&node).await, [0, 0, 1]);
    let list = node.http.json("/jobs?webhook=dead").await;
    let why = list["jobs"][0]["webhook"]["why"].as_str().unwrap();
    assert!(why.contains("--webhook-allow-private"), "{list}");
    assert_eq!(receiver.ids(), Vec::<String>::new());
    let without = Node::start(NodeOptions::new("node2", "FRA").tools(&stub));
    post(&without.http, "https://example.com/", 4).await.assert_problem(400, "bad-request");
}
