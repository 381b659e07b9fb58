//! Clients against made-up nodes: what these say does nothing to a terminal, and who is not a node gets no video.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Clip, Cluster};

/// A window's title, a cleared screen, a colour, a report asked of the terminal (C1), another line, a name read backwards.
const EVIL: &str = "\x1b]0;pwned\x07\x1b[2J\x1b[31mEVIL\u{9b}5n\r\nnode9\u{202e}4pm\x7f";

/// A server that answers like a node, with any words.
struct MadeUp {
    address: String,
    /// Bytes of bodies that it was sent.
    taken: Arc<AtomicUsize>,
}

impl MadeUp {
    /// `health` is what it says of itself, `members` what of the cluster.
    async fn start(health: Value, members: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (health, members, counter) = (health.clone(), members.clone(), Arc::clone(&counter));
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (health, members, counter) = (health.clone(), members.clone(), Arc::clone(&counter));
                    async move { answer(request, &health, &members, &counter).await }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, taken }
    }
}

async fn answer(
    request: Request<Incoming>,
    health: &Value,
    members: &Value,
    taken: &AtomicUsize,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let (status, document) = match (head.method, head.uri.path()) {
        (Method::GET, "/health") => (200, health.clone()),
        (Method::GET, "/members") => (200, json!({"members": members, "converged": true, "converged_ms": 1})),
        (Method::GET, _) => (404, json!({"title": EVIL})),
        _ => {
            taken.fetch_add(body.collect().await?.to_bytes().len(), Ordering::Relaxed);
            let problem = format!("https://starling.invalid/problems/{EVIL}");
            (
                422,
                json!({"type": problem, "title": format!("T{EVIL}"), "status": 422, "detail": format!("D{EVIL}")}),
            )
        }
    };
    // Unescaped, where JSON allows it.
    let body = Full::new(Bytes::from(document.to_string()));
    Ok(Response::builder().status(status).header("x-cache", "hit").body(body).unwrap())
}

fn member(name: &str, http: &str) -> Value {
    json!({"name": name, "zone": format!("z{EVIL}"), "state": "alive", "incarnation": 0, "rtt_ms": 1.0, "load": null,
           "load_age_ms": null, "gossip": http, "http": http, "wire": format!("1{EVIL}")})
}

/// Of another thread, so that the made-up nodes can answer.
async fn starling(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        command.args(args).env_remove("RUST_LOG").env_remove("STARLING_NODE").env_remove("STARLING_NODES");
        command.output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Nothing but what is seen as it stands, and ends of lines.
#[track_caller]
fn assert_harmless(output: &Output, told: &str) {
    for stream in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(stream).unwrap();
        let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{2066}');
        assert!(!text.contains(acts), "{text:?}");
        assert!(
            !text.lines().any(|line| line.trim_start().starts_with("node9")),
            "a line of its own: {text}"
        );
    }
    let both = [&output.stdout[..], &output.stderr].concat();
    let both = String::from_utf8_lossy(&both);
    assert!(both.contains(told), "{both}");
}

fn clip() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::write(&path, Clip::default().make()).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_nodes_do_nothing_to_a_terminal() {
    let name = format!("n1{EVIL}");
    let members = json!([member(&name, "127.0.0.1:2")]);
    let node = MadeUp::start(json!({"status": "ok", "node": name}), members).await;
    let at = ["--node", &node.address];
    let table = starling(&[&["members"], &at[..]].concat()).await;
    assert!(table.status.success(), "{table:?}");
    assert_harmless(&table, "pwned");
    assert_eq!(String::from_utf8_lossy(&table.stdout).lines().count(), 4, "{table:?}");
    let as_json = starling(&[&["members", "--json"], &at[..]].concat()).await;
    assert_harmless(&as_json, "pwned");
    let document: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!(document["members"][0]["name"], name, "what is printed says the same");

    let (_folder, clip) = clip();
    for json in [&[][..], &["--json"]] {
        let output = starling(&[&["upload", &clip], &at[..], json].concat()).await;
        assert_eq!(output.status.code(), Some(1));
        assert_harmless(&output, "pwned");
    }
    for json in [&[][..], &["--json"]] {
        let args = ["load", &clip, "--to", &node.address, "--parallel", "1", "--duration", "300ms"];
        let output = starling(&[&args[..], json].concat()).await;
        assert_harmless(&output, "pwned");
    }
    let discover = ["load", &clip, "--to", &node.address, "--discover", "--duration", "300ms"];
    assert_harmless(&starling(&discover).await, "pwned");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_node_gets_no_video() {
    let (_folder, clip) = clip();
    let stranger = MadeUp::start(json!({"it": "works"}), json!([])).await;
    let output = starling(&["upload", &clip, "--node", &stranger.address]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("answered something that is no node's answer"), "{said}");
    let output = starling(&["load", &clip, "--to", &stranger.address, "--duration", "1s"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no node to send to: ") && said.contains("no node's answer"), "{said}");
    assert_eq!(stranger.taken.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_video_is_sent_to_that_member_alone() {
    let (_folder, clip) = clip();
    let cluster = Cluster::start(&["FRA"]).await;
    let real = &cluster.nodes[0];
    // It has the address that was node2's once.
    let another = MadeUp::start(json!({"status": "ok", "node": "node7"}), json!([])).await;
    let members = json!([member("node1", &real.http_address), member("node2", &another.address)]);
    let entry = MadeUp::start(json!({"status": "ok", "node": "entry"}), members).await;
    let args = [
        "load",
        &clip,
        "--discover",
        "--parallel",
        "4",
        "--duration",
        "2s",
        "--json",
        "--to",
        &entry.address,
    ];
    let output = starling(&args).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["requests"], report["succeeded"], "{report}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("is \"node7\", and not \"node2\": nothing is sent there"), "{said}");
    assert_eq!(another.taken.load(Ordering::Relaxed), 0);
    assert_eq!(entry.taken.load(Ordering::Relaxed), 0, "it is no member of what it tells of");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_behind_a_loopback_one_are_not_believed() {
    let (_folder, clip) = clip();
    // TEST-NET-1: nobody is there.
    let members = json!([member("node1", "192.0.2.1:5000"), member("node2", "192.0.2.2:5000")]);
    let entry = MadeUp::start(json!({"status": "ok", "node": "node1"}), members).await;
    let output = starling(&["load", &clip, "--discover", "--duration", "1s", "--to", &entry.address]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("node2 at 192.0.2.2:5000. So it is with nodes in a lab"), "{said}");
    assert!(!said.contains("node1 at"), "it is where it answered: {said}");
    assert_eq!(entry.taken.load(Ordering::Relaxed), 0);
}
