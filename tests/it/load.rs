//! `starling load` against real nodes: all that it reports is what happened.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use serde_json::Value;

use crate::support::{Clip, Cluster, Node, NodeOptions};

fn load(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling"))
        .arg("load")
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("STARLING_NODES")
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A folder with clips of contents of their own, and a file that is none.
fn clips(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for tag in 0..count {
        let clip = Clip { tag: 900 + tag, ..Clip::default() }.make();
        std::fs::write(folder.path().join(format!("clip{tag}.mp4")), clip).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not a video").unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upload_comes_back_and_each_content_is_transcoded_once() {
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let folder = clips(4);
    let to = &cluster.nodes[1].http_address;
    let common = ["--to", to, "--discover", "--parallel", "8", "--duration", "4s", "--verify", "--json"];
    let output = load(&[&[text(folder.path()), "--seed", "7"], &common[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stderr, b"", "no live line where no terminal is");
    let report = report(&output);
    assert_eq!(report["requests"], report["succeeded"], "{report}");
    assert!(report["requests"].as_u64().unwrap() > 8, "{report}");
    assert_eq!((&report["contents"], &report["seed"]), (&4.into(), &7.into()), "{report}");
    assert_eq!(report["cluster"]["nodes"], 3, "all members were found: {report}");
    assert_eq!(report["cluster"]["transcodes"], 4, "{report}");
    assert!(report["cluster"]["ffmpeg_done_s"].as_f64().unwrap() > 0.0, "{report}");
    let sum = |kinds: &Value| kinds.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum(&report["cache"]), report["succeeded"].as_u64().unwrap());
    assert_eq!(sum(&report["hops"]), report["succeeded"].as_u64().unwrap());
    assert!(report["hops"]["unknown"].is_null(), "{report}");

    // The same uploads again are all known; made unique, none is.
    let again = load(&[&[text(folder.path()), "--seed", "7"], &common[..]].concat());
    let again = self::report(&again);
    assert_eq!(again["cluster"]["transcodes"], 0, "{again}");
    let unique = load(&[&[text(folder.path()), "--unique"], &common[..]].concat());
    let unique = self::report(&unique);
    assert_eq!(unique["cache"]["miss"], unique["succeeded"], "{unique}");
    assert_eq!(unique["contents"], unique["cluster"]["transcodes"], "{unique}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_profiles_are_counted_each() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = clips(1);
    let args = [
        text(folder.path()),
        "--to",
        &node.http_address,
        "--profile",
        "360p,poster",
        "--json",
        "--seed",
        "1",
    ];
    let report = report(&load(&[&args[..], &["--parallel", "2", "--duration", "2s"]].concat()));
    let succeeded = report["succeeded"].as_u64().unwrap();
    assert!(succeeded > 1 && report["failed"] == serde_json::json!({}), "{report}");
    let of_each: u64 =
        report["cache"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(of_each, 2 * succeeded, "{report}");
    assert!(
        report["cache"].as_object().unwrap().keys().all(|kind| ["miss", "hit", "joined"].contains(&&**kind)),
        "{report}"
    );
    assert_eq!(report["hops"], serde_json::json!({"local": succeeded}), "{report}");
    assert_eq!(report["cluster"]["transcodes"], 2, "{report}");
    let verified = load(&[&args[..], &["--verify"]].concat());
    assert_eq!(verified.status.code(), Some(2));
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(said.contains("leave --verify out"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_told_of_and_not_sent_to() {
    let mut cluster = Cluster::start(&["FRA", "IAD"]).await;
    let folder = clips(1);
    let to = format!("{},{}", cluster.nodes[0].http_address, cluster.nodes[1].http_address);
    cluster.nodes[1].kill();
    let args = ["--to", &to, "--parallel", "4", "--duration", "3s", "--json", "--seed", "1"];
    let output = load(&[&[text(folder.path())], &args[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Connection refused") && said.contains("nothing is sent there until it answers"),
        "{said}"
    );
    let report = report(&output);
    assert_eq!(report["failed"], serde_json::json!({}), "{report}");
    assert!(report["succeeded"].as_u64().unwrap() > 20, "{report}");
    assert_eq!(report["cluster"]["nodes"], 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_meanwhile_is_avoided_and_its_failures_are_told() {
    let mut cluster = Cluster::start(&["FRA", "IAD"]).await;
    let folder = clips(1);
    let to = format!("{},{}", cluster.nodes[0].http_address, cluster.nodes[1].http_address);
    let path = text(folder.path()).to_owned();
    let run = tokio::task::spawn_blocking(move || {
        load(&[&path, "--to", &to, "--parallel", "4", "--duration", "6s", "--json", "--seed", "1"])
    });
    cluster.nodes[1].logged("upload served", |_| true).await;
    cluster.nodes[1].kill();
    let report = report(&run.await.unwrap());
    let failed = report["failed"].as_object().unwrap();
    assert!(failed.keys().all(|kind| kind == "unreachable" || kind == "broken"), "{report}");
    // As many as were sent before the first of them failed.
    assert!(failed.values().all(|count| count.as_u64().unwrap() <= 4), "{report}");
    assert!(report["succeeded"].as_u64().unwrap() > 20, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_and_every_refusal_and_retry_is_told() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip { size: "1280x720", seconds: 4.0, audio: false, tag: 950, ..Clip::default() }.make();
    std::fs::write(folder.path().join("clip.mp4"), clip).unwrap();
    // It learns what such a clip costs.
    let common = ["--to", &node.http_address, "--unique", "--json", "--timeout", "10s"];
    let first = [&[text(folder.path())], &common[..], &["--parallel", "1", "--duration", "3s"]].concat();
    assert!(report(&load(&first))["succeeded"].as_u64().unwrap() > 0);
    let many = ["--parallel", "40", "--duration", "5s", "--retry"];
    let report = report(&load(&[&[text(folder.path())], &common[..], &many].concat()));
    let refused = report["refused"].as_array().unwrap();
    let saturated = refused.iter().find(|kind| kind["problem"] == "saturated").unwrap();
    assert_eq!(saturated["status"], 503, "{report}");
    assert!(saturated["count"].as_u64().unwrap() > 0, "{report}");
    let count = |value: &Value| value.as_u64().unwrap();
    let refused: u64 = refused.iter().map(|kind| count(&kind["count"])).sum();
    let failed: u64 = report["failed"].as_object().unwrap().values().map(count).sum();
    assert_eq!(count(&report["requests"]), count(&report["succeeded"]) + refused + failed, "{report}");
    // How many there are, and how many of them are kept, is the machine's to say (scripts/bench-load.sh).
    let retries = &report["retries"];
    let ended = count(&retries["accepted"]) + count(&retries["refused"]) + count(&retries["failed"]);
    assert_eq!(count(&retries["made"]), ended, "{report}");
}

#[test]
fn what_cannot_be_sent_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let matroska = folder.path().join("clip.mkv");
    std::fs::write(&matroska, b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81").unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&[], "required arguments were not provided"),
        (&["/nope.mp4"], "/nope.mp4: No such file or directory"),
        (&[text(&empty)], "no video in this folder"),
        (&[text(&matroska), "--unique"], "only MP4 and QuickTime files can be made unique"),
        (&[text(&matroska), "--duration", "0s"], "give 1ms to 24h"),
        (&[text(&matroska), "--parallel", "0"], "0 is not in 1..=10000"),
        (&[text(&matroska), "--to", "ftp://a"], "nodes speak http and https, not ftp"),
    ];
    for (args, expected) in cases {
        let output = load(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

/// What was sent to real nodes is replayed in the simulator, under any policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_recorded_is_replayed() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = clips(2);
    let file = folder.path().join("run.jsonl");
    let sends = [text(folder.path()), "--to", &node.http_address, "--parallel", "2", "--duration", "2s"];
    let output =
        load(&[&sends[..], &["--seed", "1", "--unique", "--json", "--record", text(&file)]].concat());
    let report = report(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("starling sim --replay"), "{said}");
    let recorded = std::fs::read_to_string(&file).unwrap();
    assert_eq!(recorded.lines().count() as u64, 1 + report["requests"].as_u64().unwrap(), "{recorded}");

    let sim = |path: &Path| {
        let args =
            ["sim", "--replay", text(path), "--policy", "eta,score:0.8,omniscient", "--seeds", "2", "--json"];
        Command::new(env!("CARGO_BIN_EXE_starling")).args(args).output().unwrap()
    };
    let replayed = self::report(&sim(&file));
    assert_eq!((&replayed["nodes"], &replayed["jobs"]), (&1.into(), &report["requests"]), "{replayed}");
    for policy in ["eta", "score:0.8", "omniscient"] {
        let figures = &replayed["policies"][policy];
        assert_eq!(figures["success_ratio"], 1.0, "{figures}");
        assert!(figures["mean_ms"].as_f64().unwrap() > 1.0, "{figures}");
        assert_eq!(figures["violations"], serde_json::json!([]), "{figures}");
    }

    std::fs::write(&file, "no recording").unwrap();
    let output = sim(&file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("run.jsonl") && said.contains("line 1"), "{said}");
}

/// Reports, and when each came.
type Told = Arc<Mutex<Vec<(Instant, Value)>>>;

/// A stand-in for a monitor: what it was told, and when. Ends with the test.
fn listener() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let told = Told::default();
    let heard = Arc::clone(&told);
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let mut stream = BufReader::new(stream);
            let mut size = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let lower = line.to_ascii_lowercase();
                if let Some(length) = lower.strip_prefix("content-length:") {
                    size = length.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; size];
            stream.read_exact(&mut body).unwrap();
            heard.lock().push((Instant::now(), serde_json::from_slice(&body).unwrap()));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reports_every_five_seconds_and_at_its_end() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let folder = clips(1);
    let (url, told) = listener();
    let began = Instant::now();
    let args =
        ["--to", &node.http_address, "--parallel", "1", "--duration", "11s", "--json", "--report", &url];
    let output = load(&[&[text(folder.path())], &args[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report(&output);
    let told = told.lock();
    let times: Vec<Duration> = told.iter().map(|(at, _)| *at - began).collect();
    let (last, regular) = told.split_last().expect("it reports");
    // A machine that is busy may put one off, and none comes before its time.
    let least = Duration::from_millis(4_900);
    assert!(regular.len() >= 2, "two in eleven seconds, and one at the end: {times:?}");
    assert!(times.iter().zip(1..).take(regular.len()).all(|(at, number)| *at >= least * number), "{times:?}");
    let total = |report: &Value| report["total"].as_u64().unwrap();
    assert!(told.windows(2).all(|two| total(&two[0].1) <= total(&two[1].1)), "{told:?}");
    assert_eq!(last.1["total"], report["requests"], "the last one has all: {told:?}");
    assert_eq!(last.1["success"], report["succeeded"], "{told:?}");
    assert!(told.iter().all(|(_, one)| one["node_id"] == last.1["node_id"]), "{told:?}");
}
