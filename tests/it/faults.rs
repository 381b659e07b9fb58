//! Uploads without pause while each node in turn is killed, frozen and cut off, and comes back: what is answered with 200
//! is a whole video, and nobody who asked a sound node waits longer than the deadline.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use starling_netem::control::{Reply, Request};

use crate::support::lab::{Lab, alive};
use crate::support::{Clip, Http, eventually, skipped, unlike};

const DEADLINE: Duration = Duration::from_secs(10);
/// For the way there and back, and a machine that is busy with the rest of the test.
const SLACK: Duration = Duration::from_secs(5);
const FRAMES: u32 = 25;
const UPLOADERS: u32 = 3;

/// What all uploaders share.
struct Uploads {
    nodes: Vec<Http>,
    clip: Bytes,
    next: AtomicU32,
    over: AtomicBool,
    /// The node that something is done to, and since when or until when.
    faults: Mutex<Vec<(usize, Instant, Option<Instant>)>>,
    /// When the newest of those was sent that have come back.
    last_served: Mutex<Option<Instant>>,
}

impl Uploads {
    fn begin(&self, node: usize) {
        self.faults.lock().push((node, Instant::now(), None));
    }

    fn end(&self) {
        self.faults.lock().last_mut().unwrap().2 = Some(Instant::now());
    }

    /// Whether the node was at fault at any moment since then.
    fn was_at_fault(&self, node: usize, since: Instant) -> bool {
        let faults = self.faults.lock();
        faults.iter().any(|(faulty, _, until)| *faulty == node && until.is_none_or(|until| until >= since))
    }

    /// Waits until an upload that was sent from now on has come back.
    async fn one_is_served(&self, when: &str) {
        let now = Instant::now();
        let since = || self.last_served.lock().is_some_and(|sent| sent >= now);
        eventually(&format!("uploads come back {when}"), async || since()).await;
    }

    async fn upload_until_over(&self) {
        let mut again = None;
        while !self.over.load(Ordering::Relaxed) {
            let number = again.take().unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            let node = number as usize % self.nodes.len();
            let body = unlike(&self.clip, number);
            let sent = Instant::now();
            let deadline = DEADLINE.as_millis().to_string();
            let headers = [("content-type", "video/mp4"), ("x-deadline-ms", deadline.as_str())];
            let exchange = self.nodes[node].send(Method::POST, "/upload", &headers, body);
            match tokio::time::timeout(DEADLINE + SLACK, exchange).await {
                Ok(Ok(answer)) if answer.status == StatusCode::OK => {
                    tokio::task::spawn_blocking(move || assert_whole(&answer.body)).await.unwrap();
                    let mut last = self.last_served.lock();
                    *last = (*last).max(Some(sent));
                }
                Ok(Ok(answer)) => {
                    assert!(answer.status.is_server_error(), "a sound video: {answer:?}");
                    // Who is told when to come back does so, with the same: that is what the place is kept for.
                    let told: Option<u64> = answer.header("retry-after").parse().ok();
                    again = told.map(|_| number);
                    let wait = told.map_or(Duration::from_millis(100), |s| Duration::from_secs(s.min(15)));
                    tokio::time::sleep(wait).await;
                }
                Ok(Err(error)) => {
                    assert!(self.was_at_fault(node, sent), "node{} was sound, and {error}", node + 1);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(_) => assert!(self.was_at_fault(node, sent), "node{} was sound, and hung", node + 1),
            }
        }
    }
}

/// Every picture of the clip is there and can be decoded.
fn assert_whole(video: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), video).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-count_frames", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=nb_read_frames:format=duration"])
        .arg(file.path())
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap().trim().parse(), Ok(FRAMES), "{text}");
    let seconds: f64 = lines.next().unwrap().trim().parse().unwrap();
    assert!((seconds - 1.0).abs() < 0.1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_node_no_answer_is_wrong_and_none_hangs() {
    let mut lab = Lab::start(&["--nodes", "3", "--", "--timing", "local"]);
    let names = ["node1", "node2", "node3"];
    let uploads = Arc::new(Uploads {
        nodes: names.map(|name| lab.node(name)).to_vec(),
        clip: Clip { audio: false, tag: 800, ..Clip::default() }.make(),
        next: AtomicU32::new(0),
        over: AtomicBool::new(false),
        faults: Mutex::default(),
        last_served: Mutex::default(),
    });
    let uploaders: Vec<_> = (0..UPLOADERS)
        .map(|_| {
            let uploads = Arc::clone(&uploads);
            tokio::spawn(async move { uploads.upload_until_over().await })
        })
        .collect();
    let shaped = lab.report["backend"] != "none";
    for (node, name) in names.iter().enumerate() {
        let witness = &uploads.nodes[(node + 1) % names.len()];
        let gone =
            async || eventually(&format!("{name} is missed"), async || alive(witness).await == 2).await;
        let back = async || eventually(&format!("{name} is back"), async || alive(witness).await == 3).await;
        for (fault, remedy) in [("kill", "restart"), ("stop", "continue")] {
            uploads.begin(node);
            lab.ctl(&[fault, name]).unwrap();
            gone().await;
            uploads.one_is_served(&format!("after {fault} {name}")).await;
            lab.ctl(&[remedy, name]).unwrap();
            back().await;
            uploads.end();
        }
        if shaped {
            uploads.begin(node);
            let partition = Request::Partition { groups: (*name).into(), for_ms: None, lease: false };
            assert!(matches!(lab.netem().ask(&partition), Ok(Reply::Fault(_))));
            gone().await;
            uploads.one_is_served(&format!("while {name} is cut off")).await;
            assert!(matches!(lab.netem().ask(&Request::Heal { id: None }), Ok(Reply::Healed(1))));
            back().await;
            uploads.end();
        }
    }
    uploads.over.store(true, Ordering::Relaxed);
    for uploader in uploaders {
        uploader.await.unwrap();
    }
    lab.signal("-TERM");
    lab.gone().await;
    if !shaped {
        skipped("links cannot be cut here");
    }
}
