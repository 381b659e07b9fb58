//! A whole cluster on shaped links: here, with whatever shapes links on this machine, and in Debian's kernel under qemu,
//! whose own netem does it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use starling_netem::control::{Client, Reply, Request};

use crate::support::{Clip, Http, PATIENCE, skipped};

/// Set in the kernel that is booted for these tests: the backend that has to be chosen there.
const INSIDE: &str = "STARLING_TEST_KERNEL";
/// What a lab and its nodes run, and what makes clips.
const PROGRAMS: &[&str] = &[
    env!("CARGO_BIN_EXE_starling"),
    "ip",
    "tc",
    "nft",
    "iptables",
    "chrt",
    "nsenter",
    "unshare",
    "true",
    "ffmpeg",
    "ffprobe",
];
const MISSING: i32 = 77;
/// How often is looked. A look costs the booted kernel, which is emulated, as much as seconds of waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "still not so: {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// `starling lab`; killed when dropped.
struct Lab {
    child: Child,
    report: Value,
    base: PathBuf,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("labs");
        let mut child = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["lab", "--json", "--base-port", "0", "--dir"])
            .arg(&base)
            // The booted kernel has no users but root.
            .args(std::env::var_os(INSIDE).map(|_| "--user=root"))
            .args(["--", "--policy", "round-robin"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let report = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, report, base, _folder: folder }
    }

    fn node(&self, name: &str) -> Http {
        let nodes = self.report["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        Http::new(node["http"].as_str().unwrap())
    }

    fn links(&self) -> Client {
        let folder = self.base.join(self.report["id"].as_str().unwrap());
        Client::connect(&folder.join(starling_netem::control::LAB_SOCKET)).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap();
    }
}

async fn member(seen_by: &Http, name: &str) -> Value {
    let members = seen_by.json("/members").await;
    let members = members["members"].as_array().unwrap();
    members.iter().find(|member| member["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_across_zones() {
    let lab = Lab::start();
    let inside = std::env::var(INSIDE).ok();
    match (&inside, lab.report["backend"].as_str().unwrap()) {
        (Some(wanted), backend) => assert_eq!(backend, wanted),
        (None, "none") => return skipped("links cannot be shaped here"),
        (None, _) => {}
    }
    // Nodes that wait for their turn on a busy machine answer later than their links make them; the booted one counts
    // time by instructions.
    let slack_ms = if inside.is_some() { 0.0 } else { 5.0 };
    for (from, to, expected) in [
        ("node1", "node4", 10.0),
        ("node1", "node2", 90.0),
        ("node1", "node3", 200.0),
        ("node2", "node3", 250.0),
    ] {
        let seen_by = lab.node(from);
        let what = format!("{from} sees {to} {expected} ms away, within 10 %");
        eventually(&what, async || {
            let rtt = member(&seen_by, to).await["rtt_ms"].as_f64().unwrap_or(0.0);
            (expected * 0.9..=expected * 1.1 + slack_ms).contains(&rtt)
        })
        .await;
    }

    // node3 is alone in its zone, so whoever else transcodes is across zones.
    let node3 = lab.node("node3");
    let mut served_by = Vec::new();
    while served_by.iter().all(|node| node == "node3") && served_by.len() < 5 {
        let clip = Clip {
            size: "160x90",
            seconds: 0.5,
            audio: false,
            tag: 500 + served_by.len() as u32,
            ..Clip::default()
        };
        let answer = node3.upload(clip.make()).await;
        answer.assert_video();
        served_by.push(answer.header("x-served-by").to_owned());
    }
    assert!(served_by.iter().any(|node| node != "node3"), "{served_by:?}");

    let mut links = lab.links();
    let cut = Request::Partition { groups: "FRA,IAD / BOM".into(), for_ms: None, lease: false };
    assert!(matches!(links.ask(&cut), Ok(Reply::Fault(_))));
    let node1 = lab.node("node1");
    eventually("the partition is detected", async || {
        member(&node1, "node3").await["state"] == "dead" && member(&node3, "node1").await["state"] == "dead"
    })
    .await;
    assert_eq!(member(&node1, "node2").await["state"], "alive", "on this side all is well");
    assert!(matches!(links.ask(&Request::Heal { id: None }), Ok(Reply::Healed(1))));
    eventually("the partition has healed", async || {
        member(&node1, "node3").await["state"] == "alive" && member(&node3, "node1").await["state"] == "alive"
    })
    .await;
}

#[test]
fn the_same_on_kernel_netem() {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("netem/vm/run.sh"));
    command.args(["--memory", "3000", "--timeout", "2000", "--bin"]).arg(&own);
    for program in PROGRAMS {
        command.args(["--bin", program]);
    }
    command.args(["--", "env", &format!("{INSIDE}=tc")]).arg(&own);
    let output = command.args(["--exact", "kernel::a_cluster_across_zones", "--nocapture"]).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) {
        return skipped(complaints.trim());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    assert!(output.status.success(), "{complaints}");
    assert!(said.contains("test result: ok. 1 passed"), "it ran in there");
}
