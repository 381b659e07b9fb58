//! Nodes that have no time: who is refused, what for, and what that costs.

use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use starling::content::ContentId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::sharing::home;
use crate::support::{Clip, Cluster, Http, Node, NodeOptions, PATIENCE, Stub};

/// Room for one job with the worker and one that waits.
const QUEUE: &str = "--queue=1";

fn upload(http: &Http, clip: Bytes) -> JoinHandle<()> {
    let http = http.clone();
    tokio::spawn(async move { http.upload(clip).await.assert_video() })
}

/// The steps that a request took, by its log line.
fn steps(line: &serde_json::Value) -> Vec<String> {
    let trail = line["trail"].as_str().unwrap();
    trail.split(' ').filter_map(|step| Some(step.split_once('=')?.0.to_owned())).collect()
}

/// Sends the head of an upload whose body waits to be asked for; the first line of the answer.
async fn announce(node: &Node, content: ContentId) -> String {
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000\r\nexpect: 100-continue\r\n\
         x-content-sha256: {content}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut line, mut stream) = (String::new(), BufReader::new(stream));
    tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await.expect("an answer").unwrap();
    line
}

#[tokio::test]
async fn a_full_node_refuses_before_ffprobe_and_before_a_body_that_it_need_not_see() {
    let tools = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&tools).arg(QUEUE));
    let clips = [1, 2].map(|tag| Clip { tag, ..Clip::default() }.make());
    let runs = upload(&node.http, clips[0].clone());
    node.busy(1, 0).await;
    let waits = upload(&node.http, clips[1].clone());
    node.busy(1, 1).await;

    let clip = Clip { tag: 3, ..Clip::default() }.make();
    let refused = node.http.upload(clip.clone()).await;
    refused.assert_problem(503, "saturated");
    refused.assert_tells_of_jobs();
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let line = node.logged("upload refused", |_| true).await;
    assert_eq!(steps(&line).first().map(String::as_str), Some("body"), "{line}");
    assert!(!steps(&line).contains(&"look".to_owned()), "no ffprobe for what is refused anyway: {line}");

    // The same content announced: its body never comes.
    let mark = node.mark();
    let answer = announce(&node, ContentId::of(&clip)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let line = node.logged_since(mark, "upload refused", |_| true).await;
    assert_eq!(steps(&line), ["unread"], "{line}");
    // One that is being made costs nothing more.
    let answer = announce(&node, ContentId::of(&clips[0])).await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");

    tools.release();
    runs.await.unwrap();
    waits.await.unwrap();
    // As it was told, until it is its turn; there is nobody else any more.
    loop {
        let answer = node.http.upload(clip.clone()).await;
        if answer.status == 200 {
            answer.assert_video();
            break;
        }
        answer.assert_problem(503, "saturated");
        tokio::time::sleep(Duration::from_secs(answer.header("retry-after").parse().unwrap())).await;
    }
    assert_eq!(node.metric("starling_transcodes_total").await, 3);
}

