//! `starling monitor`: it watches a cluster, gets no work, takes reports, and comes and goes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper::Method;
use serde_json::{Value, json};
use starling_overlay::NodeName;

use crate::support::{Clip, Cluster, Http, eventually};

/// A running monitor; ended when dropped.
struct Monitor {
    child: Child,
    http: Http,
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
    fn start(port: u16, seed: &str, history: &Path) -> Self {
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["monitor", "--name", "watcher", "--gossip", "127.0.0.1:0", "--timing", "local"])
            .args(["--http", &address, "--join", seed, "--history"])
            .arg(history)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, http: Http::new(&address) }
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

fn nodes(state: &Value) -> Vec<&Value> {
    state["nodes"].as_array().into_iter().flatten().filter(|node| node["observer"] == false).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_watches_gets_no_work_and_comes_and_goes() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.redb");
    // A free port, which it has again after its restart.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
