//! Members that lie, and members that accept and hang: no wrong result is answered or kept, and none of it costs more than seconds.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

use crate::sharing::home;
use crate::support::{Answer, Clip, Cluster, Node, NodeOptions, Play, Rogue, eventually, made_by_ffmpeg};

/// A node that gives each job to the idlest member, which is never itself.
fn node() -> Node {
    Node::start(NodeOptions::new("node1", "FRA").arg("--load-weight=1").arg("--rtt-weight=0"))
}

fn clip(tag: u32) -> Clip {
    Clip { tag, audio: false, ..Clip::default() }
}

/// A clip whose home among the two is `name`.
fn clip_at_home_in(name: &str, other: &str, first_tag: u32) -> Bytes {
    let mut clips = (first_tag..).map(|tag| clip(tag).make());
    clips.find(|clip| home(clip, &[name, other]) == name).unwrap()
}

fn assert_made_here(answer: &Answer) {
    answer.assert_video();
    assert_eq!((answer.header("x-served-by"), answer.header("x-cache")), ("node1", "miss"));
}

/// The one line that tells what a peer did wrong.
async fn told_of(node: &Node, name: &str, fault: &'static str) -> String {
    let name = name.to_owned();
    let line = node.logged("a peer is avoided", move |line| line["peer"] == name.as_str()).await;
    assert_eq!((&line["level"], &line["fault"]), (&Value::from("WARN"), &Value::from(fault)), "{line}");
    line["seen"].as_str().unwrap().to_owned()
}

/// Each job that it was sent is an incident of its own, told of once: it gets no other while it is avoided.
fn assert_avoided(node: &Node, rogue: &Rogue) {
    assert_eq!(rogue.jobs(), node.count_of_peer("a peer is avoided", &rogue.name), "{}", rogue.name);
}

/// What ffmpeg makes with these arguments, in this container.
fn made(arguments: &str, extension: &str) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let lavfi = ["-f", "lavfi", "-i"].into_iter();
    made_by_ffmpeg(&folder.path().join(format!("made.{extension}")), lavfi.chain(arguments.split(' ')))
}

/// The same index, and other bytes where its pictures and sound lie.
fn over(right: &Bytes, byte: impl Fn(usize) -> u8) -> Bytes {
    let mut lie = right.to_vec();
    let media = lie.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    for (at, place) in lie[media..].iter_mut().enumerate() {
        *place = byte(at);
    }
    lie.into()
}

