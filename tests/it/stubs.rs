//! An ffmpeg on PATH that hangs, crashes, fills the disk or writes garbage: a clear error, a freed worker, nothing cached.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Signal;

use crate::bad_input::{SmallDisk, assert_nothing_left};
use crate::sharing::home;
use crate::support::{Answer, Clip, Cluster, Node, NodeOptions, Stub, eventually, real};

fn node(stub: &Stub, data: Option<&Path>) -> Node {
    let mut options = NodeOptions::new("node1", "FRA").tools(stub);
    options.data_dir = data.map(Path::to_owned);
    Node::start(options)
}

fn cached(node: &Node) -> usize {
    let list = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let objects = node.options.data_dir.as_ref().unwrap().join("objects");
    list(objects).filter(|path| path.is_dir()).flat_map(list).count()
}

/// What a failure leaves: a free worker, no file, nothing in the cache; and words that tell nothing of the node's disk.
async fn assert_failed(node: &Node, clip: &Bytes, deadline_ms: &str, status: u16, slug: &str) {
    let headers = [("x-deadline-ms", deadline_ms)];
    let answer = node.http.upload_with("/upload", &headers, clip.clone()).await;
    answer.assert_problem(status, slug);
    let said = String::from_utf8_lossy(&answer.body);
    for inside in [&node.options.data_dir, &node.options.path] {
        assert!(!said.contains(&inside.as_ref().unwrap().display().to_string()), "{said}");
    }
    assert!(!said.contains("0x55cd12ab"), "{said}");
    node.busy(0, 0).await;
    assert_nothing_left(node).await;
    assert_eq!(cached(node), 0);
}

/// ffmpeg may have much to say that is no damage, as of times that go back, after it said what is.
#[tokio::test]
async fn damage_is_told_however_much_ffmpeg_says_after_it() {
    let stub = Stub::like_the_real_one();
    let ffmpeg = real("ffmpeg");
    let odd = "[null @ 0x2] Application provided invalid, non monotonically increasing dts to muxer in stream 0: 5 >= 4";
    stub.plays(&format!(
        "echo '[h264 @ 0x1] error while decoding MB 3 7, bytestream -5' >&2\n\
         n=0; while [ $n -lt 100 ]; do echo '{odd}' >&2; n=$((n + 1)); done\nexec {} \"$@\"",
        ffmpeg.display()
    ));
    let node = node(&stub, None);
    let clip = Clip { seconds: 1.0, ..Clip::default() }.make();
    let answer = node.http.upload_with("/upload?strict=1", &[], clip.clone()).await;
    answer.assert_problem(422, "unusable-video");
    let answer = node.http.upload(clip).await;
    answer.assert_video();
    assert!(answer.header("x-input-damage").contains("errors=1"), "{:?}", answer.headers);
}

#[tokio::test]
async fn whatever_ffmpeg_does_the_client_is_told_and_the_node_goes_on() {
    let stub = Stub::new("8.1");
    let node = node(&stub, None);
    let clip = Clip::default().make();
    let parts = [
        ("trap '' TERM INT HUP; exec sleep 1000", "3000", 504, "deadline-passed"),
        ("exec >&- 2>&-; exec sleep 1000", "3000", 504, "deadline-passed"),
        ("kill -SEGV $$", "60000", 500, "crashed"),
        ("kill -KILL $$", "60000", 500, "internal"),
        ("echo \"cannot create $out: Directory nonexistent\" >&2; exit 2", "60000", 500, "internal"),
        ("echo 'Error: Cannot allocate memory' >&2; exit 1", "60000", 500, "crashed"),
        (
            "echo \"$out: Invalid data found when processing input\" >&2; exit 1",
            "60000",
            422,
            "unusable-video",
        ),
        ("exec head -c 100000 /dev/urandom >\"$out\"", "60000", 500, "internal"),
        (": >\"$out\"", "60000", 500, "internal"),
        ("exit 0", "60000", 500, "internal"),
        (
            "exec perl -e 'print STDERR \"$ARGV[0]: too much to say\\n\" x 1000000; kill ABRT => $$' \"$out\"",
            "60000",
            500,
            "crashed",
        ),
        ("echo \"[mov @ 0x55cd12ab] $0: 3: boom\" >&2; exit 1", "60000", 422, "unusable-video"),
    ];
    for (part, deadline_ms, status, slug) in parts {
        stub.plays(part);
        assert_failed(&node, &clip, deadline_ms, status, slug).await;
    }
    // What it said before it crashed is in the log, and there only.
    node.logged("no result", |line| line["error"].as_str().is_some_and(|e| e.contains("too much to say")))
        .await;
    // Cut off, with an index that says otherwise.
    let whole = Node::start(NodeOptions::new("node2", "FRA")).http.upload(clip.clone()).await.body;
    std::fs::write(stub.path().join("cut"), &whole[..whole.len() - 3000]).unwrap();
    stub.plays("exec cat \"${0%/*}/cut\" >\"$out\"");
    assert_failed(&node, &clip, "60000", 500, "internal").await;
    // No failure is remembered.
    stub.plays_itself();
    let answer = node.http.upload(clip).await;
    answer.assert_video();
    assert_eq!(answer.header("x-cache"), "miss");
    assert_eq!(cached(&node), 1);
    assert_eq!(node.metric("starling_transcodes_total").await, 14);
    assert_eq!(node.metric("starling_cached_results").await, 1);
}

