//! One transcode per content in the whole cluster.

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::lab::alive;
use crate::support::{Clip, Cluster, Node, NodeOptions, Stub, eventually};

#[tokio::test]
async fn a_result_that_a_peer_holds_is_fetched_and_not_made_again() {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    for tag in 0..4 {
        let clip = Clip { tag, ..Clip::default() }.make();
        let mut bodies = Vec::new();
        for node in &cluster.nodes {
            let answer = node.http.upload(clip.clone()).await;
            answer.assert_video();
            bodies.push(answer.body);
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }
    assert_eq!(cluster.transcodes().await, 4);
}

#[tokio::test]
async fn equal_uploads_at_once_to_all_nodes_are_transcoded_once() {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let clip = Clip { size: "640x480", seconds: 3.0, ..Clip::default() }.make();
    let uploads = cluster.nodes.iter().cycle().take(6).map(|node| node.http.upload(clip.clone()));
    for answer in join_all(uploads).await {
        answer.assert_video();
    }
    assert_eq!(cluster.transcodes().await, 1);
}

#[tokio::test]
async fn the_death_of_any_one_node_costs_double_work_at_most() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let clips: Vec<_> = (0..3).map(|tag| Clip { tag, ..Clip::default() }.make()).collect();
    for clip in &clips {
        cluster.nodes[2].http.upload(clip.clone()).await.assert_video();
    }
    cluster.nodes[2].kill();
    // Before gossip knows: whoever was home or holder there can't be asked.
    for clip in &clips {
        for node in &cluster.nodes[..2] {
            node.http.upload(clip.clone()).await.assert_video();
        }
    }
}

/// The home of a content among these nodes, as src/lease/home.rs reckons it.
pub fn home<'a>(content: &[u8], nodes: &[&'a str]) -> &'a str {
    let weight = |name: &str| {
        let content = starling::content::ContentId::of(content);
        starling::content::ContentId::of(&[&content.as_bytes()[..], b"360p\0", name.as_bytes()].concat()).0
    };
    nodes.iter().copied().max_by_key(|name| weight(name)).unwrap()
}

#[tokio::test]
async fn a_frozen_home_is_not_waited_for() {
    // With this timing gossip takes several times as long to miss it.
    let cluster = Cluster::start_with(&["FRA", "IAD"], |mut options| {
        options.log = Some("starling=debug");
        options.arg("--timing=wan")
    })
    .await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    let mut clips = (0..).map(|tag| Clip { tag, ..Clip::default() }.make());
    let clip = clips.find(|clip| home(clip, &["node1", "node2"]) == "node2").unwrap();
    far.signal(Signal::STOP);
    let answer = near.http.upload(clip).await;
    near.logged("failed", |line| line["member"] == "node2").await;
    far.signal(Signal::CONT);
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    let given_up = near.position("the content's home does not answer: working without it");
    assert!(given_up.is_some() && given_up < near.position("failed"), "waited until gossip missed it");
}

/// Three nodes whose gossip takes longer to miss a member than one question takes, and all that they do in their logs.
async fn three_patient_nodes() -> Cluster {
    Cluster::start_with(&["FRA", "IAD", "BOM"], |mut options| {
        options.log = Some("starling=debug");
        options.arg("--timing=wan").arg("--load-weight=0").arg("--rtt-weight=1")
    })
    .await
}

/// A new clip with this home.
fn clip_at_home_in(name: &str, first_tag: u32) -> Bytes {
    let mut clips = (first_tag..).map(|tag| Clip { tag, ..Clip::default() }.make());
    clips.find(|clip| home_of_three(clip) == name).unwrap()
}

fn home_of_three(clip: &[u8]) -> &'static str {
    home(clip, &["node1", "node2", "node3"])
}

/// Waits until all nodes see each other alive.
async fn all_alive(cluster: &Cluster) {
    for node in &cluster.nodes {
        eventually("all are alive again", async || alive(&node.http).await == cluster.nodes.len()).await;
    }
}

/// An upload whose client waits for it for ever, on a connection of its own that can be closed.
async fn begin_upload(node: &Node, clip: &Bytes) -> TcpStream {
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: localhost\r\nx-deadline-ms: 3600000\r\ncontent-length: {}\r\n\r\n",
        clip.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(clip).await.unwrap();
    stream
}

