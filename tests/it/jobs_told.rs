//! What is told of jobs while they wait and run: events that go on where a connection broke, who does the work and how far it is, whose turn
//! it is, and figures.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

use crate::access::Files;
use crate::support::{Answer, Clip, Cluster, Http, Node, NodeOptions, PATIENCE, Stub, eventually};

/// Of four seconds each, of which [`crawling`] says that one is done.
fn clip(tag: u32) -> Bytes {
    Clip { tag, audio: false, seconds: 4.0, ..Clip::default() }.make()
}

/// An ffmpeg that has encoded a second and 2,500 pictures, and gets no further to speak of before it is let go; a poster it makes at once.
fn crawling() -> Stub {
    let stub = Stub::holding();
    let crawl = "$| = 1; my ($go, $n) = (shift, 0); until (-e $go) { $n++; \
                 print \"frame=2500\\nout_time_us=${\\ (1000000 + $n)}\\nprogress=continue\\n\"; \
                 select(undef, undef, undef, 0.1) } exec { $ARGV[0] } @ARGV or exit 126";
    stub.plays_but(&format!("exec perl -e '{crawl}' \"${{0%/*}}/go\""), "mjpeg");
    stub
}

async fn accepted(http: &Http, query: &str, headers: &[(&str, &str)], video: Bytes) -> String {
    let answer = http.upload_with(&format!("/jobs{query}"), headers, video).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("location").to_owned()
}

/// A job's events, as they come.
struct Told(Lines<BufReader<TcpStream>>);

/// One of them.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    job: Value,
}

impl Told {
    /// By HTTP/1.0: its body is as it is, without chunks.
    async fn open(node: &Node, job: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(&node.http_address).await.unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!("GET {job}/events HTTP/1.0\r\nhost: localhost\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        assert!(status.starts_with("HTTP/1.0 200 "), "{status}");
        while !lines.next_line().await.unwrap().unwrap().is_empty() {}
        Self(lines)
    }

    /// The next one; none: it is over.
    async fn next(&mut self) -> Option<Event> {
        let (mut id, mut name) = (String::new(), String::new());
        loop {
            let line =
                tokio::time::timeout(PATIENCE, self.0.next_line()).await.expect("an event").unwrap()?;
            match line.split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => {
                    return Some(Event { id, name, job: serde_json::from_str(value).unwrap() });
                }
                _ => {}
            }
        }
    }
}

