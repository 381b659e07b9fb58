//! One transcode per content in the whole cluster.

use futures_util::future::join_all;
use hyper::{Method, StatusCode};

use crate::support::{Clip, Cluster, Node, NodeOptions};

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
fn home<'a>(content: &[u8], nodes: &[&'a str]) -> &'a str {
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
    far.signal(rustix::process::Signal::STOP);
    let answer = near.http.upload(clip).await;
    near.logged("failed", |line| line["member"] == "node2").await;
    far.signal(rustix::process::Signal::CONT);
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node1");
    let given_up = near.position("the content's home does not answer: working without it");
    assert!(given_up.is_some() && given_up < near.position("failed"), "waited until gossip missed it");
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
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"my clip-480p.mp4\"");
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