const MINUTE: [(&str, &str); 1] = [("x-deadline-ms", "60000")];

#[tokio::test]
async fn a_lease_that_its_asker_never_learned_of_keeps_nobody_waiting() {
    let cluster = three_patient_nodes().await;
    let [asker, home, other] = &cluster.nodes[..] else { panic!("three nodes") };
    // The client leaves while the question is on its way.
    let clip = clip_at_home_in("node2", 0);
    home.signal(Signal::STOP);
    let client = begin_upload(asker, &clip).await;
    asker.logged("asking the content's home", |_| true).await;
    drop(client);
    asker.logged("a connection ended early", |_| true).await;
    home.signal(Signal::CONT);
    all_alive(&cluster).await;
    other.http.upload_with("/upload", &MINUTE, clip).await.assert_video();

    // The asker goes on without an answer.
    let clip = clip_at_home_in("node2", 100);
    home.signal(Signal::STOP);
    asker.http.upload_with("/upload", &[("x-deadline-ms", "3600000")], clip.clone()).await.assert_video();
    home.signal(Signal::CONT);
    all_alive(&cluster).await;
    other.http.upload_with("/upload", &MINUTE, clip).await.assert_video();
}

#[tokio::test]
async fn a_lease_is_renewed_while_its_holder_works_and_what_stands_still_is_not_waited_for() {
    let cluster = three_patient_nodes().await;
    let [holder, home, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let mut clips = (200..).map(|tag| Clip::long(tag).make());
    let clip = clips.find(|clip| home_of_three(clip) == "node2").unwrap();
    let (http, body) = (holder.http.clone(), clip.clone());
    let first = tokio::spawn(async move { http.upload(body).await });
    holder.pause_ffmpeg().await;
    let (http, body) = (other.http.clone(), clip.clone());
    let waits = tokio::spawn(async move { http.upload(body).await });
    // Longer than a lease that is not renewed; and its work crawls.
    eventually("renewed often", async || {
        holder.resume_ffmpeg();
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        holder.pause_ffmpeg().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        holder.count("lease renewed") >= 5
    })
    .await;
    assert_eq!(cluster.transcodes().await, 1);
    // Frozen, it keeps nobody waiting, however much time there is.
    let line = other.logged("not done elsewhere for long: made here as well", |_| true).await;
    assert!(line["seen"].as_str().unwrap().contains("gets no further"), "{line}");
    let answer = waits.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node3");
    holder.resume_ffmpeg();
    first.await.unwrap().assert_video();
    home.http.upload(clip).await.assert_video();
}

#[tokio::test]
async fn of_what_two_are_at_the_first_result_counts_and_ends_the_other() {
    let cluster = three_patient_nodes().await;
    let [holder, home, _] = &cluster.nodes[..] else { panic!("three nodes") };
    let clip = clip_at_home_in("node2", 250);
    let (http, body) = (holder.http.clone(), clip.clone());
    let first = tokio::spawn(async move { http.upload(body).await });
    holder.pause_ffmpeg().await;
    let http = home.http.clone();
    let second =
        tokio::spawn(async move { http.upload_with("/upload", &[("x-deadline-ms", "20000")], clip).await });
    // As soon as it is seen that nothing moves there.
    home.pause_ffmpeg().await;
    holder.resume_ffmpeg();
    let second = second.await.unwrap();
    second.assert_video();
    assert_eq!(second.header("x-served-by"), "node1");
    first.await.unwrap().assert_video();
    eventually("its own work is given up", async || home.ffmpegs().is_empty()).await;
    assert_eq!(cluster.transcodes().await, 2);
}

#[tokio::test]
async fn whose_wait_for_another_one_was_in_vain_finds_a_peer_also_without_a_place_at_home() {
    let tools = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "IAD", "BOM"], |mut options| {
        options.log = Some("starling=debug");
        options.tools_of("node2", &tools).arg("--policy=round-robin").arg("--queue=1")
    })
    .await;
    let [maker, near, far] = &cluster.nodes[..] else { panic!("three nodes") };
    let upload = |node: &Node, clip: Bytes| {
        let http = node.http.clone();
        tokio::spawn(async move { http.upload(clip).await })
    };
    let small = |tag| Clip { tag, ..Clip::default() }.make();
    // Turns: node1, here, node3, node1, here. Then there is no place here.
    near.http.upload(small(400)).await.assert_video();
    let runs = upload(near, small(401));
    near.busy(1, 0).await;
    for tag in [402, 403] {
        near.http.upload(small(tag)).await.assert_video();
    }
    let waits = upload(near, small(404));
    near.busy(1, 1).await;

    let clip = clip_at_home_in("node2", 405);
    let lost = begin_upload(maker, &clip).await;
    maker.pause_ffmpeg().await;
    let content = starling::content::ContentId::of(&clip).to_string();
    let answer = upload(near, clip);
    near.logged("asking the content's home", move |line| line["content"] == content.as_str()).await;
    // Longer than a refusal takes.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let far = far.options.name.clone();
    cluster.nodes[0].kill();
    let answer = answer.await.unwrap();
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), far);
    drop(lost);
    tools.release();
    for upload in [runs, waits] {
        upload.await.unwrap().assert_video();
    }
}