async fn events(http: &Http, job: &str, last: &str) -> Answer {
    let headers = [("last-event-id", last)];
    http.send(Method::GET, &format!("{job}/events"), &headers, Bytes::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_where_they_broke_off_at_any_node_and_after_a_restart() {
    // What ffprobe looks at for long stays as it is: nothing of the job changes meanwhile.
    let stub = Stub::like_the_real_one();
    stub.plays_itself();
    stub.looks_later();
    let mut cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.tools(&stub)).await;
    let job = accepted(&cluster.nodes[0].http, "", &[], clip(1)).await;
    let running = cluster.nodes[0].http.job_in_state(&job, "running").await;
    let mut told = Told::open(&cluster.nodes[0], &job, None).await;
    let mut last = told.next().await.unwrap();
    assert_eq!((last.name.as_str(), &last.job["id"]), ("running", &running["id"]));
    // It may come to rest in a step or two: somebody has taken it.
    while cluster.nodes[1].http.json(&job).await != last.job {
        last = told.next().await.unwrap();
        assert_eq!(last.name, "progress", "{last:?}");
    }
    drop(told);
    // Another node goes on there: what was told is not told again, and the next event is a change within the same state, or its end.
    let mut told = Told::open(&cluster.nodes[1], &job, Some(&last.id)).await;
    stub.release();
    let mut heard = Vec::new();
    while let Some(event) = told.next().await {
        assert!(event.id != last.id && event.job != last.job, "told twice: {event:?}");
        let expected = if event.job["state"] == "running" { "progress" } else { "done" };
        assert_eq!(event.name, expected, "{event:?}");
        heard.push(event);
    }
    let done = heard.pop().unwrap();
    assert_eq!(done.job["state"], "done");
    // To whoever has heard the end there is nothing to say, at any node; others are told how it is.
    for node in &cluster.nodes {
        let over = events(&node.http, &job, &done.id).await;
        assert_eq!((over.status, over.body.len()), (StatusCode::NO_CONTENT, 0));
        for other in [last.id.as_str(), "7", "done-0123456789abcdef", "no id"] {
            let anew = events(&node.http, &job, other).await;
            let text = String::from_utf8(anew.body.to_vec()).unwrap();
            assert!(text.contains(&format!("id: {}\n", done.id)), "{other}: {text}");
        }
    }
    cluster.nodes[0].kill_and_restart();
    eventually("it says the same after its restart", async || {
        events(&cluster.nodes[0].http, &job, &done.id).await.status == StatusCode::NO_CONTENT
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_says_who_does_it_and_how_far_it_is_and_one_that_waits_says_why() {
    let stub = crawling();
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        options.tools(&stub).arg("--policy=round-robin").arg("--workers=1")
    })
    .await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    // Turns: here, there. As many run as there are workers in the cluster, and at least two.
    let here = accepted(&first.http, "", &[], clip(10)).await;
    at_a_quarter(&first.http, &here, ("node1", "node1/FRA")).await;
    let there = accepted(&first.http, "", &[], clip(11)).await;
    for node in [first, second] {
        at_a_quarter(&node.http, &there, ("node2", "node1/FRA -> node2/IAD")).await;
        at_a_quarter(&node.http, &here, ("node1", "node1/FRA")).await;
    }
    // The others wait for their turn.
    let waits =
        [accepted(&first.http, "", &[], clip(12)).await, accepted(&first.http, "", &[], clip(13)).await];
    for (ahead, job) in waits.iter().enumerate() {
        let waits = second.http.json(job).await;
        assert_eq!(waits["wait"], serde_json::json!({ "why": "turn", "ahead": ahead }), "{waits}");
        assert!(waits["progress"].is_null() && waits["state"] == "queued", "{waits}");
    }
    let list = command(first, &["list"]).await;
    assert!(
        list.contains(" left at node2\n") && list.contains("waits for its turn, 1 before it\n"),
        "{list}"
    );
    stub.release();
    for job in [&here, &there, &waits[0], &waits[1]] {
        let done = first.http.job_in_state(job, "done").await;
        assert!(done["progress"].is_null() && done["wait"].is_null(), "{done}");
    }
    let served_by = async |job: &str| first.http.json(job).await["outputs"][0]["served_by"].clone();
    assert_eq!((served_by(&here).await, served_by(&there).await), ("node1".into(), "node2".into()));
}

/// Waits until a job of one profile is done to a quarter, and looks whether all that is told of it fits together.
async fn at_a_quarter(http: &Http, job: &str, (worker, route): (&str, &str)) {
    let mut seen = Value::Null;
    eventually("a quarter is done", async || {
        seen = http.json(job).await;
        seen["progress"]["parts"][0]["percent"] == 25.0
    })
    .await;
    let progress = &seen["progress"];
    let part = serde_json::json!([
        { "profile": "360p", "state": "running", "worker": worker, "route": route, "percent": 25.0 }
    ]);
    assert_eq!((&progress["parts"], &progress["waits"]), (&part, &Value::from(false)), "{seen}");
    assert_eq!(
        (&progress["percent"], &seen["state"]),
        (&Value::from(25.0), &Value::from("running")),
        "{seen}"
    );
    // 2,500 pictures in the time so far; three times as long is left.
    let figure = |name: &str| progress[name].as_f64().unwrap();
    let pictures_left = figure("fps") * figure("eta_s");
    assert!((pictures_left - 7_500.0).abs() < 200.0, "{seen}");
    // A second in the same time, to two digits.
    assert!((figure("speed") - figure("fps") / 2_500.0).abs() <= 0.005_1, "{seen}");
}

async fn command(node: &Node, args: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_starling"));
    command.arg("job").args(args).arg(format!("--node={}", node.http_address)).env_remove("STARLING_NODE");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_profiles_of_a_job_count_also_what_is_done() {
    let stub = crawling();
    // A worker for each of them.
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub).arg("--workers=2"));
    let job = accepted(&node.http, "?profile=360p,poster", &[], clip(20)).await;
    let mut seen = Value::Null;
    eventually("one is done and one runs", async || {
        seen = node.http.json(&job).await["progress"].clone();
        seen["percent"] == 62.5
    })
    .await;
    let parts = seen["parts"].as_array().unwrap();
    let states: Vec<_> =
        parts.iter().map(|part| (&part["profile"], &part["state"], &part["percent"])).collect();
    let (running, done) = (Value::from("running"), Value::from("done"));
    let expected = [
        (&Value::from("360p"), &running, &Value::from(25.0)),
        (&Value::from("poster"), &done, &Value::from(100.0)),
    ];
    assert_eq!(states, expected, "{seen}");
    stub.release();
    node.http.job_in_state(&job, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interactive_jobs_come_before_batch_ones_and_clients_take_turns() {
    let stub = Stub::holding();
    let files = Files::new();
    let [one, other] = ["one", "other"]
        .map(|name| format!("Bearer {}", files.token(&["--name", name, "--scope", "upload,read"])));
    let node = Node::start(files.node("node1").tools(&stub).arg("--workers=1"));
    let send = async |tag: u32, token: &str, priority: &str| {
        let headers = [("authorization", token), ("x-priority", priority)];
        accepted(&node.http, "", &headers, Clip { tag, audio: false, ..Clip::default() }.make()).await
    };
    let show = async |job: &str| {
        let headers = [("authorization", one.as_str())];
        node.http.send(Method::GET, job, &headers, Bytes::new()).await.unwrap().json()
    };
    // Two run at once; what comes then waits.
    for tag in [30, 31] {
        let job = send(tag, &one, "interactive").await;
        eventually("it runs", async || show(&job).await["state"] == "running").await;
    }
    let mut jobs = Vec::new();
    for (tag, token, priority) in [
        (32, &one, "batch"),
        (33, &one, "batch"),
        (34, &other, "batch"),
        (35, &one, "interactive"),
        (36, &one, "interactive"),
        (37, &other, "interactive"),
    ] {
        jobs.push(send(tag, token, priority).await);
    }
    let mut ahead = Vec::new();
    for job in &jobs {
        let job = show(job).await;
        ahead.push(job["wait"]["ahead"].as_u64().unwrap_or_else(|| panic!("{job}")));
    }
    assert_eq!(ahead, [3, 5, 4, 0, 2, 1], "batch after interactive, and the clients by turns");
    let unknown = [("authorization", one.as_str()), ("x-priority", "urgent")];
    let refused = node.http.upload_with("/jobs", &unknown, clip(38)).await;
    refused.assert_problem(400, "bad-request");
    // And so they are done: there is one worker.
    stub.release();
    let mut ended = Vec::new();
    for job in &jobs {
        eventually("it is done", async || show(job).await["state"] == "done").await;
        ended.push((show(job).await["ended_ms"].as_u64().unwrap(), ended.len()));
    }
    ended.sort_unstable();
    let places: Vec<_> = ended.iter().map(|(_, place)| *place).collect();
    assert!(places[..3].iter().all(|place| *place >= 3), "interactive ones first: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_counted_by_themselves_and_not_as_uploads() {
    let stub = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub).arg("--workers=1"));
    let mut jobs = Vec::new();
    for tag in 40..43 {
        jobs.push(accepted(&node.http, "", &[], clip(tag)).await);
    }
    let held = async |state: &str| node.metric(&format!("starling_held_jobs{{state=\"{state}\"}}")).await;
    eventually("two run and one waits", async || (held("running").await, held("queued").await) == (2, 1))
        .await;
    let cancelled = node.http.send(Method::DELETE, &jobs[2], &[], Bytes::new()).await.unwrap();
    assert_eq!(cancelled.json()["state"], "cancelled");
    stub.release();
    for job in &jobs[..2] {
        node.http.job_in_state(job, "done").await;
    }
    assert_eq!((held("running").await, held("queued").await), (0, 0));
    let text = String::from_utf8(node.http.get("/metrics").await.body.to_vec()).unwrap();
    let figure = |name: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    for (state, count) in [("done", 2.0), ("cancelled", 1.0), ("failed", 0.0)] {
        assert_eq!(figure(&format!("starling_ended_jobs_total{{state=\"{state}\"}}")), Some(count), "{text}");
        let duration = format!("starling_job_duration_seconds_count{{state=\"{state}\"}}");
        assert_eq!(figure(&duration), Some(count), "{text}");
    }
    assert!(text.contains("starling_job_duration_seconds_bucket{le=\"86400.0\",state=\"done\"} 2"), "{text}");
    // Neither as an upload that was answered nor in its time: a film would make every alert of slow uploads fire.
    assert!(!text.contains("starling_uploads_total{"), "{text}");
    assert_eq!(figure("starling_upload_duration_seconds_count"), Some(0.0), "{text}");
    assert_eq!(figure("starling_cache_requests_total{cache=\"miss\"}"), Some(2.0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_dies_is_done_elsewhere_and_is_not_begun_anew() {
    let stub = crawling();
    let mut cluster = Cluster::start_with(&["FRA", "IAD", "FRA"], |options| {
        options.tools(&stub).arg("--policy=round-robin").arg("--workers=1")
    })
    .await;
    // Turns: here, then at the second node, which keeps neither: those of the same zone do.
    let first = accepted(&cluster.nodes[0].http, "", &[], clip(50)).await;
    at_a_quarter(&cluster.nodes[0].http, &first, ("node1", "node1/FRA")).await;
    let job = accepted(&cluster.nodes[0].http, "", &[], clip(51)).await;
    at_a_quarter(&cluster.nodes[2].http, &job, ("node2", "node1/FRA -> node2/IAD")).await;
    let kept_at = cluster.nodes[2].http.json(&job).await["kept_at"].clone();
    assert_eq!(kept_at, serde_json::json!(["node1", "node3"]));
    cluster.nodes[1].kill();
    let mut worker = Value::Null;
    eventually("another node has it", async || {
        worker = cluster.nodes[2].http.json(&job).await["progress"]["parts"][0]["worker"].clone();
        worker == "node1" || worker == "node3"
    })
    .await;
    stub.release();
    let done = cluster.nodes[2].http.job_in_state(&job, "done").await;
    let output = &done["outputs"][0];
    assert!(output["served_by"] != "node2", "{done}");
    cluster.nodes[2].http.get(&format!("{job}/output")).await.assert_body_is(&output["sha256"]);
    // Its node lived all the while: to it that is one try, and none was interrupted.
    assert_eq!((&done["begun"], &done["interrupted"]), (&Value::from(1), &Value::from(0)), "{done}");
    cluster.nodes[0].http.job_in_state(&first, "done").await;
    let mut transcodes = 0;
    for node in [&cluster.nodes[0], &cluster.nodes[2]] {
        transcodes += node.metric("starling_transcodes_total").await;
    }
    assert_eq!(transcodes, 2, "each once by those that live");
}
