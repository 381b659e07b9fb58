//! Nodes that die while they have work, and clients that do not notice.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Clip, Cluster, Http, Node, NodeOptions, Stub, eventually};

#[tokio::test]
async fn a_job_lost_with_its_node_is_done_elsewhere_and_the_node_takes_part_again() {
    let mut cluster =
        Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let clips = [Clip::default().make(), Clip::long(1).make(), Clip::long(2).make()];
    cluster.nodes[0].http.upload(clips[0].clone()).await.assert_video();
    let (http, clip) = (cluster.nodes[0].http.clone(), clips[1].clone());
    let upload = tokio::spawn(async move { http.upload(clip).await });
    cluster.nodes[1].busy(1, 0).await;
    cluster.nodes[1].kill();
    let answer = upload.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    cluster.nodes[0].logged("peer lost: next candidate", |line| line["peer"] == "node2").await;
    cluster.nodes[0].logged("failed", |line| line["member"] == "node2").await;

    cluster.nodes[1].kill_and_restart();
    cluster.nodes[0].logged("rejoined", |line| line["member"] == "node2").await;
    // Until the connection's failure is forgotten node2 may be passed over; turns alternate, so it comes.
    loop {
        let answer =
            cluster.nodes[0].http.upload(Clip { tag: rand::random(), ..Clip::default() }.make()).await;
        answer.assert_video();
        if answer.header("x-served-by") == "node2" {
            break;
        }
    }
}

#[tokio::test]
async fn uploads_to_the_others_all_succeed_while_a_node_is_killed() {
    let mut cluster = Cluster::start(&["FRA", "FRA", "FRA"]).await;
    let clips: Vec<_> =
        (0..8).map(|tag| Clip { size: "640x480", seconds: 2.0, tag, ..Clip::default() }.make()).collect();
    let uploads: Vec<_> = clips
        .into_iter()
        .enumerate()
        .map(|(index, clip)| {
            let http = cluster.nodes[index % 2].http.clone();
            tokio::spawn(async move { http.upload(clip).await })
        })
        .collect();
    // Killed as soon as it has work; if it gets none, in the middle of the others' work.
    let doomed = &cluster.nodes[2];
    while !uploads.iter().any(tokio::task::JoinHandle::is_finished) {
        if doomed.http.json("/health").await["running"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cluster.nodes[2].kill();
    for upload in uploads {
        upload.await.unwrap().assert_video();
    }
}

#[tokio::test]
async fn a_stopped_node_answers_what_it_has_taken() {
    let tools = Stub::holding();
    let mut node = Node::start(NodeOptions::new("node1", "FRA").tools(&tools).arg("--drain=4m"));
    let http = node.http.clone();
    let upload = tokio::spawn(async move { http.upload(Clip::default().make()).await });
    node.busy(1, 0).await;
    node.signal(Signal::TERM);
    node.logged("shutting down", |_| true).await;
    tools.release();
    upload.await.unwrap().assert_video();
    assert!(node.exited().await.success());
}

#[tokio::test]
async fn a_stopped_node_finishes_what_runs_and_hands_on_what_waits() {
    // Turns: here, there, here.
    let tools = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        options.tools_of("node1", &tools).arg("--policy=round-robin").arg("--drain=4m")
    })
    .await;
    let upload = |cluster: &Cluster, clip: Clip| {
        let http = cluster.nodes[0].http.clone();
        tokio::spawn(async move { http.upload(clip.make()).await })
    };
    let runs = upload(&cluster, Clip { tag: 1, ..Clip::default() });
    cluster.nodes[0].busy(1, 0).await;
    upload(&cluster, Clip::default()).await.unwrap().assert_video();
    let waits = upload(&cluster, Clip { tag: 2, ..Clip::default() });
    cluster.nodes[0].busy(1, 1).await;
    cluster.nodes[0].signal(Signal::TERM);
    let answer = waits.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node2");
    assert!(!runs.is_finished());
    tools.release();
    let answer = runs.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    assert!(cluster.nodes[0].exited().await.success());
}

