//! One upload followed over two nodes by its trace.

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use crate::support::{Answer, Clip, Cluster, Node};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn clip(tag: u32) -> Bytes {
    Clip { tag, ..Clip::default() }.make()
}

async fn upload(node: &Node, path: &str, traceparent: &str, clip: Bytes) -> Answer {
    node.http.upload_with(path, &[("traceparent", traceparent)], clip).await
}

/// The events of jobs and workers that a node has told so far.
async fn events(node: &Node) -> Vec<Value> {
    let text = node.http.get("/events?from=oldest&follow=0&kind=job,work").await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn an_uploads_trace_goes_with_it_to_the_peer() {
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin")).await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    // The second of a client leaves.
    near.http.upload(clip(1)).await.assert_video();
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer = upload(near, "/upload", &traceparent, clip(2)).await;
    answer.assert_video();
    assert_eq!((answer.header("x-served-by"), answer.header("x-request-id")), ("node2", TRACE));
    let of_trace = |line: &Value| line["trace_id"] == TRACE;
    let served = near.logged("upload served", of_trace).await;
    let done = far.logged("job done for a peer", of_trace).await;
    let of_video = starling::content::ContentId::of(&clip(2)).to_string();
    assert_eq!((&served["content"], &done["content"]), (&of_video.as_str().into(), &served["content"]));
    assert!(served["client"].is_string() && served["client"] == done["client"], "{served} {done}");
    for (node, names) in
        [(near, ["ranked", "offered", "upload_served"]), (far, ["offer_accepted", "begun", "made"])]
    {
        let events = events(node).await;
        for name in names {
            let told = events.iter().filter(|event| event["event"] == name && of_trace(event)).count();
            assert_eq!(told, 1, "{}: {name} in {events:?}", node.options.name);
        }
    }
    // The first upload has a trace of its own.
    let first = near.logged("upload served", |line| line["trace_id"] != TRACE).await;
    assert!(first["trace_id"].is_string(), "{first}");
}

#[tokio::test]
async fn each_answer_names_its_trace_and_a_job_keeps_that_of_its_request() {
    let cluster = Cluster::start(&["FRA"]).await;
    let node = &cluster.nodes[0];
    let mut seen = vec![TRACE.to_owned()];
    for (path, headers) in [
        ("/health", &[][..]),
        ("/nothing", &[]),
        // No trace has this name, so it is as if none were given.
        ("/members", &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")]),
        ("/members", &[("traceparent", "4bf92f3577b34da6a3ce929d0e0e4736")]),
    ] {
        let answer = node.http.send(Method::GET, path, headers, Bytes::new()).await.unwrap();
        let id = answer.header("x-request-id").to_owned();
        assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{path}: {id:?}");
        assert!(!seen.contains(&id), "{path}: {id} was there before");
        seen.push(id);
    }
    let answer = upload(node, "/jobs", &format!("00-{TRACE}-00f067aa0ba902b7-00"), clip(3)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-request-id")), (202, TRACE));
    for message in ["job accepted", "upload served", "job ended"] {
        node.logged(message, |line| line["trace_id"] == TRACE && line["client"].is_string()).await;
    }
}
