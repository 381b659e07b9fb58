//! The membership as the nodes' own answers and log lines tell it.

use hyper::StatusCode;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Cluster, Node, NodeOptions, eventually};

/// What a node says when nobody answers.
const ALONE: &str = "alone: no seed answers; they are tried until one does. Check that they run, that UDP gets there and \
                     back, and that --cluster and --key-file are the same here and there";

fn member<'a>(members: &'a Value, name: &str) -> &'a Value {
    let all = members["members"].as_array().unwrap();
    all.iter().find(|member| member["name"] == name).unwrap_or_else(|| panic!("no {name} in {members}"))
}

#[tokio::test]
async fn nodes_with_different_timing_profiles_tell_of_each_other() {
    let one = Node::start(NodeOptions::new("node1", "FRA"));
    let two = Node::start(NodeOptions::new("node2", "FRA").join(&one.gossip).arg("--timing=lan"));
    let periods = |line: &Value| (line["period_ms"].clone(), line["own_period_ms"].clone());
    for (node, other, seen) in [(&one, "node2", (1000, 200)), (&two, "node1", (200, 1000))] {
        let line = node.logged_like("the member has another protocol period than this node").await;
        assert_eq!((&line["level"], &line["member"]), (&"WARN".into(), &other.into()), "{line}");
        assert_eq!(periods(&line), (seen.0.into(), seen.1.into()), "{line}");
    }
}

#[tokio::test]
async fn a_ring_of_single_seeds_becomes_one_cluster() {
    // Two sockets at once, so that each can name the other before it runs: a ring needs addresses known beforehand.
    let mut nodes: Vec<Node> = Vec::new();
    let ports: Vec<u16> = {
        let sockets: Vec<_> = (0..5).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect()
    };
    for (index, zone) in ["FRA", "IAD", "BOM", "FRA", "IAD"].iter().enumerate() {
        let options = NodeOptions::new(&format!("node{}", index + 1), zone)
            .join(&format!("127.0.0.1:{}", ports[(index + 1) % 5]))
            .arg(format!("--gossip=127.0.0.1:{}", ports[index]))
            .arg("--http=127.0.0.1:0");
        nodes.push(Node::start(options));
    }
    let cluster = Cluster { nodes };
    cluster.converged(5).await;
    for node in &cluster.nodes {
        let members = node.http.json("/members").await;
        assert_eq!(members["members"].as_array().unwrap().len(), 5, "{members}");
        assert_eq!(members["converged"], true, "{members}");
        for member in members["members"].as_array().unwrap() {
            assert_eq!(member["state"], "alive");
            assert!(member["incarnation"].is_u64());
        }
        assert_eq!(member(&members, &node.options.name)["rtt_ms"], 0.0);
        assert_eq!(member(&members, "node3")["zone"], "BOM");
        assert_eq!(node.http.json("/peers").await["peers"].as_array().unwrap().len(), 4);
        assert_eq!(node.http.get("/ready").await.status, StatusCode::OK);
        let line = node.logged("converged", |line| line["members"] == 5).await;
        assert!(line["elapsed_ms"].is_number() && line["periods"].is_number(), "{line}");
    }
    // Load and round-trip time of everyone are measured within a few periods, everywhere.
    for node in &cluster.nodes {
        eventually("everyone's load and RTT are known", async || {
            let members = node.http.json("/members").await;
            let known = |member: &Value| member["load"]["workers"] == 1 && member["rtt_ms"].is_number();
            members["members"].as_array().unwrap().iter().all(known)
        })
        .await;
    }
}

