//! An ffmpeg on PATH that hangs, crashes, fills the disk or writes garbage: a clear error, a freed worker, nothing cached.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;

use crate::bad_input::{SmallDisk, assert_nothing_left};
use crate::support::{Clip, Node, NodeOptions};

/// A folder with a program named ffmpeg in it, whose part can be changed while a node uses it.
struct Stub {
    dir: tempfile::TempDir,
}

impl Stub {
    /// `version` is what it says of itself.
    fn new(version: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = -version ]; then echo 'ffmpeg version {version} stub'; exit; fi\n\
             for out; do :; done\nout=${{out#file:}}\n. \"${{0%/*}}/part\"\n"
        );
        std::fs::write(dir.path().join("ffmpeg"), script).unwrap();
        std::fs::set_permissions(dir.path().join("ffmpeg"), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// What it does from now on; `$out` is the file that it is to write.
    fn plays(&self, part: &str) {
        std::fs::write(self.dir.path().join("part"), part).unwrap();
    }

    fn plays_itself(&self) {
        self.plays(&format!("exec {} \"$@\"", real_ffmpeg().display()));
    }

    fn node(&self, data: Option<&Path>) -> Node {
        let mut options = NodeOptions::new("node1", "FRA");
        options.path = Some(self.dir.path().to_owned());
        options.data_dir = data.map(Path::to_owned);
        Node::start(options)
    }
}

fn real_ffmpeg() -> PathBuf {
    let output = Command::new("sh").args(["-c", "command -v ffmpeg"]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn cached(node: &Node) -> usize {
    let list = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    list(node.options.data_dir.as_ref().unwrap().join("objects")).flat_map(list).count()
}

/// What a failure leaves: a free worker, no file, nothing in the cache; and words that tell nothing of the node's disk.
async fn assert_failed(node: &Node, clip: &Bytes, deadline_ms: &str, status: u16, slug: &str) {
    let headers = [("x-deadline-ms", deadline_ms)];
    let answer = node.http.upload_with("/upload", &headers, clip.clone()).await;
    answer.assert_problem(status, slug);
    let data = node.options.data_dir.as_ref().unwrap().display().to_string();
    assert!(!String::from_utf8_lossy(&answer.body).contains(&data), "{answer:?}");
    node.busy(0, 0).await;
    assert_nothing_left(node).await;
    assert_eq!(cached(node), 0);
}

#[tokio::test]
async fn whatever_ffmpeg_does_the_client_is_told_and_the_node_goes_on() {
    let stub = Stub::new("8.1");
    let node = stub.node(None);
    let clip = Clip::default().make();
    let parts = [
        ("trap '' TERM INT HUP; while :; do sleep 1; done", "3000", 504, "deadline-passed"),
        ("exec >&- 2>&-; while :; do sleep 1; done", "3000", 504, "deadline-passed"),
        ("kill -SEGV $$", "60000", 500, "internal"),
        (
            "echo \"$out: Invalid data found when processing input\" >&2; exit 1",
            "60000",
            422,
            "unusable-video",
        ),
        ("head -c 100000 /dev/urandom >\"$out\"", "60000", 500, "internal"),
        (": >\"$out\"", "60000", 500, "internal"),
        ("exit 0", "60000", 500, "internal"),
        ("yes \"$out: too much to say\" | head -c 30000000 >&2; kill -ABRT $$", "60000", 500, "internal"),
    ];
    for (part, deadline_ms, status, slug) in parts {
        stub.plays(part);
        assert_failed(&node, &clip, deadline_ms, status, slug).await;
    }
    // What it said before it crashed is in the log, and there only.
    node.logged("no result", |line| line["error"].as_str().is_some_and(|e| e.contains("too much to say")))
        .await;
    // Cut off, with an index that says otherwise.
    stub.plays(&format!("{} \"$@\" && truncate -s -3000 \"$out\"", real_ffmpeg().display()));
    assert_failed(&node, &clip, "60000", 500, "internal").await;
    // No failure is remembered.
    stub.plays_itself();
    let answer = node.http.upload(clip).await;
    answer.assert_video();
    assert_eq!(answer.header("x-cache"), "miss");
    assert_eq!(cached(&node), 1);
    assert_eq!(node.metric("starling_transcodes_total").await, 10);
    assert_eq!(node.metric("starling_cached_results").await, 1);
}

#[tokio::test]
async fn an_ffmpeg_that_fills_the_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let stub = Stub::new("8.1");
    let node = stub.node(Some(disk.path()));
    let clip = Clip::default().make();
    stub.plays("head -c 100000000 /dev/zero >\"$out\"");
    assert_failed(&node, &clip, "60000", 507, "disk-full").await;
    stub.plays_itself();
    node.http.upload(clip).await.assert_video();
}

#[tokio::test]
async fn an_old_ffmpeg_is_warned_about_at_the_start_and_a_new_one_is_not() {
    let warning = "may lack fixes for hostile media that 8.1 and 5.1.9 have: upgrade it, or check that your \
                   distribution has patched it (docs/OPERATIONS.md)";
    for (version, warned) in [("4.4.2", 1), ("5.1.8", 1), ("5.1.9", 0), ("8.1", 0)] {
        let stub = Stub::new(version);
        stub.plays_itself();
        let node = stub.node(None);
        // By then it has been said: the node has started.
        assert_eq!(node.count(&format!("ffmpeg {version} {warning}")), warned, "{version}");
        node.http.upload(Clip::default().make()).await.assert_video();
    }
}
