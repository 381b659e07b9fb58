//! `starling node pause|drain|resume|status` and `starling drain`: nodes that take no work for a while.

use std::process::Command;

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Clip, Cluster, Node, Stub, eventually};

/// `starling` with these arguments, at a node, and what it says as JSON, a line a node.
async fn told(node: &Node, args: Vec<&'static str>) -> Vec<Value> {
    let address = format!("--node=http://{}", node.http_address);
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        command.args(args).arg(address).arg("--json");
        command.env_remove("STARLING_NODE").env_remove("STARLING_KEY_FILE").output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `starling node` with these arguments.
async fn starling(node: &Node, args: &[&'static str]) -> Value {
    let args = std::iter::once("node").chain(args.iter().copied()).collect();
    told(node, args).await.remove(0)
}

async fn job(node: &Node, tag: u32) -> String {
    let video = Clip { tag, audio: false, ..Clip::default() }.make();
    let answer = node.http.upload_with("/jobs", &[("x-priority", "batch")], video).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_ends_what_runs_and_gives_away_what_waits() {
    let stub = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "FRA"], |options| options.tools(&stub)).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    // Two run, as there are two workers; two wait.
    let mut jobs = Vec::new();
    for tag in 60..64 {
        jobs.push(job(first, tag).await);
    }
    eventually("two run", async || {
        let list = first.http.json("/jobs?state=running").await;
        list["jobs"].as_array().unwrap().len() == 2
    })
    .await;
    let draining = told(first, vec!["drain"]).await.remove(0);
    assert_eq!((&draining["mode"], &draining["node"]), (&Value::from("draining"), &Value::from("node1")));
    // It says so to clients, to balancers and by gossip.
    let upload = first.http.upload(Clip { tag: 65, ..Clip::default() }.make()).await;
    upload.assert_problem(503, "resting");
    assert_eq!(first.http.get("/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    eventually("the other node knows", async || {
        let members = second.http.json("/members").await;
        let members = members["members"].as_array().unwrap();
        members.iter().any(|member| member["name"] == "node1" && member["load"]["resting"] == true)
    })
    .await;
    eventually("what waited is the other node's", async || {
        let list = first.http.json("/jobs?limit=10").await;
        let held = list["jobs"].as_array().unwrap().iter().filter(|job| job["node"] == "node2");
        held.count() == 2
    })
    .await;
    stub.release();
    for path in &jobs {
        eventually("it is done", async || first.http.json(path).await["state"] == "done").await;
        assert_eq!(first.http.json(path).await["interrupted"], 0, "{path} was not interrupted");
    }
    let idle = starling(first, &["drain", "--wait"]).await;
    assert_eq!((&idle["running"], &idle["jobs"]), (&Value::from(0), &Value::from(0)), "{idle}");
    assert_eq!(starling(first, &["resume"]).await["mode"], "working");
    first.http.upload(Clip { tag: 65, ..Clip::default() }.make()).await.assert_video();
    // A paused node keeps what waits there.
    assert_eq!(starling(second, &["pause"]).await["mode"], "paused");
    let refused = second.http.send(Method::POST, "/jobs", &[("content-type", "video/mp4")], "x".into());
    refused.await.unwrap().assert_problem(503, "resting");
    assert_eq!(starling(second, &["status"]).await["mode"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_paused_drained_and_set_to_work_at_once() {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let orders = [("pause", "paused"), ("drain", "draining"), ("resume", "working")];
    for (order, mode) in orders {
        let answers = told(&cluster.nodes[1], vec!["node", order, "--all"]).await;
        let mut said: Vec<_> = answers.iter().map(|work| (work["node"].as_str(), &work["mode"])).collect();
        said.sort_by_key(|(name, _)| *name);
        let all = ["node1", "node2", "node3"].map(Some);
        assert_eq!(said.iter().map(|(name, _)| *name).collect::<Vec<_>>(), all, "{order}: {answers:?}");
        assert!(said.iter().all(|(_, told)| *told == mode), "{order}: {answers:?}");
        // Each by its own word, too.
        for node in &cluster.nodes {
            assert_eq!(starling(node, &["status"]).await["mode"], mode, "{order}");
        }
    }
}
