//! Lists of jobs, a page at a time, over HTTP and by the command line; and a job's output, as any result is fetched.

use std::process::{Command, Output};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Clip, Cluster, Node, NodeOptions, Stub};

async fn accepted(node: &Node, tag: u32) -> String {
    let clip = Clip { tag, audio: false, ..Clip::default() }.make();
    let answer = node.http.upload_with("/jobs", &[], clip).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// `starling job` with these arguments, asked of this node.
async fn job_command(node: &Node, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.arg("job").args(args).arg(format!("--node={}", node.http_address)).env_remove("STARLING_NODE");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The first column of a table's lines, without its head.
fn first_column(output: &Output) -> Vec<&str> {
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout).lines().skip(1);
    lines.map(|line| line.split_whitespace().next().unwrap()).collect()
}

/// A node with three jobs that failed and two that are done: their ids, the newest first.
async fn node_with_five() -> (Node, Stub, Vec<String>) {
    let stub = Stub::new("8.1");
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub));
    stub.plays("echo 'in: Invalid data found when processing input' >&2; exit 1");
    let mut ids = Vec::new();
    for tag in 0..5 {
        if tag == 3 {
            stub.plays_itself();
        }
        let id = accepted(&node, tag).await;
        node.http.job_in_state(&format!("/jobs/{id}"), if tag < 3 { "failed" } else { "done" }).await;
        ids.insert(0, id);
    }
    (node, stub, ids)
}

