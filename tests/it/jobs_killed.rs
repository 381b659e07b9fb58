//! Kill -9 of a node with accepted jobs, at random moments: each of them comes to an end, once.
//!
//! `STARLING_KILL_ROUNDS` and `STARLING_KILL_JOBS` say how often and with how many; in CI a few. Each has a webhook, whose receiver is told. docs/EXPERIMENTS.md has what became of
//! more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::support::{Clip, Cluster, Http, Node, eventually};
use crate::webhooks::{Receiver, secret_file, with_secrets};

/// Longest time after the last upload that is waited for at which a node is killed: the next one may be on its way, and some jobs be done.
const KILL_WITHIN: Duration = Duration::from_millis(500);

fn from_env(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Uploads jobs one after the other until there are enough, or the node is gone. The paths of those that were accepted.
async fn take_jobs(
    http: Http,
    webhook: String,
    tags: std::ops::Range<u32>,
    count: Arc<AtomicU32>,
) -> Vec<String> {
    let mut accepted = Vec::new();
    for tag in tags {
        let video = Clip { tag, audio: false, ..Clip::default() }.make();
        let headers =
            [("content-type", "video/mp4"), ("x-priority", "batch"), ("x-webhook", webhook.as_str())];
        let Ok(answer) = http.send(hyper::Method::POST, "/jobs?profile=paper", &headers, video).await else {
            break;
        };
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
        accepted.push(answer.header("location").to_owned());
        count.fetch_add(1, Ordering::Relaxed);
    }
    accepted
}

/// How often these nodes have said that a job came to its end.
fn ends(nodes: &[Node], job: &str) -> usize {
    let id = job.trim_start_matches("/jobs/");
    nodes.iter().map(|node| node.count_with("job ended", "job", id)).sum()
}

/// Its receiver is told how a job ended; where it is told twice, that is one message by its id.
async fn told(receiver: &Receiver, job: &str, state: &str) {
    let id = job.trim_start_matches("/jobs/");
    let kind = format!("job.{state}");
    eventually(&format!("a message about {id}"), async || {
        receiver.about(id).iter().any(|(_, message)| message["type"] == kind.as_str())
    })
    .await;
    let number = id.split('-').next().unwrap();
    for (message, _) in receiver.about(id) {
        assert_eq!(message, format!("msg_{number}"), "{id}");
    }
}

/// One round. How its jobs ended, and how many of them ended twice, each time with a death between.
async fn round(
    cluster: &mut Cluster,
    receiver: &Receiver,
    (number, jobs): (usize, u32),
    random: &mut StdRng,
) -> (BTreeMap<String, usize>, usize) {
    let victim = random.random_range(0..cluster.nodes.len());
    // The first two rounds are one of each kind.
    let restarts = if number < 2 { number == 0 } else { random.random() };
    let tags = 1000 + number as u32 * jobs..1000 + (number as u32 + 1) * jobs;
    let began = Instant::now();
    let http = Http::new(&cluster.nodes[victim].http_address);
    let count = Arc::new(AtomicU32::new(0));
    let taking = tokio::spawn(take_jobs(http, receiver.url.clone(), tags, Arc::clone(&count)));
    // When all are accepted, or in the midst of it; and some time between two answers.
    let waited_for = if random.random() { jobs } else { random.random_range(1..=jobs) };
    eventually("so many jobs are accepted", async || count.load(Ordering::Relaxed) >= waited_for).await;
    tokio::time::sleep(KILL_WITHIN.mul_f64(random.random())).await;
    cluster.nodes[victim].kill();
    let accepted = taking.await.unwrap();
    assert!(accepted.len() >= waited_for as usize, "{accepted:?}");
    let before: BTreeMap<_, _> =
        accepted.iter().map(|job| (job.clone(), ends(&cluster.nodes[victim..=victim], job))).collect();
    if restarts {
        cluster.nodes[victim].kill_and_restart();
    }
    let asked = (victim + 1) % cluster.nodes.len();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for job in &accepted {
        let mut found = Value::Null;
        eventually(&format!("{job} ends"), async || {
            let answer = cluster.nodes[asked].http.get(job).await;
            found = if answer.status == StatusCode::OK { answer.json() } else { Value::Null };
            matches!(found["state"].as_str(), Some("done" | "failed"))
        })
        .await;
        let state = found["state"].as_str().unwrap();
        if state == "done" {
            let output = cluster.nodes[asked].http.get(&format!("{job}/output")).await;
            output.assert_body_is(&found["outputs"][0]["sha256"]);
        } else {
            assert!(found["problem"]["detail"].is_string(), "it says why: {found}");
        }
        told(receiver, job, state).await;
        *states.entry(state.to_owned()).or_default() += 1;
    }
    if !restarts {
        cluster.nodes[victim].kill_and_restart();
    }
    let mut twice = 0;
    for (job, before) in &before {
        // The dead node's log is another process's than that of the one which came after it.
        let after = ends(&cluster.nodes, job);
        assert!(before + after >= 1, "{job} has ended");
        assert!(after <= 1, "{job} has ended {after} times with no death between");
        twice += usize::from(before + after > 1);
    }
    eprintln!(
        "round {number}: node{} {} with {} jobs accepted, {states:?}, {twice} ended twice, {:.1} s",
        victim + 1,
        if restarts { "restarted" } else { "dead" },
        accepted.len(),
        began.elapsed().as_secs_f64()
    );
    (states, twice)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_job_is_lost_by_kill_9_and_none_is_done_twice_without_a_death() {
    let (rounds, jobs) = (from_env("STARLING_KILL_ROUNDS", 2), from_env("STARLING_KILL_JOBS", 6));
    let seed = from_env("STARLING_KILL_SEED", rand::random::<u16>().into()) as u64;
    eprintln!("STARLING_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (receiver, secrets) = (Receiver::start(&[]).await, secret_file());
    let allow = |options| with_secrets(options, &secrets).arg("--webhook-allow-private");
    let mut cluster = Cluster::start_with(&["FRA", "FRA", "IAD"], allow).await;
    let (mut accepted, mut twice) = (BTreeMap::<String, usize>::new(), 0);
    for number in 0..rounds {
        let (states, again) = round(&mut cluster, &receiver, (number, jobs as u32), &mut random).await;
        for (state, count) in states {
            *accepted.entry(state).or_default() += count;
        }
        twice += again;
    }
    eprintln!("{rounds} rounds: {accepted:?}, {twice} ended twice, each with a death between");
}
