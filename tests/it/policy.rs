//! `starling policy`: the routing policy of a running node is shown and changed.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Clip, Cluster, Node};

fn starling(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling"))
        .arg("policy")
        .args(args)
        .env_remove("STARLING_NODE")
        .env_remove("STARLING_KEY_FILE")
        .output()
        .unwrap()
}

/// `starling policy` with these arguments, at a node. The request goes out from a thread of its own.
async fn policy(node: &Node, args: &[&str]) -> Output {
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    args.push(format!("--node=http://{}", node.http_address));
    tokio::task::spawn_blocking(move || starling(&args.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end()
}

fn said(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn refused(output: &Output) -> &str {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    text(&output.stderr)
}

#[tokio::test]
async fn a_policy_is_changed_at_run_time_and_decides_from_then_on() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let near = &cluster.nodes[0];
    assert_eq!(said(&policy(near, &["show"]).await), "node1: eta");
    let set = policy(near, &["set", "score", "--load-weight=0.8"]).await;
    assert_eq!(said(&set), "node1: score (load weight 0.8, rtt weight 0.7)");
    let mark = near.mark();
    assert_eq!(said(&policy(near, &["set", "round-robin"]).await), "node1: round-robin");
    near.logged_since(mark, "routing policy changed", |line| {
        line["policy"] == "round-robin" && line["before"] == "score"
    })
    .await;
    // The turns go over both nodes from now on.
    for tag in 0..2 {
        near.http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
    }
    cluster.nodes[1].logged("job done for a peer", |line| line["from"] == "node1").await;
    let shown: Value = serde_json::from_str(said(&policy(near, &["show", "--json"]).await)).unwrap();
    assert_eq!(
        shown,
        json!({"node": "node1", "policy": "round-robin", "load_weight": 0.8, "rtt_weight": 0.7})
    );
    // The other node has decided for itself all the time.
    let all = policy(near, &["show", "--all"]).await;
    assert_eq!(said(&all), "node1: round-robin\nnode2: eta");
    let all = policy(near, &["set", "score", "--all"]).await;
    let score = |load| format!("score (load weight {load}, rtt weight 0.7)");
    assert_eq!(said(&all), format!("node1: {}\nnode2: {}", score("0.8"), score("0.3")));
    for tag in 2..4 {
        near.http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
    }
}

#[tokio::test]
async fn what_is_no_policy_changes_nothing_and_says_what_is_one() {
    let cluster = Cluster::start(&["FRA"]).await;
    let node = &cluster.nodes[0];
    let unknown = policy(node, &["set", "best"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(refused(&unknown).contains("unknown policy \"best\": use one of score, random"), "{unknown:?}");
    let weights = policy(node, &["set", "eta", "--load-weight=1"]).await;
    assert!(refused(&weights).contains("eta has no weights: only score has"), "{weights:?}");
    for document in [r#"{"policy":"best"}"#, r#"{"policy":"score","load_weight":-1}"#, "{}", "eta"] {
        node.http.ask_node("/internal/policy", document).await.assert_problem(400, "bad-request");
    }
    let answer = node.http.get("/internal/policy").await;
    assert_eq!((answer.status.as_u16(), answer.json()["policy"].as_str()), (200, Some("eta")));
    assert_eq!(said(&policy(node, &["show"]).await), "node1: eta");
}

#[tokio::test]
async fn with_a_key_only_whoever_has_it_changes_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let file = dir.path().join(name);
        let made =
            Command::new(env!("CARGO_BIN_EXE_starling")).args(["key", "new", "--file"]).arg(&file).output();
        assert!(made.unwrap().status.success());
        format!("--key-file={}", file.display())
    };
    let (own, other) = (key("own"), key("other"));
    let cluster = Cluster::start_with(&["FRA"], |options| options.arg(own.clone())).await;
    let node = &cluster.nodes[0];
    for args in [&["set", "eta"][..], &["set", "eta", &other], &["show"]] {
        let output = policy(node, args).await;
        assert!(refused(&output).contains("401"), "{args:?}: {output:?}");
        assert_eq!(refused(&output).contains("--key-file"), args.len() < 3, "{args:?}: {output:?}");
    }
    node.http.ask_node("/internal/policy", r#"{"policy":"eta"}"#).await.assert_problem(401, "unauthorized");
    assert_eq!(said(&policy(node, &["show", &own]).await), "node1: eta");
    assert_eq!(said(&policy(node, &["set", "p2c", &own]).await), "node1: p2c");
}
