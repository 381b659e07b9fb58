//! Several profiles of one upload in one request.

use bytes::Bytes;
use serde_json::Value;
use starling::config::KeyFile;
use starling::content::ContentId;

use crate::bad_input::assert_nothing_left;
use crate::sets::unpacked;
use crate::support::{Clip, Cluster, Node, NodeOptions, Stub, eventually};

fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA"))
}

/// A list in a header.
fn list(text: &str) -> Vec<&str> {
    text.split(", ").collect()
}

#[tokio::test]
async fn several_profiles_are_answered_with_one_tar_in_their_order() {
    let node = node();
    let clip = Clip { seconds: 2.0, ..Clip::default() }.make();
    let digest = ContentId::of(&clip);
    let first = node.http.upload_with("/upload?profile=poster", &[], clip.clone()).await;
    let all = node.http.upload_with("/upload?profile=sprite,360p,poster", &[], clip.clone()).await;
    assert_eq!(all.status, 200, "{}", String::from_utf8_lossy(&all.body));
    assert_eq!(all.header("content-type"), "application/x-tar");
    assert_eq!(all.header("content-length"), all.body.len().to_string());
    assert_eq!(all.header("content-disposition"), "attachment; filename=\"clip.sprite+360p+poster.tar\"");
    assert_eq!(list(all.header("x-cache")), ["miss", "miss", "hit"]);
    assert_eq!(list(all.header("x-served-by")), ["node1", "node1", "node1"]);
    assert_eq!(list(all.header("x-route")).len(), 3);
    assert!(!all.headers.contains_key("content-location") && !all.headers.contains_key("repr-digest"));
    let links = ["sprite", "360p", "poster"].map(|name| format!("</objects/{digest}/{name}>; rel=\"item\""));
    assert_eq!(all.header("link"), links.join(", "));
    assert_eq!(node.metric("starling_transcodes_total").await, 3);
    assert_eq!(
        node.metric("starling_upload_received_bytes_total").await,
        2 * clip.len() as u64,
        "it came once"
    );

    let files = unpacked(&all.body);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sprite/sprite.vtt", "sprite/sprite-1.jpg", "360p/360p.mp4", "poster/poster.jpg"]);
    assert_eq!(files[3].1, first.body);
    for (name, bytes) in &files {
        let (profile, file) = name.split_once('/').unwrap();
        let alone = node.http.get(&format!("/objects/{digest}/{profile}/{file}")).await;
        assert_eq!((alone.status.as_u16(), &alone.body[..]), (200, &bytes[..]), "{name}");
    }
    // By header, with the digest alone, and in a form: the same.
    let digest = digest.to_string();
    let known = [("x-profile", "sprite, 360p,poster"), ("x-content-sha256", digest.as_str())];
    let by_header = node.http.upload_with("/upload", &known, clip.clone()).await;
    assert_eq!((by_header.status.as_u16(), &by_header.body), (200, &all.body));
    assert_eq!(list(by_header.header("x-cache")), ["hit", "hit", "hit"]);
    let by_query = node.http.upload_with("/upload?profile=sprite%2C360p%2cposter", &[], clip.clone()).await;
    assert_eq!(by_query.body, all.body);
    let form = [
        &b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"clip.mp4\"\r\n\r\n"[..],
        &clip,
        b"\r\n--x\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\nsprite,360p,poster\r\n--x--\r\n",
    ]
    .concat();
    let typed = [("content-type", "multipart/form-data; boundary=x")];
    let by_form = node.http.send(hyper::Method::POST, "/upload", &typed, form.into()).await.unwrap();
    assert_eq!((by_form.status.as_u16(), &by_form.body), (200, &all.body));
    assert_eq!(node.metric("starling_transcodes_total").await, 3);
}

