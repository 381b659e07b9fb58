//! Every error answer: its status, its type, and a node that goes on.

use std::process::Command;

use bytes::Bytes;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Clip, Node, NodeOptions, Stub, eventually};

fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA"))
}

/// Sends raw bytes and returns all that comes back.
pub async fn raw(node: &Node, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub async fn assert_goes_on(node: &Node) {
    node.http.upload(Clip { tag: 999, ..Clip::default() }.make()).await.assert_video();
    assert_nothing_left(node).await;
}

/// Files in the making go when the last who needs them lets go, on a thread of their own.
pub async fn assert_nothing_left(node: &Node) {
    let tmp = node.options.data_dir.as_ref().unwrap().join("tmp");
    eventually("nothing is left behind", async || std::fs::read_dir(&tmp).unwrap().count() == 0).await;
}

#[tokio::test]
async fn bodies_that_are_no_video() {
    let node = node();
    node.http.upload(Bytes::new()).await.assert_problem(400, "empty-body");
    node.http.upload(Bytes::from_static(b"0")).await.assert_problem(415, "not-a-video");
    node.http.upload(Bytes::from(vec![b'x'; 5_000_000])).await.assert_problem(415, "not-a-video");
    let clip = Clip { seconds: 4.0, ..Clip::default() }.make();
    // An MP4 by its first bytes, but without its index: ffprobe has the last word.
    let answer = node.http.upload(clip.slice(..clip.len() / 2)).await;
    answer.assert_problem(422, "unusable-video");
    assert!(answer.json()["detail"].as_str().unwrap().len() > "the video can't be used: ".len());
    assert_eq!(node.metric("starling_transcodes_total").await, 0);
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn heads_that_make_no_sense() {
    let node = node();
    let clip = Clip::default().make();
    let answer = node.http.upload_with("/upload?profile=8k", &[], clip.clone()).await;
    answer.assert_problem(400, "unknown-profile");
    assert!(answer.json()["detail"].as_str().unwrap().contains("360p"), "says what there is");
    let answer = node.http.upload_with("/upload", &[("x-deadline-ms", "soon")], clip.clone()).await;
    answer.assert_problem(400, "bad-request");
    let answer = node.http.upload_with("/upload", &[("x-deadline-ms", "0")], clip.clone()).await;
    answer.assert_problem(400, "bad-request");
    assert!(answer.json()["detail"].as_str().unwrap().contains("at least 1"), "says what to give");
    // What is said twice is not guessed at.
    let answer = node.http.upload_with("/upload?profile=720p&profile=480p", &[], clip.clone()).await;
    answer.assert_problem(400, "bad-request");
    let twice = [("x-deadline-ms", "1000"), ("x-deadline-ms", "2000")];
    node.http.upload_with("/upload", &twice, clip.clone()).await.assert_problem(400, "bad-request");
    let wrong = "0".repeat(64);
    let answer = node.http.upload_with("/upload", &[("x-content-sha256", &wrong)], clip.clone()).await;
    answer.assert_problem(400, "digest-mismatch");
    node.http.get("/nowhere").await.assert_problem(404, "not-found");
    let answer = node.http.get("/upload").await;
    answer.assert_problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "POST");
    let answer = node.http.send(Method::DELETE, "/members", &[], Bytes::new()).await.unwrap();
    answer.assert_problem(405, "method-not-allowed");
    node.http.get("/objects/xyz/360p").await.assert_problem(400, "bad-request");
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn a_body_over_the_cap_announced_or_not() {
    let node = Node::start(NodeOptions::new("node1", "FRA").arg("--upload-bytes-max=1MB"));
    let clip = Clip::default().make();
    assert!(clip.len() < 1_000_000);
    let mut big = clip.to_vec();
    big.resize(1_500_000, 0);
    node.http.upload(big.clone().into()).await.assert_problem(413, "too-large");

    let mut chunked =
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n", big.len()).as_bytes());
    chunked.extend_from_slice(&big);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let answer = raw(&node, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("/too-large\""), "{answer}");
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_work() {
    let tools = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&tools));
    let clip = Clip::default().make();
    let answer = node.http.upload_with("/upload", &[("x-deadline-ms", "400")], clip.clone()).await;
    answer.assert_problem(504, "deadline-passed");
    answer.assert_tells_of_jobs();
    node.busy(0, 0).await;
    tools.release();
    // A failure is not remembered: with more time the same content is made.
    node.http.upload(clip).await.assert_video();
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let tools = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&tools).arg("--queue=1"));
    let clips: Vec<Bytes> = (1..=3).map(|tag| Clip { tag, ..Clip::default() }.make()).collect();
    let upload = |clip: &Bytes| {
        let (http, clip) = (node.http.clone(), clip.clone());
        tokio::spawn(async move { http.upload(clip).await })
    };
    let first = upload(&clips[0]);
    node.busy(1, 0).await;
    let second = upload(&clips[1]);
    node.busy(1, 1).await;
    let refused = node.http.upload(clips[2].clone()).await;
    refused.assert_problem(503, "saturated");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    tools.release();
    first.await.unwrap().assert_video();
    second.await.unwrap().assert_video();
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_worker() {
    let tools = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&tools));
    let clip = Clip::default().make();
    let http = node.http.clone();
    let upload = tokio::spawn(async move { http.upload(clip).await });
    node.busy(1, 0).await;
    upload.abort();
    node.busy(0, 0).await;
    tools.release();
    assert_goes_on(&node).await;
}

