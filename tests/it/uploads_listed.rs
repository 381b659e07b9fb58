//! Uploads in parts beside their bytes: who sees which of them, what events tell of them, and that none holds a node's end back.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::access::Files;
use crate::support::{Answer, Http, Node, NodeOptions};

const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

/// Asks with a token.
struct Client<'a> {
    http: &'a Http,
    bearer: String,
}

impl<'a> Client<'a> {
    fn new(node: &'a Node, token: &str) -> Self {
        Self { http: &node.http, bearer: format!("Bearer {token}") }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let headers = [&[("authorization", self.bearer.as_str())], headers].concat();
        self.http.send(method, path, &headers, body).await.unwrap()
    }

    /// Begins an upload; its name.
    async fn begin(&self) -> String {
        let begun = self.ask(Method::POST, "/uploads", &[TUS, ("upload-length", "1000")], Bytes::new()).await;
        assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
        begun.header("location").strip_prefix("/uploads/").unwrap().to_owned()
    }

    async fn list(&self, query: &str) -> (Vec<String>, Value) {
        let answer = self.ask(Method::GET, &format!("/uploads{query}"), &[], Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = answer.json();
        let ids = answer["uploads"].as_array().unwrap().iter();
        (ids.map(|upload| upload["id"].as_str().unwrap().to_owned()).collect(), answer["next"].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_own_unfinished_uploads_at_any_node_and_an_administrator_all() {
    let files = Files::new();
    let [one, two, admin] = [("one", "upload"), ("two", "upload"), ("root", "admin")]
        .map(|(name, scope)| files.token(&["--name", name, "--scope", scope]));
    let node1 = Node::start(files.node("node1"));
    let node2 = Node::start(files.node("node2").join(&node1.gossip));
    for node in [&node1, &node2] {
        node.logged("converged", |line| line["members"] == 2).await;
    }
    let [here, there, other] =
        [(&node1, &one), (&node2, &one), (&node1, &two)].map(|(node, token)| Client::new(node, token));
    let mut own = Vec::new();
    for client in [&here, &there, &here] {
        own.insert(0, client.begin().await);
    }
    let others = other.begin().await;
    assert_eq!(here.list("").await, (own.clone(), Value::Null), "the newest first, of both nodes");
    assert_eq!(there.list("").await.0, own);
    assert_eq!(other.list("").await.0, vec![others.clone()]);
    let all = Client::new(&node2, &admin).list("").await.0;
    assert_eq!(all, [vec![others], own.clone()].concat());
    // A page, and the one after it.
    let (page, next) = there.list("?limit=2").await;
    assert_eq!((page.as_slice(), next.as_str()), (&own[..2], Some(own[1].as_str())));
    let (page, next) = there.list(&format!("?limit=2&after={}", own[1])).await;
    assert_eq!((page.as_slice(), next), (&own[2..], Value::Null));
    for bad in ["?limit=0", "?limit=201", "?after=x", "?state=done"] {
        let path = format!("/uploads{bad}");
        there.ask(Method::GET, &path, &[], Bytes::new()).await.assert_problem(400, "bad-request");
    }
    // What is ended is no more to be found.
    let ended = there.ask(Method::DELETE, &format!("/uploads/{}", own[0]), &[TUS], Bytes::new()).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert_eq!(here.list("").await.0, own[1..]);

    // A part that is refused is told of where it is refused: at the node where the upload lies.
    let mark = node1.mark();
    let path = format!("/uploads/{}", own[2]);
    let part = [TUS, ("content-type", "application/offset+octet-stream"), ("upload-offset", "7")];
    there
        .ask(Method::PATCH, &path, &part, "x".into())
        .await
        .assert_problem(409, "http-problem-types#mismatching-upload-offset");
    let line = node1.logged_since(mark, "upload refused", |line| line["status"] == 409).await;
    assert!(line["error"].as_str().unwrap().contains("begins at 7"), "{line}");
    assert_eq!(node2.count("upload refused"), 0, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_its_refusal_does_not_hold_the_nodes_end_back() {
    let mut node = Node::start(NodeOptions::new("node1", "FRA").arg("--drain=20s"));
    let begun = node.http.send(Method::POST, "/uploads", &[TUS, ("upload-length", "1000000")], Bytes::new());
    let path = begun.await.unwrap().header("location").to_owned();
    // It sends a little, is told that another request took its upload over, and neither sends on nor goes away.
    let mut deaf = TcpStream::connect(&node.http_address).await.unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    );
    deaf.write_all(head.as_bytes()).await.unwrap();
    deaf.write_all(b"\0\0\0\x18ftypisom").await.unwrap();
    let told = async {
        let mut answer = vec![0; 4096];
        let bytes = deaf.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..bytes]).into_owned()
    };
    let take_over = async {
        // Until the other one is at it: then that one ends.
        let is_interrupted = || node.count("upload refused") > 0;
        while !is_interrupted() {
            let head = node.http.send(Method::HEAD, &path, &[TUS], Bytes::new()).await.unwrap();
            assert_eq!(head.status, StatusCode::OK, "{head:?}");
        }
    };
    let (answer, ()) = tokio::join!(told, take_over);
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    let status = node.terminate().await;
    assert!(status.success(), "{status}");
    // And not: with requests unanswered.
    node.logged("stopped: every request was answered", |_| true).await;
}
