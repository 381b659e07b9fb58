//! `POST /jobs/{id}/retry`: what failed or was cancelled is done again, asked of any node.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Answer, Clip, Cluster, Http, Node, NodeOptions, Stub, eventually};

async fn accepted(http: &Http, tag: u32) -> String {
    let video = Clip { tag, audio: false, ..Clip::default() }.make();
    let answer = http.upload_with("/jobs", &[], video).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    answer.header("location").to_owned()
}

async fn retry(http: &Http, job: &str, headers: &[(&str, &str)]) -> Answer {
    http.send(Method::POST, &format!("{job}/retry"), headers, Bytes::new()).await.unwrap()
}

async fn delete(http: &Http, job: &str) -> Value {
    http.send(Method::DELETE, job, &[], Bytes::new()).await.unwrap().json()
}

/// `starling job retry ID`, asked of this node: its exit status, and what it says.
async fn retry_command(at: &str, job: &str) -> (Option<i32>, String, String) {
    let (at, id) = (at.to_owned(), job.trim_start_matches("/jobs/").to_owned());
    let run = move || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_starling"));
        command.args(["job", "retry", &id]).arg(format!("--node={at}")).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_cancelled_is_done_again_at_another_node() {
    let stub = Stub::holding();
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.tools(&stub)).await;
    let [first, second] = [&cluster.nodes[0].http, &cluster.nodes[1].http];
    let job = accepted(first, 1).await;
    retry(second, &job, &[]).await.assert_problem(409, "job-not-over");
    assert_eq!(delete(second, &job).await["state"], "cancelled");
    let answer = retry(second, &job, &[("x-deadline-ms", "60000")]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    let again = answer.header("location").to_owned();
    assert_ne!(again, job);
    let id = job.trim_start_matches("/jobs/");
    assert_eq!(
        (&answer.json()["retry_of"], &answer.json()["kept_at"][1]),
        (&Value::from(id), &Value::from("node2"))
    );
    // Asked once more, of either node: the same job.
    for http in [first, second] {
        let same = retry(http, &job, &[]).await;
        assert_eq!((same.status, same.header("location")), (StatusCode::ACCEPTED, again.as_str()));
    }
    stub.release();
    let done = second.job_in_state(&again, "done").await;
    second.get(&format!("{again}/output")).await.assert_body_is(&done["outputs"][0]["sha256"]);
    assert_eq!(
        (&done["retry_of"], &first.json(&job).await["state"]),
        (&Value::from(id), &Value::from("cancelled"))
    );
    assert_eq!(retry(first, &job, &[]).await.status, StatusCode::OK, "the same, and it is done");
    let refused = retry(second, &again, &[]).await;
    refused.assert_problem(409, "job-done");
    assert!(refused.json()["detail"].as_str().unwrap().contains(&format!("{again}/output/360p")));
    let [one, other] = [0, 1].map(|node: usize| &cluster.nodes[node]);
    let transcodes =
        one.metric("starling_transcodes_total").await + other.metric("starling_transcodes_total").await;
    assert_eq!(transcodes, 1, "none is done twice");
    // By the command line.
    let at = &cluster.nodes[1].http_address;
    let (code, stdout, stderr) = retry_command(at, &again).await;
    assert!(code == Some(1) && stdout.is_empty() && stderr.contains("[409]"), "{code:?} {stdout} {stderr}");
    retry(first, "/jobs/00000000000000000000000000000000-node1", &[]).await.assert_problem(404, "not-found");
    retry(first, "/jobs/x", &[]).await.assert_problem(400, "bad-request");
    retry(first, &job, &[("x-deadline-ms", "0")]).await.assert_problem(400, "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_done_again_after_the_death_of_the_node_that_held_it() {
    let stub = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.tools(&stub)).await;
    let job = accepted(&cluster.nodes[0].http, 5).await;
    assert_eq!(delete(&cluster.nodes[0].http, &job).await["state"], "cancelled");
    // Its copy knows by now.
    cluster.nodes[0].kill();
    stub.release();
    let second = &cluster.nodes[1].http;
    let mut again = None;
    eventually("it is accepted again", async || {
        let answer = retry(second, &job, &[]).await;
        again = (answer.status == StatusCode::ACCEPTED).then(|| answer.header("location").to_owned());
        again.is_some()
    })
    .await;
    let again = again.unwrap();
    assert!(again.ends_with("-node2"), "{again}");
    second.job_in_state(&again, "done").await;
    // The first one comes back, and begins nothing.
    cluster.nodes[0].kill_and_restart();
    assert_eq!(cluster.nodes[0].http.job_in_state(&again, "done").await["node"], "node2");
    assert_eq!(cluster.nodes[0].metric("starling_transcodes_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_done_again_after_kill_9_while_there_is_room_for_its_video() {
    let stub = Stub::new("8.1");
    let mut node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub).arg("--cache-bytes=1MB"));
    stub.plays("echo 'in: Invalid data found when processing input' >&2; exit 1");
    let job = accepted(&node.http, 10).await;
    node.http.job_in_state(&job, "failed").await;
    node.kill_and_restart();
    stub.plays_itself();
    let (code, stdout, stderr) = retry_command(&node.http_address, &job).await;
    let id = job.trim_start_matches("/jobs/");
    let (again, _) = stdout.split_once(' ').unwrap_or_else(|| panic!("{code:?} {stderr}"));
    assert!(code == Some(0) && stdout.ends_with(&format!(", does {id} again\n")), "{stdout}");
    node.http.job_in_state(&format!("/jobs/{again}"), "done").await;
    assert!(node.kept_files().iter().all(|name| !name.starts_with(&again[..32]) || !name.contains(".input")));
    // Beyond a quarter of the cache's budget no video is kept: it is to be sent again.
    stub.plays("echo 'in: Invalid data found when processing input' >&2; exit 1");
    let video = Clip { tag: 11, audio: false, ..Clip::default() }.make();
    let mut padded = video.to_vec();
    padded.resize(300_000, 0);
    let answer = node.http.upload_with("/jobs", &[], padded.into()).await;
    let big = answer.header("location").to_owned();
    node.http.job_in_state(&big, "failed").await;
    eventually("its video is gone", async || {
        let number = &big.trim_start_matches("/jobs/")[..32];
        node.kept_files().iter().all(|name| !name.starts_with(number))
    })
    .await;
    let refused = retry(&node.http, &big, &[]).await;
    refused.assert_problem(410, "video-gone");
    assert!(refused.json()["detail"].as_str().unwrap().contains("send it again"));
}