#[tokio::test]
async fn a_result_whose_holder_is_frozen_is_made_anew() {
    let cluster = three_patient_nodes().await;
    let [holder, other, _] = &cluster.nodes[..] else { panic!("three nodes") };
    let clip = clip_at_home_in("node3", 300);
    let first = holder.http.upload(clip.clone()).await;
    first.assert_video();
    assert_eq!(first.header("x-served-by"), "node1");
    holder.signal(Signal::STOP);
    let answer = other.http.upload_with("/upload", &[("x-deadline-ms", "30000")], clip).await;
    holder.signal(Signal::CONT);
    answer.assert_video();
    other.logged("a held result could not be fetched", |line| line["peer"] == "node1").await;
}

#[tokio::test]
async fn a_form_is_an_upload_and_its_fields_choose() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let mut form = b"--XyZ\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\n480p\r\n".to_vec();
    form.extend_from_slice(
        b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my clip.mov\"\r\n",
    );
    form.extend_from_slice(b"Content-Type: video/quicktime\r\n\r\n");
    form.extend_from_slice(&clip);
    form.extend_from_slice(b"\r\n--XyZ--\r\n");
    let headers = [("content-type", "multipart/form-data; boundary=XyZ")];
    let answer = node.http.send(Method::POST, "/upload", &headers, form.into()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"my clip.480p.mp4\"");
    // The same file, sent plainly, is the same content.
    let plain = node.http.upload_with("/upload?profile=480p", &[], clip).await;
    assert_eq!((plain.header("x-cache"), &plain.body), ("hit", &answer.body));
    let empty = b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--XyZ--\r\n".to_vec();
    let answer = node.http.send(Method::POST, "/upload", &headers, empty.into()).await.unwrap();
    answer.assert_problem(400, "bad-request");
}

#[tokio::test]
async fn a_known_digest_needs_no_body_and_a_player_gets_its_part() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let clip = Clip::default().make();
    let digest = starling::content::ContentId::of(&clip).to_string();
    let first = node.http.upload(clip).await;
    // Not even a video: the digest is what counts, and the body is never looked at.
    let headers = [("x-content-sha256", digest.as_str())];
    let second = node.http.upload_with("/upload", &headers, "anything".into()).await;
    assert_eq!((second.header("x-cache"), &second.body), ("hit", &first.body));

    let path = format!("/objects/{digest}/360p");
    let get = |headers: &'static [(&str, &str)]| node.http.send(Method::GET, &path, headers, "".into());
    let part = get(&[("range", "bytes=10-19")]).await.unwrap();
    assert_eq!((part.status, &part.body), (StatusCode::PARTIAL_CONTENT, &first.body.slice(10..20)));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", first.body.len()));
    let none = get(&[("range", "bytes=99999999-")]).await.unwrap();
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let etag = [("if-none-match", part.header("etag"))];
    let same = node.http.send(Method::GET, &path, &etag, "".into()).await.unwrap();
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
}