#[tokio::test]
async fn a_peer_that_takes_its_time_to_fail_keeps_nobody_from_asking_the_next() {
    let stub = Stub::new("8.1");
    stub.plays("exec perl -e 'sleep 1; print STDERR \"cannot create $ARGV[0]: Directory nonexistent\\n\"; exit 2' \"$out\"");
    let cluster = Cluster::start_with(&["FRA", "FRA", "FRA"], |options| {
        options.tools_of("node2", &stub).arg("--policy=round-robin")
    })
    .await;
    let near = &cluster.nodes[0];
    // Turns: here, then node2.
    near.http.upload(Clip::default().make()).await.assert_video();
    let answer = near.http.upload(Clip { tag: 1, ..Clip::default() }.make()).await;
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), "node3");
    near.logged("peer failed at it: next candidate", |line| line["peer"] == "node2").await;
}

#[tokio::test]
async fn what_can_not_be_made_here_as_well_in_time_is_waited_for_elsewhere() {
    let clip = Clip { size: "160x120", seconds: 90.0, container: "mkv", ..Clip::default() }.make();
    let whole = Node::start(NodeOptions::new("node9", "FRA")).http.upload(clip.clone()).await.body;
    let stub = Stub::new("8.1");
    std::fs::write(stub.path().join("whole"), whole).unwrap();
    stub.plays(
        "exec perl -e 'my $d = shift; select(undef, undef, undef, 0.05) until -e \"$d/go\"; exec qw(cat), \"$d/whole\"' \
         \"${0%/*}\" >\"$out\"",
    );
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        options.tools_of("node1", &stub).arg("--load-weight=0").arg("--rtt-weight=1")
    })
    .await;
    let [maker, other] = &cluster.nodes[..] else { panic!("two nodes") };
    // From the third one on it knows what such a job takes.
    for tag in 1..=3 {
        let clip = Clip { size: "160x120", tag, container: "mkv", ..Clip::default() };
        other.http.upload(clip.make()).await.assert_video();
    }
    let (http, body) = (maker.http.clone(), clip.clone());
    let first = tokio::spawn(async move { http.upload(body).await });
    maker.busy(1, 0).await;
    let http = other.http.clone();
    let second =
        tokio::spawn(async move { http.upload_with("/upload", &[("x-deadline-ms", "12000")], clip).await });
    other.logged("not made here as well: waiting on", |_| true).await;
    std::fs::write(stub.path().join("go"), "").unwrap();
    let second = second.await.unwrap();
    second.assert_video();
    assert_eq!(second.header("x-served-by"), "node1");
    first.await.unwrap().assert_video();
    assert_eq!(cluster.transcodes().await, 4);
}

#[tokio::test]
async fn who_fails_at_a_job_asks_on_however_long_others_said_nothing() {
    let stub = Stub::new("8.1");
    stub.plays("echo \"cannot create $out: Directory nonexistent\" >&2; exit 2");
    let cluster = Cluster::start_with(&["FRA", "FRA", "FRA"], |options| {
        options.tools_of("node1", &stub).arg("--policy=round-robin").arg("--timing=wan")
    })
    .await;
    let [near, sound, silent] = &cluster.nodes[..] else { panic!("three nodes") };
    // Turns: here and, since that fails, node2; node2; node3, here, and node2 again.
    for tag in [0, 1] {
        near.http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
    }
    let mut clips = (2..).map(|tag| Clip { tag, ..Clip::default() }.make());
    let clip = clips.find(|clip| home(clip, &["node1", "node2", "node3"]) == "node1").unwrap();
    silent.signal(Signal::STOP);
    let answer = near.http.upload(clip).await;
    silent.signal(Signal::CONT);
    answer.assert_video();
    assert_eq!(answer.header("x-served-by"), sound.options.name);
    assert_eq!(near.count("peer lost: next candidate"), 1);
}

/// The answer to an upload that peers have to do, and how often it was sent: on a busy machine a peer may not answer an offer in
/// time, and then there is nobody else.
async fn answered_by_peers(node: &Node, clip: Bytes) -> (Answer, usize) {
    for sent in 1..=20 {
        let lost = node.count("peer lost: next candidate");
        let answer = node.http.upload(clip.clone()).await;
        if answer.status != 500 {
            return (answer, sent);
        }
        eventually("no peer answered", async || node.count("peer lost: next candidate") > lost).await;
    }
    panic!("no peer ever answers");
}