#[tokio::test]
async fn a_killed_node_is_suspected_and_fails_and_rejoins_when_it_is_back() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let marks: Vec<usize> = cluster.nodes.iter().map(Node::mark).collect();
    cluster.nodes[2].kill();
    for (node, mark) in cluster.nodes[..2].iter().zip(&marks) {
        node.logged_since(*mark, "failed", |line| line["member"] == "node3").await;
        let members = node.http.json("/members").await;
        assert_eq!(member(&members, "node3")["state"], "dead");
        node.logged_since(*mark, "converged", |line| line["members"] == 2).await;
    }
    let suspected = cluster.nodes[0].count("suspected") + cluster.nodes[1].count("suspected");
    assert!(suspected >= 1, "a failure begins with a suspicion");
    cluster.nodes[2].kill_and_restart();
    for (node, mark) in cluster.nodes[..2].iter().zip(&marks) {
        let address = cluster.nodes[2].gossip.clone();
        let line = node.logged_since(*mark, "rejoined", |line| line["member"] == "node3").await;
        assert_eq!(line["gossip"], address, "{line}");
        node.logged_since(*mark, "converged", |line| line["members"] == 3).await;
    }
    cluster.nodes[2].logged("converged", |line| line["members"] == 3).await;
    // The log and the metrics count the same.
    for node in &cluster.nodes[..2] {
        for event in ["joined", "suspected", "failed", "rejoined"] {
            let name = format!("starling_membership_events_total{{event=\"{event}\"}}");
            eventually(event, async || node.metric(&name).await == node.count(event) as u64).await;
        }
    }
}

#[tokio::test]
async fn who_comes_back_at_another_address_is_told_with_it() {
    let mut cluster = Cluster::start(&["FRA", "IAD"]).await;
    let seed = cluster.nodes[0].gossip.clone();
    let first = cluster.nodes[1].gossip.clone();
    let line = cluster.nodes[0].logged("joined", |line| line["member"] == "node2").await;
    assert_eq!(line["gossip"], first, "{line}");
    cluster.nodes[1].kill();
    // Held, so that the node can't get its port again.
    let _port = std::net::UdpSocket::bind(&first).unwrap();
    let moved = Node::start(NodeOptions::new("node2", "IAD").join(&seed));
    assert_ne!(moved.gossip, first);
    let line = cluster.nodes[0].logged("rejoined", |line| line["member"] == "node2").await;
    assert_eq!(line["gossip"], moved.gossip, "{line}");
}

#[tokio::test]
async fn a_node_that_was_frozen_says_so_and_for_how_long() {
    let begin = std::time::Instant::now();
    let cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let (frozen, other) = (&cluster.nodes[2], &cluster.nodes[0]);
    let mark = frozen.mark();
    // On a busy machine it may have been held up and have said so already; then it does not say so again at once.
    while frozen.count_since(mark, "thawed") == 0 {
        let (seen, freezes) = (other.mark(), frozen.metric("starling_freezes_total").await);
        frozen.signal(Signal::STOP);
        other.logged_since(seen, "failed", |line| line["member"] == "node3").await;
        frozen.signal(Signal::CONT);
        eventually("it is counted", async || frozen.metric("starling_freezes_total").await > freezes).await;
        other.logged_since(seen, "rejoined", |line| line["member"] == "node3").await;
    }
    let line = frozen.logged_since(mark, "thawed", |_| true).await;
    // Half a period at least, or it would not have noticed.
    let frozen_ms = line["frozen_ms"].as_u64().unwrap();
    assert!(frozen_ms >= 100 && u128::from(frozen_ms) <= begin.elapsed().as_millis(), "{line}");
}

#[tokio::test]
async fn a_seed_that_does_not_resolve_is_told_once_and_the_others_are_tried() {
    let seed = Node::start(NodeOptions::new("node1", "FRA"));
    let node = Node::start(NodeOptions::new("node2", "IAD").join("nosuch.invalid:7001").join(&seed.gossip));
    node.logged("converged", |line| line["members"] == 2).await;
    let message = "the seed's name does not resolve; it is tried again. Check --join and the resolver";
    let line = node.logged(message, |line| line["seed"] == "nosuch.invalid:7001").await;
    assert_eq!(line["level"], "WARN", "{line}");
    assert!(line["error"].as_str().is_some_and(|error| !error.is_empty()), "{line}");
    assert_eq!(node.count(message), 1);
}

#[tokio::test]
async fn a_node_whose_seed_is_gone_finds_the_cluster_by_the_members_it_knew() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    // node2 was given node1 alone; it has met node3 since.
    eventually("node2 has written down whom it knows", async || {
        let snapshot = cluster.nodes[1].options.data_dir.as_ref().unwrap().join("members");
        std::fs::read_to_string(snapshot).is_ok_and(|text| text.contains(&cluster.nodes[2].gossip))
    })
    .await;
    cluster.nodes[0].kill();
    let mark = cluster.nodes[2].mark();
    cluster.nodes[1].kill_and_restart();
    cluster.nodes[2].logged_since(mark, "rejoined", |line| line["member"] == "node2").await;
    cluster.nodes[1].logged("converged", |line| line["members"] == 2).await;
}

