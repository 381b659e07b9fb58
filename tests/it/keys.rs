//! A cluster with a key: who is in, who is not, and how the key changes.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::support::{Clip, Cluster, Node, NodeOptions, eventually};

fn new_key() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_starling")).args(["key", "new"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn keyed(options: NodeOptions, file: &Path) -> NodeOptions {
    options.arg("--policy=round-robin").arg(format!("--key-file={}", file.display()))
}

#[tokio::test]
async fn members_with_the_key_work_together_and_nobody_else_gets_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, new_key()).unwrap();
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| keyed(options, &file)).await;
    let near = &cluster.nodes[0];
    for tag in 0..2 {
        near.http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
    }
    cluster.nodes[1].logged("job done for a peer", |line| line["from"] == "node1").await;
    for path in [
        "/internal/offers",
        "/internal/leases",
        "/internal/leases/end",
        "/internal/offers/end",
        "/internal/jobs/00000000000000000000000000000000",
        "/internal/jobs/no-offer",
    ] {
        let answer = near.http.ask_node(path, "{}").await;
        answer.assert_problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Starling");
    }
    let other = dir.path().join("other");
    std::fs::write(&other, new_key()).unwrap();
    let stranger = Node::start(keyed(NodeOptions::new("node3", "BOM"), &other).join(&near.gossip));
    let open = Node::start(NodeOptions::new("node4", "BOM").join(&near.gossip));
    // Both have knocked by the time that a member which came after them is in.
    let late = Node::start(keyed(NodeOptions::new("node5", "BOM"), &file).join(&near.gossip));
    late.logged("converged", |line| line["members"] == 3).await;
    for node in [&stranger, &open] {
        assert_eq!(node.http.json("/members").await["members"].as_array().unwrap().len(), 1);
    }
    assert_eq!(near.http.json("/members").await["members"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_key_changes_without_losing_a_member_or_a_job() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (new_key(), new_key());
    let files: Vec<_> = (1..=2).map(|n| dir.path().join(format!("key{n}"))).collect();
    for file in &files {
        std::fs::write(file, &old).unwrap();
    }
    let cluster = Cluster::start_with(&["FRA", "IAD"], |options| {
        let file = &files[usize::from(options.name == "node2")];
        keyed(options, file)
    })
    .await;
    let mut tag = 0;
    for content in [format!("{old}{new}"), format!("{new}{old}"), new.clone()] {
        for (node, file) in cluster.nodes.iter().zip(&files) {
            std::fs::write(file, &content).unwrap();
            let mark = node.mark();
            node.signal(rustix::process::Signal::HUP);
            node.logged_since(mark, "keys read again", |_| true).await;
            // One of them has read it, the other not yet; then both have.
            for _ in 0..2 {
                tag += 1;
                cluster.nodes[0].http.upload(Clip { tag, ..Clip::default() }.make()).await.assert_video();
            }
        }
    }
    for node in &cluster.nodes {
        assert_eq!(node.count("failed"), 0);
        assert_eq!(node.count("peer lost: next candidate"), 0);
    }
    // A file that makes no sense changes nothing.
    std::fs::write(&files[0], "not a key").unwrap();
    cluster.nodes[0].signal(rustix::process::Signal::HUP);
    let line = cluster.nodes[0].logged("the keys stay as they were", |_| true).await;
    assert!(line["error"].as_str().unwrap().contains("line 1 is not a key"), "{line}");
    assert!(cluster.nodes[1].metric("starling_transcodes_total").await >= 3);
}

#[tokio::test]
async fn a_node_that_is_open_to_the_world_without_a_key_says_so() {
    let warning =
        "the cluster has no key: whoever reaches the HTTP port can act as a member of it; give --key-file";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, new_key()).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = format!("--key-file={}", file.display());
    for (http, args, warned) in
        [("0.0.0.0:0", None, 1), ("0.0.0.0:0", Some(&key), 0), ("127.0.0.1:0", None, 0)]
    {
        let mut options =
            NodeOptions::new("node1", "FRA").arg("--gossip=127.0.0.1:0").arg(format!("--http={http}"));
        options.args.extend(args.cloned());
        let mut node = Node::start(options);
        // Stopped, it has said all that it had to say.
        assert!(node.terminate().await.success());
        node.logged("stopped: every request was answered", |_| true).await;
        assert_eq!(node.count(warning), warned, "{http} {args:?}");
    }
}

/// Each may knock as often as it likes: it is counted, and told of once a minute at most.
async fn told_of(node: &Node, from: &Node, reason: &'static str, message: &str) {
    let begin = Instant::now();
    let name = format!("starling_gossip_rejected_total{{reason=\"{reason}\"}}");
    eventually("it has knocked several times", async || node.metric(&name).await >= 4).await;
    let sender = from.gossip.clone();
    let line = node.logged(message, move |line| line["from"] == sender.as_str()).await;
    assert_eq!((&line["level"], &line["reason"]), (&"WARN".into(), &reason.into()), "{line}");
    assert_eq!(line["datagrams"], 1, "{line}");
    let minutes = begin.elapsed().as_secs() / 60;
    assert!(node.count(message) as u64 <= 1 + minutes, "{} lines", node.count(message));
}

#[tokio::test]
async fn who_has_another_key_or_name_or_none_is_counted_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let [file, other] = ["key", "other"].map(|name| {
        let file = dir.path().join(name);
        std::fs::write(&file, new_key()).unwrap();
        file
    });
    let near = Node::start(keyed(NodeOptions::new("node1", "FRA"), &file));
    let open = Node::start(NodeOptions::new("node2", "FRA"));
    let strange = Node::start(keyed(NodeOptions::new("node3", "FRA"), &other).join(&near.gossip));
    let message = "datagram ignored: its sender has another key or another cluster's name, or it was damaged; check \
                   --key-file and --cluster on both nodes";
    told_of(&near, &strange, "unopened", message).await;
    let keyless = Node::start(NodeOptions::new("node4", "FRA").join(&near.gossip));
    let message = "datagram ignored: its sender has no key, and this node has one; if it belongs here, give it the \
                   cluster's --key-file";
    told_of(&near, &keyless, "unsealed", message).await;
    let sealed = Node::start(keyed(NodeOptions::new("node5", "FRA"), &file).join(&open.gossip));
    let message = "datagram ignored: its sender has a key, and this node has none; if they belong together, give this \
                   node the cluster's --key-file";
    told_of(&open, &sealed, "keyless", message).await;
    let elsewhere = NodeOptions::new("node6", "FRA").arg("--cluster=elsewhere").join(&open.gossip);
    let elsewhere = Node::start(elsewhere);
    let message = "datagram ignored: its sender is of a cluster with another name, or it was damaged; check --cluster \
                   on both nodes";
    told_of(&open, &elsewhere, "checksum", message).await;
    // Nothing of it comes back to those who knock: they are told that they are alone.
    let message = "alone: no seed answers; they are tried until one does. Check that they run, that UDP gets there and \
                   back, and that --cluster and --key-file are the same here and there";
    for (node, seed) in [(&strange, &near), (&keyless, &near), (&sealed, &open), (&elsewhere, &open)] {
        let line = node.logged(message, |_| true).await;
        assert_eq!((&line["seeds"], &line["tried"]), (&seed.gossip.clone().into(), &line["seeds"]), "{line}");
    }
}
