//! One node: an upload comes back transcoded, and the same content never twice.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Clip, Node, NodeOptions, probe_video};

fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA"))
}

#[tokio::test]
async fn an_upload_comes_back_transcoded_and_its_repetition_from_the_cache() {
    let node = node();
    let clip = Clip::default().make();
    let first = node.http.upload(clip.clone()).await;
    first.assert_video();
    assert_eq!(first.header("x-cache"), "miss");
    assert_eq!(first.header("x-served-by"), "node1");
    assert_eq!(first.header("x-route"), "node1/FRA");
    assert_eq!(first.header("content-disposition"), "attachment; filename=\"clip.360p.mp4\"");

    let second = node.http.upload(clip).await;
    second.assert_video();
    assert_eq!(second.header("x-cache"), "hit");
    assert_eq!(second.body, first.body);
    assert_eq!(node.metric("starling_transcodes_total").await, 1);

    let line = node.logged("upload served", |line| line["cache"] == "miss").await;
    assert_eq!(line["route"], "local");
    assert_eq!(line["bytes_out"], first.body.len());
    assert!(line["scores"].as_str().unwrap().starts_with("node1/FRA="), "{line}");
}

#[tokio::test]
async fn a_result_outlives_kill_9() {
    let mut node = node();
    let clip = Clip::default().make();
    node.http.upload(clip.clone()).await.assert_video();
    node.kill_and_restart();
    let again = node.http.upload(clip).await;
    again.assert_video();
    assert_eq!(again.header("x-cache"), "hit");
}

#[tokio::test]
async fn results_of_other_recipes_are_removed_at_the_start_and_the_log_says_how_many_bytes_they_had() {
    let mut node = node();
    let clip = Clip::default().make();
    let first = node.http.upload(clip.clone()).await;
    // As an older version has left it.
    let objects = node.options.data_dir.as_ref().unwrap().join("objects");
    std::fs::write(objects.join("version"), "layout 1, recipes 1\n").unwrap();
    node.kill_and_restart();
    let line = node.logged("the cache was of another version: it is emptied", |_| true).await;
    assert_eq!((&line["entries"], &line["was"]), (&1.into(), &"layout 1, recipes 1".into()), "{line}");
    assert!(line["bytes"].as_u64().unwrap() > first.body.len() as u64, "{line}");
    let again = node.http.upload(clip.clone()).await;
    again.assert_video();
    assert_eq!(again.header("x-cache"), "miss");
    // And that one is kept.
    node.kill_and_restart();
    let line = node.logged("the cache of the last run is kept", |_| true).await;
    assert_eq!(line["entries"], 1, "{line}");
    assert_eq!(node.http.upload(clip).await.header("x-cache"), "hit");
}

#[tokio::test]
async fn equal_uploads_at_once_are_transcoded_once() {
    let node = node();
    let clip = Clip { size: "640x480", seconds: 3.0, ..Clip::default() }.make();
    let answers = futures_util::future::join_all((0..4).map(|_| node.http.upload(clip.clone()))).await;
    for answer in &answers {
        answer.assert_video();
    }
    let states: Vec<&str> = answers.iter().map(|answer| answer.header("x-cache")).collect();
    assert_eq!(states.iter().filter(|state| **state == "miss").count(), 1, "{states:?}");
    assert_eq!(node.metric("starling_transcodes_total").await, 1);
}

#[tokio::test]
async fn every_profile_that_is_listed_works() {
    let node = node();
    let list = node.http.json("/profiles").await;
    assert_eq!(list["default"], "360p");
    let profiles = list["profiles"].as_array().unwrap();
    assert!(profiles.len() >= 5, "{list}");
    let clip = Clip { size: "640x360", ..Clip::default() }.make();
    for profile in profiles {
        let name = profile["name"].as_str().unwrap();
        let answer = node.http.upload_with(&format!("/upload?profile={name}"), &[], clip.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), profile["media_type"].as_str().unwrap(), "{name}");
        assert!(!answer.body.is_empty(), "{name}");
    }
    let by_header = node.http.upload_with("/upload", &[("x-profile", "480p")], clip).await;
    assert_eq!(by_header.header("x-cache"), "hit");
    assert_eq!(probe_video(&by_header.body).2 % 2, 0);
}

#[tokio::test]
async fn a_result_is_found_under_its_contents_digest() {
    let node = node();
    let clip = Clip::default().make();
    let digest = sha256_hex(&clip);
    let path = format!("/objects/{digest}/360p");
    node.http.get(&path).await.assert_problem(404, "not-found");
    let uploaded = node.http.upload(clip).await;
    let object = node.http.get(&path).await;
    assert_eq!(object.body, uploaded.body);
    assert_eq!(object.header("etag"), format!("\"{}\"", sha256_hex(&object.body)));
    assert!(object.header("repr-digest").starts_with("sha-256=:"));
    let head = node.http.send(Method::HEAD, &path, &[], Bytes::new()).await.unwrap();
    assert_eq!(head.header("content-length"), object.body.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn health_answers_while_ffmpeg_runs() {
    let node = node();
    let before = node.http.json("/health").await;
    assert_eq!(
        (&before["status"], &before["node"], &before["zone"]),
        (&"ok".into(), &"node1".into(), &"FRA".into())
    );
    for key in ["cpu_percent", "memory_percent", "queued", "queue_capacity", "running", "workers"] {
        assert!(before[key].is_number(), "{key}: {before}");
    }
    let http = node.http.clone();
    let upload = tokio::spawn(async move { http.upload(Clip::long(1).make()).await });
    node.busy(1, 0).await;
    let ready = node.http.get("/ready").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &Value::Bool(true)));
    assert!(!upload.is_finished(), "the transcode was over before /ready was asked: the clip is too short");
    upload.await.unwrap().assert_video();
    node.busy(0, 0).await;
}

fn sha256_hex(bytes: &[u8]) -> String {
    starling::content::ContentId::of(bytes).to_string()
}
