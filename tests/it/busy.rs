//! Every core at work, and more to do than they can: nobody is taken for dead who is only slow, and who is dead is missed.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::lab::{Lab, alive};
use crate::support::{Clip, Http, eventually, unlike};

const NODES: [&str; 5] = ["node1", "node2", "node3", "node4", "node5"];
/// Who is frozen, and who is killed; nobody else is to be called failed.
const FROZEN: &str = "node4";
const KILLED: &str = "node5";

/// Programs that do nothing but keep cores busy, and at no lower priority than the nodes; ffmpeg gives way to those.
struct Burners(Vec<Child>);

impl Burners {
    fn start(count: usize) -> Self {
        let burner = || {
            let args = ["--pdeathsig", "KILL", "--", "sh", "-c", "while :; do :; done"];
            Command::new("setpriv").args(args).stdin(Stdio::null()).spawn().unwrap()
        };
        Self((0..count).map(|_| burner()).collect())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            if let Err(error) = burner.kill().and_then(|()| burner.wait()) {
                eprintln!("a burner: {error}");
            }
        }
    }
}

/// Uploads new contents to one node, one after the other.
async fn upload_until(over: &AtomicBool, http: &Http, clip: &Bytes, number: &AtomicU32) {
    while !over.load(Ordering::Relaxed) {
        let body = unlike(clip, number.fetch_add(1, Ordering::Relaxed));
        let headers = [("content-type", "video/mp4"), ("x-deadline-ms", "60000")];
        match http.send(Method::POST, "/upload", &headers, body).await {
            Ok(answer) if answer.status == StatusCode::OK => {}
            // Full, or it is the one that something is done to.
            Ok(answer) => {
                assert!(answer.status.is_server_error(), "a sound video: {answer:?}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Members that this node has called failed, by its log.
fn called_failed(lab: &Lab, node: &str) -> Vec<String> {
    let lines = lab.log(node);
    let failed = lines.iter().filter(|line| line["message"] == "failed");
    failed.map(|line| line["member"].as_str().unwrap().to_owned()).collect()
}

/// Transcodes begun on these nodes.
async fn transcodes(nodes: &[Http]) -> u64 {
    let mut sum = 0;
    for http in nodes {
        let text = String::from_utf8(http.get("/metrics").await.body.to_vec()).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("starling_transcodes_total "));
        sum += count.unwrap().parse::<u64>().unwrap();
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_cores_at_work_only_those_fail_that_do() {
    let mut lab = Lab::start(&["--nodes", "5", "--", "--log", "json"]);
    let nodes = NODES.map(|name| lab.node(name));
    let clip = Clip { size: "1280x720", seconds: 4.0, audio: false, tag: 870, ..Clip::default() }.make();
    let over = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU32::new(0));
    let uploaders: Vec<_> = nodes
        .iter()
        .map(|http| {
            let (over, number, http, clip) =
                (Arc::clone(&over), Arc::clone(&number), http.clone(), clip.clone());
            tokio::spawn(async move { upload_until(&over, &http, &clip, &number).await })
        })
        .collect();
    let cores = std::thread::available_parallelism().unwrap().get();
    let burners = Burners::start(cores);
    for (http, name) in nodes.iter().zip(NODES) {
        eventually(&format!("ffmpeg is at work on {name}"), async || {
            http.json("/health").await["running"].as_u64() > Some(0)
        })
        .await;
    }
    let begun = transcodes(&nodes[..3]).await;
    for (fault, remedy, name) in [("stop", "continue", FROZEN), ("kill", "restart", KILLED)] {
        lab.ctl(&[fault, name]).unwrap();
        for witness in &NODES[..3] {
            let missed = async || called_failed(&lab, witness).iter().any(|failed| failed == name);
            eventually(&format!("{witness} misses {name}"), missed).await;
        }
        lab.ctl(&[remedy, name]).unwrap();
        for http in &nodes {
            eventually(&format!("{name} is back"), async || alive(http).await == NODES.len()).await;
        }
    }
    eventually("ffmpeg is still at work", async || transcodes(&nodes[..3]).await > begun).await;
    for (http, name) in nodes.iter().zip(NODES) {
        let at_rest = async || http.json("/members").await["converged"] == Value::Bool(true);
        eventually(&format!("{name} has converged"), at_rest).await;
    }
    drop(burners);
    over.store(true, Ordering::Relaxed);
    for uploader in uploaders {
        uploader.await.unwrap();
    }
    for http in &nodes {
        eventually("uploads come back", async || http.upload(clip.clone()).await.status == StatusCode::OK)
            .await;
    }
    for name in NODES {
        let failed = called_failed(&lab, name);
        assert!(failed.iter().all(|failed| failed == FROZEN || failed == KILLED), "{name}: {failed:?}");
    }
    lab.signal("-TERM");
    lab.gone().await;
}