#[tokio::test]
async fn what_finds_no_place_here_is_looked_at_only_by_the_peer_that_takes_it() {
    // Turns: here, there, here; then there is no place here.
    let tools = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        options.tools_of("node1", &tools).arg("--policy=round-robin").arg(QUEUE)
    })
    .await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    let runs = upload(&near.http, Clip { tag: 1, ..Clip::default() }.make());
    near.busy(1, 0).await;
    near.http.upload(Clip { tag: 2, ..Clip::default() }.make()).await.assert_video();
    let waits = upload(&near.http, Clip { tag: 3, ..Clip::default() }.make());
    near.busy(1, 1).await;

    let clip = Clip { tag: 4, ..Clip::default() }.make();
    let answer = near.http.upload(clip.clone()).await;
    answer.assert_video();
    assert_eq!(answer.header("x-route"), "node1/FRA -> node2/IAD");
    let line = near.logged("upload served", |line| steps(line).contains(&"no-place".to_owned())).await;
    let steps = steps(&line);
    assert_eq!(steps.last().map(String::as_str), Some("peer"), "{line}");
    assert!(!steps.contains(&"look".to_owned()), "{line}");
    let content = ContentId::of(&clip).to_string();
    far.logged("job done for a peer", move |line| line["content"] == content.as_str()).await;

    // What is no video is that peer's to say.
    let broken = near.http.upload(clip.slice(..clip.len() / 2)).await;
    broken.assert_problem(422, "unusable-video");
    tools.release();
    runs.await.unwrap();
    waits.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_keeps_nobody_from_asking_the_next() {
    // Gossip takes longer to miss a member than a refusal takes.
    let tools = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "IAD", "BOM"], |options| {
        options.tools_of("node1", &tools).arg("--policy=round-robin").arg("--timing=wan").arg(QUEUE)
    })
    .await;
    let [near, silent, far] = &cluster.nodes[..] else { panic!("three nodes") };
    let runs = upload(&near.http, Clip { tag: 1, ..Clip::default() }.make());
    near.busy(1, 0).await;
    // Turns: here, node2, node3, here; then node2 again.
    for tag in [2, 3] {
        near.http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
    }
    let waits = upload(&near.http, Clip { tag: 4, ..Clip::default() }.make());
    near.busy(1, 1).await;
    let mut clips = (5..).map(|tag| Clip { tag, ..Clip::default() }.make());
    let mut clip_at_home_in =
        |name| clips.find(|clip| home(clip, &["node1", "node2", "node3"]) == name).unwrap();
    // It is asked first; and then it is the content's home, of which nobody hears anything.
    let clips = ["node1", "node2"].map(&mut clip_at_home_in);
    silent.signal(Signal::STOP);
    let mut answers = Vec::new();
    for clip in clips {
        answers.push(near.http.upload(clip).await);
    }
    silent.signal(Signal::CONT);
    for answer in answers {
        answer.assert_video();
        assert_eq!(answer.header("x-served-by"), far.options.name);
    }
    near.logged("offer refused: next candidate", |line| line["peer"] == "node2").await;
    tools.release();
    runs.await.unwrap();
    waits.await.unwrap();
}

#[tokio::test]
async fn what_takes_longer_than_it_is_allowed_is_refused_for_good_and_for_no_other_request() {
    let tools = Stub::holding();
    tools.looks_later();
    tools.release();
    let mut options = NodeOptions::new("node1", "FRA").tools(&tools);
    options.log = Some("starling=debug");
    let node = Node::start(options);
    // From the third one on it knows what such a job takes.
    for tag in 0..3 {
        let clip = Clip { size: "160x120", tag, container: "mkv", ..Clip::default() };
        node.http.upload(clip.make()).await.assert_video();
    }
    let clip = Clip { size: "160x120", seconds: 150.0, audio: false, tag: 3, container: "mkv" }.make();
    let short = [("x-deadline-ms", "12000")];
    for _ in 0..2 {
        let refused = node.http.upload_with("/upload", &short, clip.clone()).await;
        refused.assert_problem(504, "deadline-too-short");
        refused.assert_tells_of_jobs();
        assert_eq!(refused.header("retry-after"), "");
    }
    // Another request for the same has more time, and waits for the same ffprobe.
    tools.hold();
    let (http, body) = (node.http.clone(), clip.clone());
    let refused = tokio::spawn(async move { http.upload_with("/upload", &short, body).await });
    node.busy(0, 1).await;
    let http = node.http.clone();
    let long = [("x-deadline-ms", "3600000")];
    let done = tokio::spawn(async move { http.upload_with("/upload", &long, clip).await.assert_video() });
    node.logged("joins work under way", |_| true).await;
    tools.release();
    refused.await.unwrap().assert_problem(504, "deadline-too-short");
    done.await.unwrap();
    assert_eq!(node.metric("starling_transcodes_total").await, 4);
}
