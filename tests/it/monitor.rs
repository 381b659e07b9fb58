//! `starling monitor`: it watches a cluster, gets no work, takes reports, and comes and goes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hyper::Method;
use serde_json::{Value, json};
use starling::access::TokenFile;
use starling_overlay::NodeName;

use super::access::Files;
use super::tls::Root;
use crate::support::{Clip, Cluster, Http, Node, eventually};

/// A running monitor; ended when dropped.
pub struct Monitor {
    child: Child,
    pub http: Http,
    pub port: u16,
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Monitor {
    pub fn start(port: u16, seed: &str, history: &Path) -> Self {
        Self::start_with(port, seed, &[format!("--history={}", history.display())])
    }

    fn start_with(port: u16, seed: &str, args: &[String]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["monitor", "--name", "watcher", "--gossip", "127.0.0.1:0", "--timing", "local"])
            .args(["--http", &address, "--join", seed])
            .args(args)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, http: Http::new(&address), port }
    }

    /// Stops it, as its user would.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }

    async fn state(&self) -> Value {
        match self.http.send(Method::GET, "/dashboard/state", &[], bytes::Bytes::new()).await {
            Ok(answer) => answer.json(),
            Err(_) => Value::Null,
        }
    }

    async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || condition(&self.state().await)).await;
        self.state().await
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nodes(state: &Value) -> Vec<&Value> {
    state["nodes"].as_array().into_iter().flatten().filter(|node| node["observer"] == false).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_watches_gets_no_work_and_comes_and_goes() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.redb");
    // Which it has again after its restart.
    let port = free_port();
    let seed = cluster.nodes[0].gossip.clone();
    let monitor = Monitor::start(port, &seed, &history);
    let asked = |state: &Value| nodes(state).iter().filter(|node| node["figures"].is_object()).count() == 3;
    let state = monitor.until("all three are asked", asked).await;
    assert_eq!(state["source"]["kind"], "monitor");
    assert!(state["verdict"]["sentence"].as_str().unwrap().starts_with("All 3 nodes are well"), "{state}");

    // A member for all, and for none of them one that works.
    let node1 = Http::new(&cluster.nodes[0].http_address);
    eventually("node1 knows it", async || {
        let members = node1.json("/members").await;
        members["members"].as_array().unwrap().iter().any(|m| m["name"] == "watcher" && m["observer"] == true)
    })
    .await;
    let peers = node1.json("/peers").await;
    assert!(peers["peers"].as_array().unwrap().iter().all(|peer| peer["name"] != "watcher"), "{peers}");
    for tag in 0..6 {
        node1.upload(Clip { tag: 950 + tag, ..Clip::default() }.make()).await.assert_video();
    }
    for node in &cluster.nodes {
        assert_eq!(node.count_of_peer("a peer is avoided", "watcher"), 0);
    }
    let sum = |state: &Value| -> u64 {
        nodes(state).iter().filter_map(|node| node["figures"]["ok"].as_u64()).sum()
    };
    monitor.until("it has counted the uploads", |state| sum(state) == 6).await;

    // As the paper's client tells it.
    let report = json!({"node_id": "client-7", "throughput": 2.5, "avg_latency": 1.25, "success": 40, "total": 42, "timestamp": 1_764_352_800.25});
    let path = "/update_metrics";
    let kind = [("content-type", "application/json")];
    let taken = monitor.http.send(Method::POST, path, &kind, report.to_string().into()).await.unwrap();
    assert_eq!(taken.status, 200, "{taken:?}");
    monitor
        .http
        .send(Method::POST, path, &kind, "{}".into())
        .await
        .unwrap()
        .assert_problem(400, "bad-request");
    let told = &monitor.state().await["clients"][0];
    assert_eq!(
        (&told["name"], &told["success"], &told["latency_s"]["latest"]),
        (&"client-7".into(), &40.into(), &1.25.into())
    );

    // It is stopped, and what it saw is in its file.
    let points = |state: &Value| state["series"]["points"].as_array().map_or(0, Vec::len);
    let before = monitor.until("there are some points", |state| points(state) >= 2).await;
    monitor.stop();
    let oldest = before["series"]["points"][0][0].clone();
    let monitor = Monitor::start(port, &seed, &history);
    let after = monitor.until("all three are asked again", asked).await;
    assert_eq!(after["series"]["points"][0][0], oldest, "what was before is there");

    // A node goes: it is to blame, and the others are watched on.
    let name: NodeName = "node3".parse().unwrap();
    cluster.nodes[2].kill();
    let state = monitor
        .until("the killed node is to blame", |state| {
            state["verdict"]["sentence"].as_str().is_some_and(|said| said.starts_with("node3 has failed"))
        })
        .await;
    assert_eq!(state["verdict"]["blame"][0]["name"], name.as_str());
    assert_eq!(node1.get("/ready").await.status, 200);
}

