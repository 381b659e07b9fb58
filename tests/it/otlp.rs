//! Spans of uploads at a collector of the test's own, which takes both forms of OTLP over HTTP.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};

use crate::support::{Clip, Cluster, Http, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const AWAY: &str = "the collector takes no spans: they are lost until it does; uploads go on";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector on loopback, which ends with the test.
struct Collector {
    endpoint: String,
    got: Arc<Mutex<Got>>,
}

/// Messages by their content type.
#[derive(Default)]
struct Got {
    json: Vec<Value>,
    protobuf: Vec<Bytes>,
}

impl Collector {
    async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Got>>::default();
        let shared = Arc::clone(&got);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let got = Arc::clone(&shared);
                let service = service_fn(move |request| take(Arc::clone(&got), request));
                // A node that goes away is its own affair.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { endpoint, got }
    }

    /// The spans that came as JSON, each with its resource's `service.instance.id` as `node`.
    fn spans(&self) -> Vec<Value> {
        let got = self.got.lock();
        let resources = got.json.iter().flat_map(|message| message["resourceSpans"].as_array().unwrap());
        let spans = resources.flat_map(|resource| {
            let node = attribute(&resource["resource"], "service.instance.id");
            let scopes = resource["scopeSpans"].as_array().unwrap();
            scopes.iter().flat_map(|scope| scope["spans"].as_array().unwrap()).map(move |span| {
                let mut span = span.clone();
                span["node"] = node.clone();
                span
            })
        });
        spans.collect()
    }
}

async fn take(
    got: Arc<Mutex<Got>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/v1/traces");
    let body = body.collect().await.unwrap().to_bytes();
    match head.headers["content-type"].to_str().unwrap() {
        "application/json" => got.lock().json.push(serde_json::from_slice(&body).unwrap()),
        "application/x-protobuf" => got.lock().protobuf.push(body),
        other => panic!("{other}"),
    }
    Ok(Response::new(Empty::new()))
}

fn attribute(of: &Value, name: &str) -> Value {
    let attributes = of["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|one| one["key"] == name).unwrap_or_else(|| panic!("{name} in {of}"));
    let value = found["value"].as_object().unwrap();
    value.values().next().unwrap().clone()
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spans_of_an_upload_on_both_nodes_share_the_clients_trace() {
    let collector = Collector::start().await;
    let endpoint = format!("--otlp-endpoint={}", collector.endpoint);
    let mut cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        let mut options = options.arg("--policy=round-robin").arg(&endpoint);
        options.env.push(("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json".to_owned()));
        options
    })
    .await;
    let http = cluster.nodes[0].http.clone();
    // The second of a client leaves.
    http.upload(Clip { tag: 1, ..Clip::default() }.make()).await.assert_video();
    let clip = Clip { tag: 2, ..Clip::default() }.make();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let answer = http.upload_with("/upload", &[("traceparent", &traceparent)], clip).await;
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node2");
    // What waits is sent before a node is gone.
    for node in &mut cluster.nodes {
        node.terminate().await;
    }
    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span["traceId"] == TRACE).collect();
    let of = |node: &str, name: &str| {
        let found: Vec<_> =
            spans.iter().filter(|span| span["node"] == node && span["name"] == name).collect();
        assert_eq!(found.len(), 1, "{node}, {name}: {spans:#?}");
        found[0]
    };
    let upload = of("node1", "POST /upload");
    assert_eq!((&upload["parentSpanId"], &upload["kind"]), (&PARENT.into(), &2.into()));
    assert_eq!(attribute(upload, "http.response.status_code"), "200");
    let notes: BTreeSet<_> =
        upload["events"].as_array().unwrap().iter().map(|note| note["name"].as_str().unwrap()).collect();
    assert!(["ranked", "offered", "upload_served"].iter().all(|name| notes.contains(name)), "{notes:?}");
    let work = of("node2", "POST /internal/jobs");
    for span in [
        of("node1", "offload send"),
        of("node1", "offload receive"),
        work,
        of("node2", "POST /internal/offers"),
    ] {
        assert_eq!(span["parentSpanId"], upload["spanId"], "{span:#}");
    }
    for span in [of("node2", "queue"), of("node2", "transcode")] {
        assert_eq!(span["parentSpanId"], work["spanId"], "{span:#}");
    }
    let time = |span: &Value, which: &str| span[which].as_str().unwrap().parse::<u64>().unwrap();
    let transcode = of("node2", "transcode");
    assert!(time(transcode, "endTimeUnixNano") > time(transcode, "startTimeUnixNano"));
    let traces: BTreeSet<_> = collector.spans().iter().map(|span| span["traceId"].to_string()).collect();
    assert_eq!(traces.len(), 2, "one of each upload, and none of probes and health checks: {traces:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_told_once_and_spans_of_later_come_as_protobuf() {
    // The port is the test's, but nothing listens there yet.
    let place = TcpSocket::new_v4().unwrap();
    place.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = place.local_addr().unwrap();
    let cluster =
        Cluster::start_with(&["FRA"], |options| options.arg(format!("--otlp-endpoint=http://{address}")))
            .await;
    let node = &cluster.nodes[0];
    let upload = async |http: &Http, tag| {
        http.upload(Clip { tag, audio: false, ..Clip::default() }.make()).await.assert_video();
    };
    upload(&node.http, 1).await;
    node.logged(AWAY, |_| true).await;
    upload(&node.http, 2).await;
    // It comes to life, and takes them.
    let collector = Collector::on(place.listen(64).unwrap());
    let clip = Clip { tag: 3, audio: false, ..Clip::default() }.make();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    node.http.upload_with("/upload", &[("traceparent", &traceparent)], clip).await.assert_video();
    let id = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    eventually("spans as protobuf", async || {
        let got = collector.got.lock();
        got.protobuf.iter().any(|message| has(message, &id) && has(message, b"transcode"))
    })
    .await;
    let again = node.logged("the collector takes spans again", |_| true).await;
    assert!(again["lost"].as_u64().unwrap() >= 1, "{again}");
    assert_eq!(node.count(AWAY), 1);
}