#[tokio::test]
async fn what_one_nodes_ffprobe_cannot_look_at_another_one_can_and_no_third_is_put_at_risk() {
    let stub = Stub::new("8.1");
    stub.plays_itself();
    let with_stub = |names: &'static [&'static str]| {
        let path = stub.path().to_owned();
        move |mut options: NodeOptions| {
            options.path = names.contains(&options.name.as_str()).then(|| path.clone());
            options
        }
    };
    let clip = |tag| Clip { tag, container: "mkv", ..Clip::default() }.make();
    let cluster = Cluster::start_with(&["FRA", "IAD"], with_stub(&["node1"])).await;
    let parts =
        ["kill -KILL $$", "exec head -c 1000 /dev/urandom", "kill -SEGV $$", "echo Cannot fork >&2; exit 2"];
    for (tag, part) in (1..).zip(parts) {
        stub.looks(part);
        let (answer, _) = answered_by_peers(&cluster.nodes[0], clip(tag)).await;
        answer.assert_video();
        assert_eq!(answer.header("x-served-by"), "node2", "{part}");
    }
    assert!(cluster.nodes[0].count("ffprobe failed here") >= parts.len());
    drop(cluster);

    let names: &[&str] = &["node1", "node2", "node3"];
    let cluster = Cluster::start_with(&["FRA", "FRA", "FRA"], with_stub(names)).await;
    let failed = || cluster.nodes.iter().map(|node| node.count("ffprobe failed here")).sum::<usize>();
    stub.looks("kill -SEGV $$");
    let (answer, asked) = answered_by_peers(&cluster.nodes[0], clip(11)).await;
    answer.assert_problem(422, "unusable-video");
    eventually("it was the video's second node", async || failed() == asked + 1).await;
    stub.looks("kill -KILL $$");
    let answer = cluster.nodes[0].http.upload(clip(12)).await;
    assert!(matches!(answer.status.as_u16(), 500 | 503), "{answer:?}");
    drop(cluster);

    let node = node(&stub, None);
    node.http.upload(clip(21)).await.assert_problem(500, "internal");
    stub.looks("kill -SEGV $$");
    node.http.upload(clip(21)).await.assert_problem(500, "crashed");
}

#[tokio::test]
async fn a_machine_that_has_become_too_slow_refuses_work_until_it_is_fast_again() {
    let stub = Stub::new("8.1");
    stub.plays_itself();
    let node = node(&stub, None);
    let upload = async |tag, deadline: Duration| {
        let clip = Clip { tag, ..Clip::default() }.make();
        node.http.upload_with("/upload", &[("x-deadline-ms", &deadline.as_millis().to_string())], clip).await
    };
    for tag in 0..4 {
        upload(tag, Duration::from_secs(60)).await.assert_video();
    }
    let short = Duration::from_secs(4);
    stub.plays("exec sleep 1000");
    let mut refused = 10;
    loop {
        let answer = upload(refused, short).await;
        node.busy(0, 0).await;
        // Jobs that were ended leave a doubt, so it may be told to come back, and not that it never will do.
        let refuses =
            |problem: &str| ["/deadline-too-short", "/saturated"].iter().any(|end| problem.ends_with(end));
        if answer.json()["type"].as_str().is_some_and(refuses) {
            break;
        }
        answer.assert_problem(504, "deadline-passed");
        refused += 1;
        assert!(refused <= 16, "it goes on taking what it can't do");
    }
    // While there is a doubt a client is told to come back. Then it is served.
    let served = async |tag, time| {
        for back in 1.. {
            let answer = upload(tag, time).await;
            if answer.status != 503 {
                return answer.assert_video();
            }
            assert!(back < 4, "it is told to come back again and again: {:?}", answer.json());
            let told = answer.header("retry-after").parse().unwrap();
            tokio::time::sleep(Duration::from_secs(told)).await;
        }
    };
    // One that has the time is taken still, and shows that those can be done, too, that have less.
    stub.plays_itself();
    let start = Instant::now();
    served(100, Duration::from_secs(240)).await;
    // On a machine that is busy with other work the short time may truly be too short.
    served(refused, short.max(start.elapsed() * 8)).await;
}

#[tokio::test]
async fn an_ffmpeg_that_fills_the_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let stub = Stub::new("8.1");
    let node = node(&stub, Some(disk.path()));
    let clip = Clip::default().make();
    stub.plays("exec head -c 100000000 /dev/zero >\"$out\"");
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
        let node = node(&stub, None);
        // By then it has been said: the node has started.
        assert_eq!(node.count(&format!("ffmpeg {version} {warning}")), warned, "{version}");
        node.http.upload(Clip::default().make()).await.assert_video();
    }
}
