//! `/jobs`: accepted, kept through a crash, watched, fetched and cancelled, at any node.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Answer, Clip, Cluster, Http, Node, NodeOptions, Stub, eventually};

fn clip(tag: u32) -> Bytes {
    Clip { tag, audio: false, ..Clip::default() }.make()
}

async fn post(http: &Http, query: &str, headers: &[(&str, &str)], video: Bytes) -> Answer {
    http.upload_with(&format!("/jobs{query}"), headers, video).await
}

/// The path of a job that was accepted just now.
#[track_caller]
fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&answer.body));
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("/jobs/{}", answer.json()["id"].as_str().unwrap()));
    location
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_watched_and_fetched_at_any_node() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let (own, other) = (&cluster.nodes[0].http, &cluster.nodes[1].http);
    let video = clip(1);
    let answer =
        own.upload_with("/upload?profile=360p,poster", &[("prefer", "respond-async")], video.clone()).await;
    let job = accepted(&answer);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    // Told to its end: each event is the whole job.
    let told = other.get(&format!("{job}/events")).await;
    assert_eq!(told.header("content-type"), "text/event-stream");
    let told = String::from_utf8(told.body.to_vec()).unwrap();
    let last = told.rsplit("data: ").next().unwrap().trim();
    let done: Value = serde_json::from_str(last).unwrap();
    assert!(told.contains("event: done\n") && done["state"] == "done", "{told}");
    assert_eq!(done, other.json(&job).await);
    let outputs = done["outputs"].as_array().unwrap();
    assert_eq!(outputs.iter().map(|output| &output["profile"]).collect::<Vec<_>>(), ["360p", "poster"]);
    // The result, whole and in part, from either node.
    let href = outputs[0]["href"].as_str().unwrap();
    let whole = own.get(href).await;
    assert_eq!((whole.status, whole.header("content-type")), (StatusCode::OK, "video/mp4"));
    let range = [("range", "bytes=10-19")];
    for http in [own, other] {
        assert_eq!(http.get(href).await.body, whole.body);
        let part = http.send(Method::GET, href, &range, Bytes::new()).await.unwrap();
        assert_eq!((part.status, &part.body), (StatusCode::PARTIAL_CONTENT, &whole.body.slice(10..20)));
    }
    assert!(whole.header("content-disposition").contains("clip.360p.mp4"), "{:?}", whole.headers);
    other.get(&format!("{job}/output")).await.assert_problem(404, "no-output");
    // The same again is the same job, and so is another request of the same name; another video under that name is refused.
    let again = post(own, "?profile=360p,poster", &[], video.clone()).await;
    assert_eq!((again.status, again.header("location")), (StatusCode::OK, job.as_str()));
    let key = [("idempotency-key", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")];
    let stream = Clip { tag: 2, audio: false, container: "ts", ..Clip::default() }.make();
    let named = accepted(&post(own, "", &key, stream.slice(..stream.len() - 100)).await);
    post(own, "", &key, clip(3)).await.assert_problem(422, "idempotency-key-reused");
    // Both are listed at either node, the newest first; a page at a time.
    let list = other.json("/jobs?limit=1").await;
    let newest = list["jobs"][0]["id"].as_str().unwrap();
    assert_eq!(format!("/jobs/{newest}"), named);
    let next = other.json(&format!("/jobs?after={newest}")).await;
    assert_eq!(format!("/jobs/{}", next["jobs"][0]["id"].as_str().unwrap()), job);
    // Deleted, it is gone with its results.
    let deleted = other.send(Method::DELETE, &job, &[], Bytes::new()).await.unwrap();
    assert_eq!(deleted.status, StatusCode::OK);
    other.get(&job).await.assert_problem(404, "not-found");
    other.get("/jobs/xyz").await.assert_problem(400, "bad-request");
    // By the command line: what was lost of the video is told, and that results are gone with their job.
    other.job_in_state(&named, "done").await;
    let (at, id) = (cluster.nodes[1].http_address.clone(), named.trim_start_matches("/jobs/").to_owned());
    let told = |verb| job_command(at.clone(), verb, id.clone());
    let shown = told("show").await.unwrap();
    assert!(shown.contains(" done\n") && shown.contains("damage in the input: "), "{shown}");
    assert_eq!(told("cancel").await.unwrap(), format!("{id} forgotten; it was done\n"));
    assert!(told("cancel").await.unwrap_err().contains("[404]"));
}

/// `starling job VERB ID`, asked of this node: what it prints, or what it complains of.
async fn job_command(at: String, verb: &'static str, id: String) -> Result<String, String> {
    let run = move || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_starling"));
        command.args(["job", verb, &id]).arg(format!("--node={at}")).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_jobs_survive_kill_9() {
    let stub = Stub::holding();
    let options = NodeOptions::new("node1", "FRA").tools(&stub).arg("--workers=1").arg("--queue=1");
    let mut node = Node::start(options);
    let mut jobs = Vec::new();
    for tag in 10..16 {
        jobs.push(accepted(&post(&node.http, "", &[("x-priority", "batch")], clip(tag)).await));
    }
    let refused =
        post(&node.http, "?strict=1", &[], Bytes::from_static(b"no video at all, and long enough")).await;
    refused.assert_problem(415, "not-a-video");
    node.http.job_in_state(&jobs[0], "running").await;
    node.kill_and_restart();
    // One is not wanted any more: at work or not.
    let cancelled = node.http.send(Method::DELETE, &jobs[5], &[], Bytes::new()).await.unwrap();
    assert_eq!(cancelled.json()["state"], "cancelled");
    stub.release();
    for job in &jobs[..5] {
        let done = node.http.job_in_state(job, "done").await;
        node.http.get(&format!("{job}/output")).await.assert_body_is(&done["outputs"][0]["sha256"]);
    }
    let first = node.http.json(&jobs[0]).await;
    assert_eq!(first["interrupted"], 1, "{first}");
    assert_eq!(node.metric("starling_transcodes_total").await, 5, "none is done twice");
    node.http.get(&format!("{}/output", jobs[5])).await.assert_problem(404, "no-output");
    // What has come to its end is there after another crash, its results with it, and nothing else is left on the disk.
    node.kill_and_restart();
    let done = node.http.job_in_state(&jobs[0], "done").await;
    node.http.get(&format!("{}/output", jobs[0])).await.assert_body_is(&done["outputs"][0]["sha256"]);
    let list = node.http.json("/jobs?state=cancelled").await;
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1, "{list}");
    let kept = node.kept_files();
    let inputs = kept.iter().filter(|name| name.contains(".input")).count();
    assert_eq!(
        (kept.len(), inputs),
        (1 + 5 + 1, 1),
        "the journal, the results, and what may be tried again: {kept:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_made_fails_as_an_upload_would_and_may_be_tried_again() {
    let stub = Stub::new("8.1");
    let node = Node::start(NodeOptions::new("node1", "FRA").tools(&stub));
    stub.plays("echo 'in: Invalid data found when processing input' >&2; exit 1");
    let video = clip(20);
    let job = accepted(&post(&node.http, "", &[], video.clone()).await);
    let failed = node.http.job_in_state(&job, "failed").await;
    assert_eq!(
        (&failed["problem"]["status"], failed["outputs"].is_null()),
        (&Value::from(422), true),
        "{failed}"
    );
    node.http.get(&format!("{job}/output")).await.assert_problem(404, "no-output");
    stub.plays_itself();
    let again = accepted(&post(&node.http, "", &[], video).await);
    assert_ne!(again, job);
    node.http.job_in_state(&again, "done").await;
}

/// What the names of a job's files begin with.
fn number_of(job: &str) -> &str {
    job.trim_start_matches("/jobs/").split('-').next().unwrap()
}

/// The names of the nodes that keep a job.
fn kept_at(job: &Value) -> Vec<&str> {
    job["kept_at"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_second_node_dies_is_kept_by_another_one_while_it_runs() {
    let stub = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "FRA", "IAD"], |options| options.tools(&stub)).await;
    let answer = post(&cluster.nodes[0].http, "", &[], clip(33)).await;
    assert_eq!(kept_at(&answer.json()), ["node1", "node2"]);
    let job = accepted(&answer);
    cluster.nodes[0].http.job_in_state(&job, "running").await;
    // The second node knows that, too: from now on nothing changes of the job that it would have to be told.
    let rank = serde_json::json!({ "over": false, "term": 0, "version": 0, "holder": "node1" });
    let ask = serde_json::json!({ "ask": "compare", "held": [{ "number": number_of(&job), "rank": rank }] });
    eventually("its copy says so", async || {
        let (json, body) = ([("content-type", "application/json")], Bytes::from(ask.to_string()));
        let answer = cluster.nodes[1].http.send(Method::POST, "/internal/copies", &json, body).await.unwrap();
        answer.json()["newer"][0]["stage"].get("running").is_some()
    })
    .await;
    cluster.nodes[1].kill();
    eventually("another node keeps it", async || {
        kept_at(&cluster.nodes[0].http.json(&job).await) == ["node1", "node3"]
    })
    .await;
    // The one that comes back has no part in it.
    cluster.nodes[1].kill_and_restart();
    eventually("it is let go", async || {
        cluster.nodes[1].kept_files().iter().all(|name| !name.contains("input"))
    })
    .await;
    stub.release();
    cluster.nodes[1].http.job_in_state(&job, "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_death_of_the_node_that_took_it() {
    let stub = Stub::holding();
    let with = |options: NodeOptions| options.tools(&stub);
    let mut nodes = vec![Node::start(with(NodeOptions::new("node1", "FRA")))];
    // While there is no other node, the job says so; it is copied as soon as there is one.
    let key = [("idempotency-key", "k1")];
    let answer = post(&nodes[0].http, "?profile=360p,poster", &key, clip(30)).await;
    let job = accepted(&answer);
    assert_eq!(kept_at(&answer.json()), ["node1"]);
    nodes.push(Node::start(with(NodeOptions::new("node2", "FRA").join(&nodes[0].gossip))));
    eventually("there is a copy", async || kept_at(&nodes[0].http.json(&job).await) == ["node1", "node2"])
        .await;
    // With a second node there is a copy before the client is told.
    let other = post(&nodes[0].http, "", &[], clip(31)).await;
    assert_eq!(kept_at(&other.json()), ["node1", "node2"]);
    let other = accepted(&other);
    nodes.push(Node::start(with(NodeOptions::new("node3", "IAD").join(&nodes[0].gossip))));
    for node in &nodes {
        node.logged("converged", |line| line["members"] == 3).await;
    }
    nodes[2].http.job_in_state(&job, "running").await;
    nodes[0].kill();
    // Whichever node is asked, and also before the job has another holder.
    let [second, third] = [&nodes[1].http, &nodes[2].http];
    eventually("the copy answers", async || third.get(&job).await.status == StatusCode::OK).await;
    eventually("the second node holds it", async || third.json(&job).await["node"] == "node2").await;
    let again = post(second, "?profile=360p,poster", &key, clip(30)).await;
    assert_eq!((again.header("location"), again.status), (job.as_str(), StatusCode::ACCEPTED));
    let cancelled = third.send(Method::DELETE, &other, &[], Bytes::new()).await.unwrap();
    assert_eq!(cancelled.json()["state"], "cancelled");
    stub.release();
    let done = third.job_in_state(&job, "done").await;
    assert_eq!((&done["interrupted"], &done["node"]), (&Value::from(1), &Value::from("node2")), "{done}");
    for output in done["outputs"].as_array().unwrap() {
        third.get(output["href"].as_str().unwrap()).await.assert_body_is(&output["sha256"]);
    }
    // A new second node has it, too, by now; the first one comes back and begins nothing.
    eventually("there is a copy again", async || kept_at(&third.json(&job).await).len() == 2).await;
    let transcodes = nodes[1].metric("starling_transcodes_total").await
        + nodes[2].metric("starling_transcodes_total").await;
    let mut first = nodes.remove(0);
    first.kill_and_restart();
    eventually("it is known", async || first.http.json(&job).await["state"] == "done").await;
    let (job_number, other_number) = (number_of(&job), number_of(&other));
    eventually("it has no job to begin", async || {
        // The other one was cancelled, and may be tried again.
        let inputs: Vec<_> = first.kept_files().into_iter().filter(|name| name.contains(".input")).collect();
        inputs.iter().all(|name| !name.starts_with(job_number) && name.starts_with(other_number))
    })
    .await;
    assert_eq!(first.metric("starling_transcodes_total").await, 0);
    let after = nodes[0].metric("starling_transcodes_total").await
        + nodes[1].metric("starling_transcodes_total").await;
    assert_eq!(after, transcodes, "none is done twice");
    let list = first.http.json("/jobs").await;
    assert_eq!(list["jobs"].as_array().unwrap().len(), 2, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_soon_does_its_jobs_and_results_are_at_two_nodes() {
    let stub = Stub::holding();
    let mut cluster = Cluster::start_with(&["FRA", "FRA"], |options| options.tools(&stub)).await;
    let answer = post(&cluster.nodes[0].http, "", &[], clip(40)).await;
    let job = accepted(&answer);
    assert_eq!(kept_at(&answer.json()), ["node1", "node2"]);
    cluster.nodes[1].http.job_in_state(&job, "running").await;
    cluster.nodes[0].kill_and_restart();
    stub.release();
    let done = cluster.nodes[0].http.job_in_state(&job, "done").await;
    assert_eq!((&done["node"], &done["interrupted"]), (&Value::from("node1"), &Value::from(1)), "{done}");
    assert_eq!(cluster.nodes[1].count("job taken over"), 0);
    eventually("the second node has the result", async || {
        // The video goes when that is written down.
        let kept = cluster.nodes[1].kept_files();
        let has = |end: &str| kept.iter().any(|name| name.ends_with(end));
        has(".output") && !has(".input")
    })
    .await;
    cluster.nodes[0].kill();
    let second = &cluster.nodes[1].http;
    second.get(&format!("{job}/output")).await.assert_body_is(&done["outputs"][0]["sha256"]);
}