/// A file system of a megabyte, gone with the test.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            refused => {
                assert!(std::env::var_os("CI").is_none(), "CI can mount: {refused:?}");
                eprintln!("SKIPPED: no small file system to fill (mount needs root)");
                None
            }
        }
    }
}

impl SmallDisk {
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node that uses it is killed in the same breath.
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "can't unmount {}", self.0.path().display());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut options = NodeOptions::new("node1", "FRA");
    options.data_dir = Some(disk.0.path().to_owned());
    let node = Node::start(options);
    let mut big = Clip::default().make().to_vec();
    big.resize(4_000_000, 0);
    node.http.upload(big.into()).await.assert_problem(507, "no-room");
    assert_goes_on(&node).await;
}

#[tokio::test]
async fn a_disk_full_of_results_takes_new_ones() {
    let Some(disk) = SmallDisk::mount() else { return };
    std::fs::write(disk.path().join("other things"), vec![1; 600_000]).unwrap();
    let mut options = NodeOptions::new("node1", "FRA");
    options.data_dir = Some(disk.path().join("data"));
    let node = Node::start(options);
    let (mut most, mut full) = (0, 0);
    for tag in 0..200 {
        let answer = node.http.upload(Clip { tag, ..Clip::default() }.make()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let cached = node.metric("starling_cached_results").await;
        // One came, and not one more is there.
        if cached <= most {
            answer.assert_video();
            full += 1;
        }
        most = most.max(cached);
        if full == 5 {
            return;
        }
    }
    panic!("the disk was never full, with {most} results");
}

/// A node that is to refuse its data folder: what it says, once it has ended.
fn refused_folder(folder: &std::path::Path) -> String {
    let node = ["node", "--name", "node1", "--gossip", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    // Should it run all the same, then no longer than the test.
    command.env("STARLING_DIE_WITH_PARENT", "1").args(node).arg(folder);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_folder_of_somebody_else_is_no_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("tmp/thesis")).unwrap();
    std::fs::write(folder.path().join("tmp/thesis/final.tex"), "x").unwrap();
    let said = refused_folder(folder.path());
    assert!(said.contains("tmp/thesis is none of") && said.contains("--data-dir"), "{said}");
    assert!(folder.path().join("tmp/thesis/final.tex").exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was put there");
}

#[test]
fn a_bad_configuration_is_one_clear_line_and_exit_2() {
    let bad: [&[&str]; 4] = [
        &["--name", "a b"],
        &["--policy", "best"],
        &["--join", "node2"],
        &["--config", "/nonexistent/starling.toml"],
    ];
    for args in bad {
        let output = Command::new(env!("CARGO_BIN_EXE_starling")).arg("node").args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.trim_end().lines().count(), 1, "{args:?}: {text}");
    }
}
