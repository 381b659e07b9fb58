//! Tokens of clients: who is let in for what, how much, and how the file changes.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use starling::access::TokenFile;
use starling::config::KeyFile;
use starling::content::ContentId;

use crate::support::{Answer, Clip, Node, NodeOptions, Stub, eventually};

pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        KeyFile::create(&folder.path().join("key")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A token, as people make one.
    pub fn token(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["token", "create", "--file"])
            .arg(self.path("tokens.toml"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn node(&self, name: &str) -> NodeOptions {
        NodeOptions::new(name, "FRA")
            .arg(format!("--key-file={}", self.path("key").display()))
            .arg(format!("--token-file={}", self.path("tokens.toml").display()))
    }
}

async fn ask(node: &Node, method: Method, path: &str, token: Option<&str>, body: Bytes) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    node.http.send(method, path, &headers, body).await.unwrap()
}

async fn get(node: &Node, path: &str, token: &str) -> Answer {
    ask(node, Method::GET, path, Some(token), Bytes::new()).await
}

#[tokio::test]
async fn every_route_asks_for_its_scope_and_no_other_is_enough() {
    let files = Files::new();
    let scopes = ["upload", "read", "metrics", "admin"];
    let tokens = scopes.map(|scope| (scope, files.token(&["--name", scope, "--scope", scope])));
    let node = Node::start(files.node("node1"));
    for route in starling::http::routes().filter(|route| !route.scopes.is_empty()) {
        let path: Vec<_> =
            route.path.split('/').map(|s| if s.starts_with(['{', '*']) { "x" } else { s }).collect();
        let path = path.join("/");
        let asked = |token| ask(&node, route.method.clone(), &path, token, Bytes::new());
        let refused = asked(None).await;
        refused.assert_problem(401, "no-token");
        assert!(refused.header("www-authenticate").starts_with("Bearer realm="), "{path}");
        asked(Some("starling_guessed")).await.assert_problem(401, "bad-token");
        for (scope, token) in &tokens {
            // What streams for ever is let in like the rest, and not waited for.
            let endless = matches!(route.path, "/events" | "/dashboard/*");
            let may = *scope == "admin" || route.scopes.iter().any(|needed| needed.as_str() == *scope);
            if may && endless {
                continue;
            }
            let answer = asked(Some(token)).await;
            let let_in = !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            assert_eq!(let_in, may, "{scope} {} {path}: {answer:?}", route.method);
            if !may {
                answer.assert_problem(403, "wrong-scope");
                assert!(answer.header("www-authenticate").contains("insufficient_scope"), "{answer:?}");
            }
        }
    }
    // Whoever asks whether it lives needs nothing; and a browser is told how to ask its user.
    for path in ["/health", "/ready"] {
        assert_eq!(node.http.get(path).await.status, StatusCode::OK, "{path}");
    }
    let page = node.http.get("/dashboard").await;
    page.assert_problem(401, "no-token");
    let challenges: Vec<_> = page.headers.get_all("www-authenticate").iter().collect();
    assert!(challenges.iter().any(|value| value.to_str().unwrap().starts_with("Basic ")), "{challenges:?}");
    let curl = |token: &str, path: &str| {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", &format!("me:{token}")])
            .arg(format!("http://{}{path}", node.http_address))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((curl(&tokens[1].1, "/dashboard"), curl("x", "/dashboard")), ("200".into(), "401".into()));
    node.http.ask_node("/internal/offers", "{}").await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn a_token_that_may_upload_gets_what_it_sent_and_nothing_by_a_digest() {
    let files = Files::new();
    let up = files.token(&["--name", "up", "--scope", "upload"]);
    let both = files.token(&["--name", "both", "--scope", "upload,read"]);
    let node = Node::start(files.node("node1"));
    let clip = Clip::default().make();
    let send = async |token: &str, headers: &[(&str, &str)], body: Bytes| {
        let bearer = format!("Bearer {token}");
        node.http
            .upload_with("/upload", &[&[("authorization", bearer.as_str())], headers].concat(), body)
            .await
    };
    let first = send(&up, &[], clip.clone()).await;
    first.assert_video();
    let (place, digest) = (first.header("content-location").to_owned(), ContentId::of(&clip).to_string());
    get(&node, &place, &up).await.assert_problem(403, "wrong-scope");
    assert_eq!(get(&node, &place, &both).await.body, first.body);
    // By its digest the one gets it without a byte of the video, and the other sends it.
    let announced = [("x-content-sha256", digest.as_str())];
    send(&both, &announced, "anything".into()).await.assert_video();
    send(&up, &announced, "anything".into()).await.assert_problem(415, "not-a-video");
    // A job is its token's, wherever it is asked from.
    let job = ask(&node, Method::POST, "/jobs", Some(&up), clip).await;
    let job = job.header("location").to_owned();
    let jobs = async |token: &str| get(&node, "/jobs", token).await.json()["jobs"].as_array().unwrap().len();
    assert_eq!((jobs(&up).await, jobs(&both).await), (1, 0));
    let admin = files.token(&["--name", "root", "--scope", "admin"]);
    node.logged("tokens read again", |line| line["tokens"] == 3).await;
    assert_eq!(jobs(&admin).await, 1);
    assert_eq!(get(&node, &job, &both).await.status, StatusCode::OK, "whoever has its number");
}

#[tokio::test]
async fn the_file_is_read_when_it_changes_and_a_bad_one_changes_nothing() {
    let files = Files::new();
    let first = files.token(&["--name", "first", "--scope", "read"]);
    let node = Node::start(files.node("node1"));
    let status = async |token: &str| get(&node, "/members", token).await.status.as_u16();
    let second = files.token(&["--name", "second", "--scope", "read"]);
    eventually("the new token is known", async || status(&second).await == 200).await;
    TokenFile::revoke(&files.path("tokens.toml"), "first").unwrap();
    eventually("the old one is not", async || status(&first).await == 401).await;
    std::fs::write(files.path("tokens.toml"), "[[token]]\nname = \"x\"\n").unwrap();
    let line = node.logged("the tokens stay as they were", |_| true).await;
    assert!(line["error"].as_str().unwrap().contains("missing field"), "{line}");
    assert_eq!(status(&second).await, 200);
}

#[tokio::test]
async fn a_quota_ends_and_says_when_there_is_more() {
    let files = Files::new();
    let token = files.token(&["--name", "ci", "--scope", "upload", "--uploads", "1/d", "--bytes", "1MiB/d"]);
    let node = Node::start(files.node("node1"));
    let send = |body: Bytes| ask(&node, Method::POST, "/upload", Some(&token), body);
    send(Bytes::from(vec![0; 1 << 21])).await.assert_problem(413, "over-quota");
    send(Clip::default().make()).await.assert_video();
    let refused = send(Clip::default().make()).await;
    refused.assert_problem(429, "quota-used-up");
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((80_000..=86_400).contains(&after), "{after}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("uploads, 1/d: try again"), "{refused:?}");
}

/// An upload that is no video: it counts as well.
async fn send(node: &Node, token: &str) -> Answer {
    ask(node, Method::POST, "/upload", Some(token), "x".into()).await
}

/// Waits until a node has heard of what is used elsewhere.
async fn heard(node: &Node, mark: usize) {
    node.logged_since(mark, "what tokens have used elsewhere", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_for_the_cluster_also_when_a_node_starts_again() {
    let files = Files::new();
    let token = files.token(&["--name", "ci", "--scope", "upload", "--uploads", "3/d"]);
    let busy = files.token(&["--name", "busy", "--scope", "upload", "--jobs", "1"]);
    // Wherever it runs, the job does not end.
    let stub = Stub::holding();
    let start = |name: &str, seed: Option<&str>| {
        let mut options = files.node(name).tools(&stub);
        options.log = Some("starling=debug");
        options.join.extend(seed.map(str::to_owned));
        Node::start(options)
    };
    let node1 = start("node1", None);
    let mut node2 = start("node2", Some(&node1.gossip));
    for node in [&node1, &node2] {
        node.logged("converged", |line| line["members"] == 2).await;
    }
    let mark = node2.mark();
    for _ in 0..3 {
        send(&node1, &token).await.assert_problem(415, "not-a-video");
    }
    heard(&node2, mark).await;
    let mut taken = 0;
    while send(&node2, &token).await.status != StatusCode::TOO_MANY_REQUESTS {
        taken += 1;
    }
    assert!(taken < 3, "three would be as many as if nothing were used at node1");
    send(&node1, &token).await.assert_problem(429, "quota-used-up");
    // A job that waits at one node is one at the other, too.
    let mark = node2.mark();
    let job = ask(&node1, Method::POST, "/jobs", Some(&busy), Clip::long(970).make()).await;
    assert_eq!(job.status, StatusCode::ACCEPTED, "{job:?}");
    heard(&node2, mark).await;
    eventually("node2 knows of the job", async || {
        let told = send(&node2, &busy).await.json();
        told["detail"].as_str().unwrap().contains("has 1 uploads and jobs under way")
    })
    .await;
    // Started again, it is told what is left.
    node2.kill_and_restart();
    heard(&node2, 0).await;
    for token in [&token, &busy] {
        send(&node2, token).await.assert_problem(429, "quota-used-up");
    }
    stub.release();
}

#[test]
fn tokens_without_a_key_are_refused_at_the_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(["node", "--name", "a", "--token-file", "/nowhere", "--http", "127.0.0.1:0"])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("--token-file (STARLING_TOKEN_FILE): without the cluster's key"), "{told}");
}