/// A node that can't be asked is named for as long as it is known, and the copies of its jobs stand for them at once.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_node_that_is_gone_are_listed_by_their_copies_and_the_node_is_named() {
    let stub = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "FRA", "FRA"], |options| options.tools(&stub)).await;
    cluster.converged(3).await;
    let id = accepted(&cluster.nodes[0], 1).await;
    let job = cluster.nodes[0].http.json(&format!("/jobs/{id}")).await;
    let second = job["kept_at"][1].as_str().unwrap().to_owned();
    let keeper = cluster.nodes.iter().position(|node| node.options.name == second).unwrap();
    cluster.nodes[0].signal(Signal::STOP);
    let listed = async |cluster: &Cluster, at: usize| {
        let page = cluster.nodes[at].http.json("/jobs").await;
        let ids: Vec<_> = page["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
        (ids, page["missing"].clone())
    };
    let expected = (vec![Value::from(id)], serde_json::json!(["node1"]));
    assert_eq!(listed(&cluster, keeper).await, expected, "frozen");
    cluster.nodes[0].kill();
    for at in [1, 2] {
        cluster.nodes[at].logged("failed", |line| line["member"] == "node1").await;
        assert_eq!(listed(&cluster, at).await, expected, "dead");
    }
    stub.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_a_page_at_a_time_each_once_and_the_newest_first() {
    let (node, _stub, ids) = node_with_five().await;
    for (state, all) in [("", &ids[..]), ("&state=failed", &ids[2..]), ("&state=done", &ids[..2])] {
        for limit in [1, 2, 3, 5, 200] {
            let (mut got, mut pages, mut next) = (Vec::new(), 0, Some(String::new()));
            while let Some(after) = next {
                let page = node.http.json(&format!("/jobs?limit={limit}{state}{after}")).await;
                assert!(page["missing"].is_null(), "{page}");
                let jobs = page["jobs"].as_array().unwrap();
                got.extend(jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
                next = page["next"].as_str().map(|id| format!("&after={id}"));
                assert!(next.is_none() || jobs.len() == limit, "a page that is not full is the last: {page}");
                pages += 1;
            }
            assert_eq!((&got[..], pages), (all, all.len().div_ceil(limit)), "{state} by {limit}");
        }
    }
    let none = node.http.json("/jobs?state=running").await;
    assert_eq!(none, serde_json::json!({ "jobs": [] }));
    assert_eq!(node.http.json("/jobs").await["jobs"].as_array().unwrap().len(), 5, "fifty fit on a page");
    for (bad, told) in [
        ("limit=0", "give 1 to 200"),
        ("limit=201", "give 1 to 200"),
        ("limit=many", "give 1 to 200"),
        ("state=asleep", "there are queued, running, done, failed, cancelled"),
        ("webhook=lost", "there are pending, delivered, dead"),
        ("after=first", ""),
        ("page=2", "there are state, webhook, after and limit alone"),
    ] {
        let refused = node.http.get(&format!("/jobs?{bad}")).await;
        refused.assert_problem(400, "bad-request");
        let problem = refused.json();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{bad}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_pages_and_watches_to_a_bad_end() {
    let (node, _stub, ids) = node_with_five().await;
    let page = job_command(&node, &["list", "--limit", "2"]).await;
    assert_eq!(first_column(&page), ids[..2]);
    assert!(text(&page.stdout).starts_with("JOB "), "{page:?}");
    assert_eq!(text(&page.stderr), format!("there are more: --after {}\n", ids[1]));
    let rest = job_command(&node, &["list", "--after", &ids[1]]).await;
    assert_eq!(
        (first_column(&rest), text(&rest.stderr)),
        (ids[2..].iter().map(String::as_str).collect(), "")
    );
    let failed = job_command(&node, &["list", "--state", "failed"]).await;
    assert_eq!(first_column(&failed), ids[2..]);
    assert!(text(&failed.stdout).contains("the video can't be used"), "it says why: {failed:?}");
    let dead = job_command(&node, &["list", "--webhook", "dead"]).await;
    assert!(first_column(&dead).is_empty(), "{dead:?}");
    let json = job_command(&node, &["list", "--limit", "1", "--json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["next"], &json["jobs"][0]["id"]),
        (&Value::from(ids[0].as_str()), &Value::from(ids[0].as_str()))
    );
    for wrong in [["--limit", "0"], ["--limit", "201"], ["--state", "asleep"]] {
        let refused = job_command(&node, &[&["list"], &wrong[..]].concat()).await;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
    // To its end, whichever that is.
    let done = job_command(&node, &["watch", &ids[0]]).await;
    assert!(done.status.success() && text(&done.stdout).contains(" done"), "{done:?}");
    let failed = job_command(&node, &["watch", &ids[4]]).await;
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(
        text(&failed.stdout).starts_with(&format!("{} failed the video can't be used", ids[4])),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_a_job_ends_in_failure_when_it_is_cancelled() {
    let stub = Stub::holding();
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub));
    let id = accepted(&node, 1).await;
    let path = format!("/jobs/{id}");
    node.http.job_in_state(&path, "running").await;
    let watches = ["watch", id.as_str()];
    let (watch, cancel) = tokio::join!(job_command(&node, &watches), async {
        node.http.send(Method::DELETE, &path, &[], Bytes::new()).await.unwrap()
    });
    assert_eq!(cancel.json()["state"], "cancelled");
    assert_eq!(watch.status.code(), Some(1), "{watch:?}");
    assert!(text(&watch.stdout).trim_end().ends_with(&format!("{id} cancelled")), "{watch:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_output_has_a_tag_and_a_digest_as_any_result() {
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let id = accepted(&node, 1).await;
    let done = node.http.job_in_state(&format!("/jobs/{id}"), "done").await;
    let sha256 = done["outputs"][0]["sha256"].as_str().unwrap();
    for path in [format!("/jobs/{id}/output"), format!("/jobs/{id}/output/360p")] {
        let ask = async |method: Method, headers: &[(&str, &str)]| {
            node.http.send(method, &path, headers, Bytes::new()).await.unwrap()
        };
        let whole = ask(Method::GET, &[]).await;
        whole.assert_body_is(&done["outputs"][0]["sha256"]);
        let (etag, digest) = (whole.header("etag").to_owned(), whole.header("repr-digest").to_owned());
        assert_eq!(etag, format!("\"{sha256}\""));
        let parsed = starling::content::parse_digest(&digest).map(|digest| digest.to_string());
        assert_eq!(parsed.as_deref(), Some(sha256), "{digest}");
        let head = ask(Method::HEAD, &[]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        for name in ["etag", "repr-digest", "content-length", "content-type"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
        let same = ask(Method::GET, &[("if-none-match", &etag)]).await;
        assert_eq!(
            (same.status, same.body.len(), same.header("etag")),
            (StatusCode::NOT_MODIFIED, 0, etag.as_str())
        );
        let other = ask(Method::GET, &[("if-none-match", "\"0\"")]).await;
        assert_eq!((other.status, other.body.len()), (StatusCode::OK, whole.body.len()));
        ask(Method::GET, &[("if-match", "\"0\"")]).await.assert_problem(412, "precondition-failed");
        // A part says of the whole what it is a part of; of another whole than the client's there is no part.
        let part = ask(Method::GET, &[("range", "bytes=-10"), ("if-range", &etag)]).await;
        assert_eq!((part.status, part.header("repr-digest")), (StatusCode::PARTIAL_CONTENT, digest.as_str()));
        assert_eq!(part.body, whole.body.slice(whole.body.len() - 10..));
        let other = ask(Method::GET, &[("range", "bytes=-10"), ("if-range", "\"0\"")]).await;
        assert_eq!((other.status, other.body.len()), (StatusCode::OK, whole.body.len()));
    }
}