#[tokio::test]
async fn what_waits_on_a_node_that_stops_is_spread_over_the_others() {
    let tools = Stub::holding();
    let mut options = NodeOptions::new("node1", "FRA").tools(&tools).arg("--drain=4m");
    options.log = Some("starling=debug");
    let mut near = Node::start(options);
    let upload = |clip: Clip| {
        let http = near.http.clone();
        tokio::spawn(async move { http.upload(clip.make()).await })
    };
    let runs = upload(Clip { tag: 1, ..Clip::default() });
    near.busy(1, 0).await;
    let waits: Vec<_> = (2..6).map(|tag| upload(Clip { tag, ..Clip::default() })).collect();
    // In its queue for good, and not only promised a place there.
    eventually("all are ranked", async || near.count("candidates ranked") == 5).await;
    near.busy(1, 4).await;
    let others = ["node2", "node3"].map(|name| Node::start(NodeOptions::new(name, "FRA").join(&near.gossip)));
    eventually("node1 knows what the others have to do", async || {
        let members = near.http.json("/members").await;
        let known = |member: &&Value| member["state"] == "alive" && !member["load"].is_null();
        members["members"].as_array().unwrap().iter().filter(known).count() == 3
    })
    .await;
    near.signal(Signal::TERM);
    let mut served = Vec::new();
    for answer in waits {
        let answer = answer.await.unwrap();
        answer.assert_video();
        served.push(answer.header("x-served-by").to_owned());
    }
    served.sort();
    assert_eq!(served, ["node2", "node2", "node3", "node3"]);
    tools.release();
    runs.await.unwrap().assert_video();
    assert!(near.exited().await.success());
    drop(others);
}

#[tokio::test]
async fn a_peer_that_freezes_with_a_job_is_noticed_by_gossip() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    near.http.upload(Clip::default().make()).await.assert_video();
    let http = near.http.clone();
    let upload = tokio::spawn(async move { http.upload(Clip::long(1).make()).await });
    far.busy(1, 0).await;
    // Its connections stay open, and nothing comes of them any more.
    far.signal(Signal::STOP);
    let answer = upload.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    let lost = near.logged("peer lost: next candidate", |line| line["peer"] == "node2").await;
    assert!(lost["reason"].as_str().unwrap().contains("gossip found it dead"), "{lost}");
}

#[tokio::test]
async fn a_killed_node_takes_its_ffmpeg_with_it() {
    let mut cluster = Cluster::start(&["FRA"]).await;
    let (http, clip) = (cluster.nodes[0].http.clone(), Clip::long(1).make());
    let upload = tokio::spawn(async move { http.upload(clip).await });
    cluster.nodes[0].busy(1, 0).await;
    eventually("ffmpeg is at work", async || !cluster.nodes[0].ffmpegs().is_empty()).await;
    cluster.nodes[0].kill();
    upload.abort();
    eventually("ffmpeg is gone", async || cluster.nodes[0].ffmpegs().is_empty()).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_ends_no_node() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let data = tempfile::tempdir().unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args([
            "node",
            "--name",
            "a",
            "--http",
            "127.0.0.1:0",
            "--gossip",
            "127.0.0.1:0",
            "--log",
            "json",
            "--data-dir",
        ])
        .arg(data.path())
        .env("STARLING_DIE_WITH_PARENT", "1")
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(node.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("node started") {
        line.clear();
        log.read_line(&mut line).unwrap();
    }
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let http = Http::new(started["http"].as_str().unwrap());
    drop(log);
    // Each of these is a line of the log.
    for _ in 0..3 {
        http.upload("no video".into()).await.assert_problem(415, "not-a-video");
    }
    assert_eq!(http.get("/health").await.status, 200);
    rustix::process::kill_process(rustix::process::Pid::from_child(&node), rustix::process::Signal::TERM)
        .unwrap();
    assert!(node.wait().unwrap().success());
}