/// What curl is told over TLS: status and body.
fn curl(ca: &Path, port: u16, path: &str, token: &str, args: &[&str]) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "120", "-w", "\n%{http_code}", "--cacert"]).arg(ca).args(args);
    if !token.is_empty() {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let Output { stdout, stderr, .. } =
        command.arg(format!("https://127.0.0.1:{port}{path}")).output().unwrap();
    let told = String::from_utf8(stdout).unwrap();
    let Some((body, status)) = told.rsplit_once('\n') else {
        panic!("{told}{}", String::from_utf8_lossy(&stderr));
    };
    // 0: nobody was asked.
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

/// Whether this is the problem of that status and type.
#[track_caller]
fn assert_problem((status, body): (u16, Value), expected: (u16, &str)) {
    assert_eq!(status, expected.0, "{body}");
    assert!(body["type"].as_str().is_some_and(|kind| kind.ends_with(expected.1)), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_port_asks_for_tokens_and_speaks_tls_as_a_nodes() {
    let files = Files::new();
    let (read, up) = (
        files.token(&["--name", "read", "--scope", "read"]),
        files.token(&["--name", "up", "--scope", "upload"]),
    );
    let (root, other) = (Root::new(files.path("root.pem")), Root::new(files.path("other.pem")));
    root.sign(&files.path(""));
    let args =
        [("key-file", "key"), ("token-file", "tokens.toml"), ("tls-cert", "tls.crt"), ("tls-key", "tls.key")]
            .map(|(option, name)| format!("--{option}={}", files.path(name).display()));
    let mut options = files.node("node1");
    options.args.extend(args[2..].iter().cloned());
    let node = Node::start(options);
    let port = free_port();
    let monitor = Monitor::start_with(port, &node.gossip, &args);
    let ask = |path: &str, token: &str, more: &[&str]| curl(&root.pem, port, path, token, more);

    // The member that it asks wants a token and TLS, too: it proves by the key that it is one.
    eventually("the node is asked", async || {
        let (_, state) = ask("/dashboard/state", &read, &[]);
        nodes(&state).iter().any(|node| node["figures"].is_object())
    })
    .await;
    for path in ["/dashboard", "/dashboard/state", "/dashboard/stream", "/members"] {
        assert_problem(ask(path, "", &[]), (401, "no-token"));
        assert_problem(ask(path, "starling_guessed", &[]), (401, "bad-token"));
    }
    assert_eq!(
        (ask("/health", "", &[]).0, ask("/ready", "", &[]).0, ask("/members", &up, &[]).0),
        (200, 200, 200)
    );
    assert_problem(ask("/dashboard/state", &up, &[]), (403, "wrong-scope"));
    let page = |token: &str| ask("/dashboard", "", &["-o", "/dev/null", "-u", &format!("me:{token}")]).0;
    assert_eq!((page(&read), page("x")), (200, 401), "a browser sends it as a password");
    let report = json!({"node_id": 7, "throughput": 2.5, "avg_latency": 1.25, "success": 40, "total": 42, "timestamp": 1});
    let report = ["--data", &report.to_string()];
    assert_problem(ask("/update_metrics", "", &report), (401, "no-token"));
    assert_problem(ask("/update_metrics", &read, &report), (403, "wrong-scope"));
    assert_eq!(ask("/update_metrics", &up, &report).0, 200);

    // As at a node: other names, other sites' pages, plain HTTP.
    assert_problem(ask("/health", "", &["-H", "Host: evil.example"]), (421, "unknown-host"));
    assert_problem(ask("/health", "", &["-H", "Origin: https://evil.example"]), (403, "cross-origin"));
    monitor.http.get("/health").await.assert_problem(400, "https-needed");

    // `starling load` goes both ways with its token, and is heard.
    let clip = files.path("clip.mp4");
    std::fs::write(&clip, Clip { tag: 960, ..Clip::default() }.make()).unwrap();
    let (to, told) = (format!("https://{}", node.http_address), format!("https://127.0.0.1:{port}"));
    let load = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args([
            "load",
            "--duration=1s",
            "--parallel=1",
            "--timeout=5m",
            "--to",
            &to,
            "--report",
            &told,
            "--token",
            &up,
            "--ca",
        ])
        .arg(&root.pem)
        .arg(&clip)
        .output()
        .unwrap();
    assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    let (_, state) = ask("/dashboard/state", &read, &[]);
    let heard = |client: &Value| client["name"].as_str().is_some_and(|name| name.starts_with("load-"));
    assert!(state["clients"].as_array().unwrap().iter().any(heard), "{}", state["clients"]);

    // Both files are read again when they change.
    TokenFile::revoke(&files.path("tokens.toml"), "up").unwrap();
    eventually("the token is known no more", async || ask("/members", &up, &[]).0 == 401).await;
    other.sign(&files.path(""));
    eventually("the new certificate is shown", async || curl(&other.pem, port, "/health", "", &[]).0 == 200)
        .await;
    monitor.stop();
}