#[tokio::test]
async fn a_node_that_is_stopped_leaves_and_does_not_fail() {
    let mut cluster = Cluster::start(&["FRA", "IAD", "BOM"]).await;
    let status = cluster.nodes[2].terminate().await;
    assert!(status.success(), "{status}");
    for node in &cluster.nodes[..2] {
        node.logged("left", |line| line["member"] == "node3").await;
        assert_eq!(member(&node.http.json("/members").await, "node3")["state"], "left");
        assert_eq!(node.count("failed"), 0);
    }
}

#[tokio::test]
async fn a_node_is_not_ready_before_a_seed_answers() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed = silent.local_addr().unwrap().to_string();
    let node = Node::start(NodeOptions::new("node1", "FRA").join(&seed));
    let ready = node.http.get("/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["ready"], false);
    let line = node.logged(ALONE, |_| true).await;
    assert_eq!(line["level"], "WARN", "{line}");
    assert_eq!(
        (&line["seeds"], &line["tried"], &line["refused"]),
        (&seed.into(), &line["seeds"], &"".into())
    );
    // Nevertheless it takes work: an upload needs no peers.
    node.http.upload(crate::support::Clip::default().make()).await.assert_video();
}

#[tokio::test]
async fn a_node_whose_seeds_are_not_there_is_told_where_nobody_listens() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let node = Node::start(NodeOptions::new("node1", "FRA").join(&nobody));
    let line = node.logged(ALONE, |_| true).await;
    assert_eq!((&line["tried"], &line["refused"]), (&nobody.clone().into(), &nobody.into()), "{line}");
}

#[tokio::test]
async fn a_node_that_is_its_own_only_seed_is_told_so() {
    let own = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = NodeOptions::new("node1", "FRA").join(&own);
    let node = Node::start(options.arg(format!("--gossip={own}")).arg("--http=127.0.0.1:0"));
    let message = "alone: every seed is this node itself; name another member with --join, or none on a cluster's \
                   first node";
    let line = node.logged(message, |_| true).await;
    assert_eq!(line["seeds"], own, "{line}");
}

#[tokio::test]
async fn a_node_that_hears_nobody_says_so_and_gets_no_requests_until_it_hears_again() {
    // Of fewer others all may well be gone at once.
    let cluster = Cluster::start(&["FRA"; 5]).await;
    let [near, others @ ..] = &cluster.nodes[..] else { panic!("five nodes") };
    let unheard = "starling_unheard_members";
    assert_eq!((near.http.get("/ready").await.status, near.metric(unheard).await), (StatusCode::OK, 0));
    // Silent, and not gone: what refuses a datagram would be known to be dead at once.
    for node in others {
        node.signal(Signal::STOP);
    }
    let mut reason = Value::Null;
    eventually("it is known to be cut off", async || {
        let ready = near.http.get("/ready").await;
        reason = ready.json()["reason"].clone();
        ready.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert!(reason.as_str().unwrap().starts_with("cut off: "), "{reason}");
    let told = near.logged_like("not converged for ").await;
    assert_eq!((&told["level"], &told["unheard"]), (&"WARN".into(), &4.into()), "{told}");
    let text = format!("not converged for {} s: 4 members not heard of", told["not_converged_s"]);
    assert_eq!(told["message"], text.as_str());
    let mut named: Vec<_> = told["members"].as_str().unwrap().split(',').collect();
    named.sort_unstable();
    assert!(named.iter().all(|name| ["node2", "node3", "node4", "node5"].contains(name)), "{told}");
    assert_eq!(named.len() as u64 + told["more"].as_u64().unwrap(), 4, "{told}");
    assert_eq!(near.metric(unheard).await, 4);
    for node in others {
        node.signal(Signal::CONT);
    }
    eventually("it hears of all", async || {
        near.http.get("/ready").await.status == StatusCode::OK && near.metric(unheard).await == 0
    })
    .await;
}
