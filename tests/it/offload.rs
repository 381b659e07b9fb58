//! Jobs that go to a peer, and those that should have but could not.

use bytes::Bytes;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sharing::home;
use crate::support::{Clip, Cluster, Node, NodeOptions, Stub};

/// `round-robin` ranks the deciding node itself first, its peer second, and so on: the second upload leaves.
async fn pair(zones: &[&str]) -> Cluster {
    Cluster::start_with(zones, |options| options.arg("--policy=round-robin")).await
}

fn clip(tag: u32) -> Bytes {
    Clip { tag, ..Clip::default() }.make()
}

#[tokio::test]
async fn a_job_goes_to_a_peer_and_its_result_is_cached_on_both() {
    for (zones, route) in [(["FRA", "IAD"], "cross-region"), (["FRA", "FRA"], "same-region")] {
        let cluster = pair(&zones).await;
        let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
        let first = near.http.upload(clip(1)).await;
        assert_eq!(first.header("x-route"), "node1/FRA");
        let second = near.http.upload(clip(2)).await;
        second.assert_video();
        assert_eq!(second.header("x-route"), format!("node1/FRA -> node2/{}", zones[1]));
        assert_eq!(second.header("x-served-by"), "node2");
        assert_eq!(second.header("x-cache"), "miss");
        near.logged("upload served", move |line| line["route"] == route).await;
        far.logged("job done for a peer", |line| line["from"] == "node1").await;
        for node in [near, far] {
            let again = node.http.upload(clip(2)).await;
            assert_eq!((again.header("x-cache"), &again.body), ("hit", &second.body));
        }
        assert_eq!(cluster.transcodes().await, 2);
        assert_eq!(far.metric("starling_transcodes_total").await, 1);
    }
}

#[tokio::test]
async fn score_keeps_a_job_at_home_when_no_other_node_is_better() {
    // On loopback every round trip counts as no distance, so all scores are equal: ties go to self.
    let only_rtt = ["--load-weight=0", "--rtt-weight=1"];
    let cluster =
        Cluster::start_with(&["FRA", "IAD"], |options| options.arg(only_rtt[0]).arg(only_rtt[1])).await;
    let answer = cluster.nodes[0].http.upload(clip(1)).await;
    assert_eq!(answer.header("x-route"), "node1/FRA");
}

/// An offer of a video that never comes.
fn offer() -> Bytes {
    let offer = json!({
        "from": "node9", "content": "00".repeat(32), "bytes": 1, "profile": "360p", "deadline_ms": 40_000, "backlog": null,
        "info": {
            "container": "mov,mp4", "duration": {"secs": 1, "nanos": 0}, "audio": null, "streams": 1,
            "video": {"codec": "h264", "width": 320, "height": 240, "fps": 25.0, "frames": 25, "duration": null},
        },
    });
    offer.to_string().into()
}

#[tokio::test]
async fn a_peer_with_a_full_queue_refuses_and_the_job_is_done_here() {
    let cluster =
        Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin").arg("--queue=1"))
            .await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    let clips = [clip(1), clip(2)];
    near.http.upload(clips[0].clone()).await.assert_video();
    // Two places, one with the worker and one to wait in: both are promised to somebody who has yet to come.
    let offer = offer();
    for _ in 0..2 {
        let accepted = far.http.ask_node("/internal/offers", offer.clone()).await;
        assert_eq!(accepted.status, 200, "{}", String::from_utf8_lossy(&accepted.body));
    }
    let refused = offer_from_elsewhere(far).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("/saturated\""), "{refused}");
    let answer = near.http.upload(clips[1].clone()).await;
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    assert_eq!(near.count("offer refused: next candidate"), 1, "node2 was asked");
}

/// An offer from another address than that of the other requests.
async fn offer_from_elsewhere(node: &Node) -> String {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(node.http_address.parse().unwrap()).await.unwrap();
    let offer = offer();
    let head = format!(
        "POST /internal/offers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        offer.len()
    );
    stream.write_all(&[head.as_bytes(), &offer].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn one_address_holds_half_of_the_places_at_the_most() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--queue=7"));
    let mut held = Vec::new();
    for _ in 0..4 {
        let accepted = node.http.ask_node("/internal/offers", offer()).await;
        assert_eq!(accepted.status, 200, "{}", String::from_utf8_lossy(&accepted.body));
        held.push(accepted.json()["offer"].as_str().unwrap().to_owned());
    }
    let refused = node.http.ask_node("/internal/offers", offer()).await;
    refused.assert_problem(429, "too-many-offers");
    let elsewhere = offer_from_elsewhere(&node).await;
    assert!(elsewhere.starts_with("HTTP/1.1 200 "), "{elsewhere}");
    // One that has come to something makes room, also if it was not what was offered.
    let job = format!("/internal/jobs/{}", held[0]);
    node.http.ask_node(&job, "not what was offered").await.assert_problem(415, "not-a-video");
    assert_eq!(node.http.ask_node("/internal/offers", offer()).await.status, 200);
    node.http.ask_node("/internal/offers", offer()).await.assert_problem(429, "too-many-offers");
}

#[tokio::test]
async fn a_node_with_no_free_worker_asks_the_others_before_a_job_waits() {
    // All that counts is distance, and on loopback there is none: the score alone would keep every job at home.
    let only_rtt = ["--load-weight=0", "--rtt-weight=1"];
    let tools = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        options.tools_of("node1", &tools).arg(only_rtt[0]).arg(only_rtt[1])
    })
    .await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    let clips = [1, 2].map(|tag| Clip { tag, ..Clip::default() }.make());
    let (http, clip) = (near.http.clone(), clips[0].clone());
    let first = tokio::spawn(async move { http.upload(clip).await });
    near.busy(1, 0).await;
    let second = near.http.upload(clips[1].clone()).await;
    second.assert_video();
    assert_eq!(second.header("x-served-by"), far.options.name);
    tools.release();
    assert_eq!(first.await.unwrap().header("x-served-by"), near.options.name);
}

#[tokio::test]
async fn a_job_with_a_place_at_home_waits_for_one_silent_peer_and_not_for_all() {
    let cluster =
        Cluster::start_with(&["FRA"; 4], |options| options.arg("--policy=round-robin").arg("--timing=wan"))
            .await;
    let near = &cluster.nodes[0];
    near.http.upload(clip(1)).await.assert_video();
    let names = ["node1", "node2", "node3", "node4"];
    let at_home = (2..100).map(clip).find(|clip| home(clip, &names) == "node1").unwrap();
    let signal_others = |signal| cluster.nodes[1..].iter().for_each(|node| node.signal(signal));
    signal_others(Signal::STOP);
    let answer = near.http.upload(at_home).await;
    signal_others(Signal::CONT);
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    assert_eq!(near.count("peer lost: next candidate"), 1);
}

#[tokio::test]
async fn internal_routes_check_what_they_get() {
    let cluster = Cluster::start(&["FRA"]).await;
    let node: &Node = &cluster.nodes[0];
    let post = |path: &'static str, body: &'static str| node.http.ask_node(path, body);
    post("/internal/offers", "{}").await.assert_problem(400, "bad-request");
    post("/internal/offers", "[").await.assert_problem(400, "bad-request");
    post("/internal/jobs/1", "x").await.assert_problem(400, "bad-request");
    post("/internal/jobs/00000000000000000000000000000000", "x").await.assert_problem(404, "not-found");
}