#[tokio::test]
async fn a_members_word_for_a_result_is_not_believed() {
    let node = node();
    let right = made(
        "testsrc2=size=320x240:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p -movflags +faststart",
        "mp4",
    );
    let lies = [
        ("a page", Bytes::from_static(b"<html><script>alert(1)</script></html>"), "cut off"),
        ("nothing", Bytes::new(), "refused"),
        ("half of it", right.slice(..right.len() - 2000), "cut off"),
        ("an index of noise", over(&right, |at| ((at * 0x9e37_79b1) >> 7) as u8), "can't be played"),
        ("an index of nothing", over(&right, |_| 0), "can't be played"),
        ("another codec", made("testsrc2=size=320x240:duration=1 -c:v mpeg4", "mp4"), "codec"),
        ("another container", made("testsrc2=size=320x240:duration=1 -c:v libx264", "mkv"), "cut off"),
        (
            "one with sound",
            made("testsrc2=size=320x240:duration=1 -f lavfi -i sine=duration=1 -c:v libx264 -c:a aac", "mp4"),
            "sound",
        ),
    ];
    let mut rogues = Vec::new();
    for (tag, (what, lie, seen)) in (0..).zip(lies) {
        let name = format!("evil{tag}");
        let rogue = Rogue::join(&node, &name, None, move |path| {
            path.starts_with("/internal/jobs/").then(|| Play::result(&lie))
        })
        .await;
        assert_made_here(&node.http.upload(clip(tag).make()).await);
        assert_eq!(rogue.jobs(), 1, "{what}");
        let told = told_of(&node, &name, "lied").await;
        assert!(told.contains(seen), "{what}: {told}");
        rogues.push(rogue);
    }
    // They get no further job, and what is kept is what was made here.
    assert_made_here(&node.http.upload(clip(100).make()).await);
    for rogue in &rogues {
        assert_avoided(&node, rogue);
    }
    let again = node.http.upload(clip(0).make()).await;
    again.assert_video();
    assert_eq!(again.header("x-cache"), "hit");
    // What may be the input's own doing is not answered either, and not called a lie.
    let odd = [
        ("larger", "size=640x360:duration=1", "another size"),
        ("shorter", "size=320x240:duration=0.4", "400.0ms"),
        ("longer", "size=320x240:duration=3", "3.0s"),
    ];
    for (tag, (name, source, seen)) in (200..).zip(odd) {
        let result = made(&format!("testsrc2={source} -c:v libx264 -pix_fmt yuv420p"), "mp4");
        let plays = move |path: &str| path.starts_with("/internal/jobs/").then(|| Play::result(&result));
        let rogue = Rogue::join(&node, name, None, plays).await;
        assert_made_here(&node.http.upload(clip(tag).make()).await);
        assert_eq!((rogue.jobs(), node.count_of_peer("a peer is avoided", name)), (1, 0), "{name}");
        let message = "peer's result not taken: next candidate";
        let line = node.logged(message, move |line| line["peer"] == name).await;
        let error = line["error"].as_str().unwrap();
        assert!(error.starts_with("doubtful: ") && error.contains(seen), "{name}: {error}");
        // It is gone before the next one comes, and so gets no further job.
        rogue.leave(&node).await;
    }
    for rogue in &rogues {
        assert_avoided(&node, rogue);
    }
    let lies = rogues.iter().map(Rogue::jobs).sum::<usize>() as u64;
    assert_eq!(node.metric("starling_peer_faults_total{fault=\"lied\"}").await, lies);
    assert_eq!(node.metric("starling_peer_faults_total{fault=\"doubtful\"}").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_word_against_a_video_is_not_believed() {
    let node = node();
    let cases = [
        ("refuser", 422, r#"{"code":"unusable","why":"so says the liar"}"#, "contradicted", 1),
        ("reneger", 503, r#"{"code":"saturated","retry_after_ms":1000}"#, "reneged", 3),
    ];
    for (at, (name, status, ended, fault, jobs)) in cases.into_iter().enumerate() {
        let plays = move |path: &str| path.starts_with("/internal/jobs/").then(|| Play::ended(status, ended));
        let rogue = Rogue::join(&node, name, None, plays).await;
        for tag in 0..jobs {
            assert_made_here(&node.http.upload(clip(700 + 10 * at as u32 + tag).make()).await);
        }
        let seen = told_of(&node, name, fault).await;
        assert!(seen.starts_with("it said that a video") || seen.starts_with("it took a job"), "{seen}");
        assert_eq!(rogue.jobs(), jobs as usize, "each was sent to it first");
        // Avoided, it is sent nothing more.
        assert_made_here(&node.http.upload(clip(750 + at as u32).make()).await);
        assert_eq!(rogue.jobs(), jobs as usize);
        rogue.leave(&node).await;
    }
}

#[tokio::test]
async fn a_home_that_lies_neither_has_a_wrong_result_taken_nor_makes_anybody_wait() {
    let node = node();
    let busy = |by: &str| format!("{{\"verdict\":\"busy\",\"by\":\"{by}\"}}");
    let verdicts = [
        ("home1", "{\"verdict\":\"held\",\"holders\":[\"home1\"]}".to_owned()),
        // Said to be at work: the home itself, a node that is not, one that nobody knows.
        ("home2", busy("home2")),
        ("home3", busy("node1")),
        ("home4", busy("nobody")),
    ];
    for (tag, (name, verdict)) in (500..).step_by(100).zip(verdicts) {
        let content = clip_at_home_in(name, "node1", tag);
        let rogue = Rogue::join(&node, name, None, move |path| match path {
            "/internal/leases" => Some(Play::json(&verdict)),
            // No work is done there.
            "/internal/offers" => Some(Play::nothing()),
            path if path.starts_with("/internal/results/") && name == "home1" => {
                Some(Play::result(&Bytes::from_static(b"<html>")))
            }
            _ => None,
        })
        .await;
        let mark = node.mark();
        assert_made_here(&node.http.upload(content).await);
        if name == "home1" {
            assert!(told_of(&node, name, "lied").await.contains("cut off"));
        } else {
            let message = "not done elsewhere for long: made here as well";
            let line = node.logged_since(mark, message, |_| true).await;
            assert!(line["seen"].as_str().unwrap().contains("nothing moved"), "{line}");
        }
        rogue.leave(&node).await;
    }
}

#[tokio::test]
async fn a_member_that_accepts_and_hangs_costs_seconds_and_is_told_of_once() {
    let node = node();
    let right = made("testsrc2=size=640x360:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p", "mp4");
    for (tag, how) in (0..).zip(["takes the job", "says nothing at all any more", "stops half way"]) {
        let name = format!("hung{tag}");
        let right = right.clone();
        let rogue = Rogue::join(&node, &name, None, move |path| match (how, path) {
            ("stops half way", path) if path.starts_with("/internal/jobs/") => Some(Play::half(&right)),
            (_, path) if path.starts_with("/internal/jobs/") => Some(Play::Hang),
            ("says nothing at all any more", "/internal/progress") => Some(Play::Hang),
            _ => None,
        })
        .await;
        // Five minutes, less than which nobody is kept waiting for.
        assert_made_here(&node.http.upload(clip(300 + tag).make()).await);
        let told = told_of(&node, &name, "stalled").await;
        assert!(told.contains("nothing"), "{how}: {told}");
        assert_eq!(rogue.jobs(), 1, "{how}");
        assert_made_here(&node.http.upload(clip(310 + tag).make()).await);
        assert_avoided(&node, &rogue);
    }
    assert!(node.metric("starling_hedges_total").await >= 2);
    assert!(node.metric("starling_hedges_won_total").await >= 2);
}

#[tokio::test]
async fn of_a_job_that_stalled_and_its_hedge_the_first_result_counts() {
    let node = node();
    let clip = clip(400).make();
    let whole = Node::start(NodeOptions::new("node9", "FRA")).http.upload(clip.clone()).await.body;
    // Nothing is heard of it until its result is there.
    let go = Arc::new(Notify::new());
    let (gone, body) = (Arc::clone(&go), whole.clone());
    let rogue = Rogue::join(&node, "late", None, move |path| {
        path.starts_with("/internal/jobs/").then(|| {
            let (gone, body) = (Arc::clone(&gone), body.clone());
            Play::Later(Box::pin(async move {
                gone.notified().await;
                Play::result(&body)
            }))
        })
    })
    .await;
    let http = node.http.clone();
    let upload = tokio::spawn(async move { http.upload(clip).await });
    told_of(&node, &rogue.name, "stalled").await;
    node.pause_ffmpeg().await;
    go.notify_one();
    let answer = upload.await.unwrap();
    assert_eq!((answer.header("x-served-by"), &answer.body), ("late", &whole));
    eventually("its own work is given up", async || node.ffmpegs().is_empty()).await;
    assert_eq!(node.metric("starling_hedges_won_total").await, 0);
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_on_a_peer_is_not_waited_for() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    near.http.upload(clip(410).make()).await.assert_video();
    let http = near.http.clone();
    let upload = tokio::spawn(async move { http.upload(Clip::long(411).make()).await });
    far.pause_ffmpeg().await;
    assert_made_here(&upload.await.unwrap());
    let told = told_of(near, "node2", "stalled").await;
    assert!(told.contains("gets no further"), "{told}");
    eventually("its work is given up there", async || far.ffmpegs().is_empty()).await;
}

#[tokio::test]
async fn with_a_key_an_answer_without_a_proof_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let key = Command::new(env!("CARGO_BIN_EXE_starling")).args(["key", "new"]).output().unwrap().stdout;
    std::fs::write(&file, &key).unwrap();
    let keys = || Some(starling_overlay::Keyring::parse(std::str::from_utf8(&key).unwrap()).unwrap());
    let key = format!("--key-file={}", file.display());
    let options = NodeOptions::new("node1", "FRA")
        .arg("--load-weight=1")
        .arg("--rtt-weight=0")
        .arg(key)
        .arg("--plain-peers");
    let node = Node::start(options);
    let rogue = Rogue::join(&node, "evil", keys(), |_| None).await;
    assert_made_here(&node.http.upload(clip(420).make()).await);
    let told = told_of(&node, "evil", "unproven").await;
    assert!(told.contains("no proof") && told.contains("200"), "{told}");
    assert_eq!(rogue.jobs(), 0);
    // As home it is not believed either.
    let held = "{\"verdict\":\"held\",\"holders\":[\"home\"]}";
    let plays = |path: &str| (path == "/internal/leases").then(|| Play::json(held));
    let _rogue = Rogue::join(&node, "home", keys(), plays).await;
    assert_made_here(&node.http.upload(clip_at_home_in("home", "node1", 430)).await);
}