#[tokio::test]
async fn what_makes_no_sense_is_found_before_any_work_begins() {
    let options = NodeOptions::new("node1", "FRA").arg("--uploads-per-client=3");
    let node = Node::start(options);
    let silent = Clip { audio: false, ..Clip::default() }.make();
    for (query, status, slug) in [
        ("360p,360p", 400, "bad-request"),
        ("360p,poster,%33%36%30p", 400, "bad-request"),
        ("1,2,3,4,5,6,7,8,9", 400, "bad-request"),
        ("360p,", 400, "unknown-profile"),
        ("360p,nonsense", 400, "unknown-profile"),
        ("360p&profile=poster", 400, "bad-request"),
        ("360p,480p,720p,poster", 429, "too-many-uploads"),
    ] {
        let answer = node.http.upload_with(&format!("/upload?profile={query}"), &[], silent.clone()).await;
        answer.assert_problem(status, slug);
    }
    let mute = node.http.upload_with("/upload?profile=360p,audio,poster", &[], silent.clone()).await;
    mute.assert_problem(422, "unusable-video");
    let problem = mute.json();
    assert_eq!(problem["profile"], "audio");
    assert!(problem["detail"].as_str().unwrap().starts_with("profile audio: "), "{problem}");
    let text = node.http.upload_with("/upload?profile=360p,poster", &[], "no video".into()).await;
    text.assert_problem(415, "not-a-video");
    assert_eq!(node.metric("starling_transcodes_total").await, 0);
    // The places that it took are free again.
    let right = node.http.upload_with("/upload?profile=360p,480p,poster", &[], silent).await;
    assert_eq!(right.status, 200);
    assert_nothing_left(&node).await;
}

#[tokio::test]
async fn where_one_cannot_be_made_all_are_refused_and_what_is_done_is_kept() {
    let stub = Stub::new("8.1");
    stub.refuses_later("libvpx");
    let options = NodeOptions::new("node1", "FRA").arg("--workers=2").tools(&stub);
    let node = Node::start(options);
    let clip = Clip::default().make();
    let poster = format!("/objects/{}/poster", ContentId::of(&clip));
    let http = node.http.clone();
    let asked = tokio::spawn(async move { http.upload_with("/upload?profile=poster,webm", &[], clip).await });
    eventually("the poster is kept", async || node.http.get(&poster).await.status == 200).await;
    stub.release();
    let refused = asked.await.unwrap();
    refused.assert_problem(422, "unusable-video");
    assert_eq!(refused.json()["profile"], "webm");
    assert_eq!(node.http.get(&poster).await.status, 200);
    node.busy(0, 0).await;
    assert_nothing_left(&node).await;
}

#[tokio::test]
async fn a_node_without_room_for_all_of_them_refuses_and_ends_what_it_has_begun() {
    let options = NodeOptions::new("node1", "FRA").arg("--queue=1");
    let node = Node::start(options);
    let clip = Clip { seconds: 20.0, ..Clip::long(1) }.make();
    let all = "/upload?profile=1080p,720p,480p,360p,webm";
    let refused = node.http.upload_with(all, &[("x-deadline-ms", "600000")], clip).await;
    refused.assert_problem(503, "saturated");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let named = refused.json()["profile"].clone();
    assert!(["1080p", "720p", "480p", "360p", "webm"].map(Value::from).contains(&named), "{named}");
    // Nobody waits for the others any more.
    node.busy(0, 0).await;
    assert_nothing_left(&node).await;
}

#[tokio::test]
async fn each_profile_goes_where_it_is_made_best() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let near = &cluster.nodes[0];
    let clip = Clip::default().make();
    let all = near.http.upload_with("/upload?profile=360p,480p,poster,sprite", &[], clip.clone()).await;
    assert_eq!(all.status, 200, "{}", String::from_utf8_lossy(&all.body));
    let by = list(all.header("x-served-by"));
    assert_eq!(by.len(), 4);
    assert!(by.contains(&"node1") && by.contains(&"node2"), "{by:?}");
    assert_eq!(cluster.transcodes().await, 4);
    // All of them are here now, whoever made them.
    let again = near.http.upload_with("/upload?profile=360p,480p,poster,sprite", &[], clip).await;
    assert_eq!((list(again.header("x-cache")), &again.body), (vec!["hit"; 4], &all.body));
}

#[tokio::test]
async fn each_private_result_has_a_token_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    KeyFile::create(&key).unwrap();
    let key = format!("--key-file={}", key.display());
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--private-results").arg(key));
    let clip: Bytes = Clip::default().make();
    let all = node.http.upload_with("/upload?profile=360p,poster", &[], clip).await;
    assert_eq!(all.status, 200);
    let files = unpacked(&all.body);
    let links = list(all.header("link"));
    assert_eq!(links.len(), 2);
    for (link, (_, bytes)) in links.iter().zip(files) {
        let url = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"item\"")).unwrap();
        assert!(url.contains("?token="), "{url}");
        assert_eq!(node.http.get(url).await.body, bytes);
    }
}
