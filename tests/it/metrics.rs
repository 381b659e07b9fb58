//! `GET /metrics`: names by the conventions of Prometheus, and what a cluster knows of its zones.

use std::collections::BTreeSet;

use bytes::Bytes;
use hyper::Method;

use crate::support::{Clip, Cluster, Node, NodeOptions, eventually};

#[tokio::test]
async fn names_units_and_labels_are_as_prometheus_has_them() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let node = &cluster.nodes[0];
    let clip = Clip::default().make();
    let digest = starling::content::ContentId::of(&clip).to_string();
    node.http.upload(clip).await.assert_video();
    node.http.upload("no video".into()).await.assert_problem(415, "not-a-video");
    let plain = node.http.get("/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    crate::prometheus::check_metrics(&plain.body);
    let open = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let answer = node.http.send(Method::GET, "/metrics", &open, Bytes::new()).await.unwrap();
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"), "{answer:?}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut families = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let whose = name.starts_with("starling_") || name.starts_with("process_");
        assert!(whose && !name.ends_with("_total"), "{line}");
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        // Base units, and the unit last.
        for other in ["_ms", "_millis", "_percent", "_kilo", "_mega", "_minutes"] {
            assert!(!name.contains(other), "{name}");
        }
        assert!(text.contains(&format!("# HELP {name} ")), "{name} says nothing of itself");
        families.push((name.to_owned(), kind.to_owned()));
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let sample = line.split(['{', ' ']).next().unwrap();
        let (_, kind) = families.iter().find(|(name, _)| sample.starts_with(name.as_str())).unwrap();
        assert!(kind != "counter" || sample.ends_with("_total"), "{line}");
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        for label in labels.split_terminator(',').map(|label| label.split_once('=').unwrap().0) {
            let known = [
                "status",
                "cache",
                "route",
                "state",
                "tool",
                "outcome",
                "zone",
                "le",
                "reason",
                "event",
                "fault",
                "policy",
                // As many as the node's configuration has.
                "profile",
                "quantile",
                "answer",
                "direction",
                "kind",
                "from",
                "to",
            ];
            assert!(known.contains(&label), "a label without bounds? {line}");
        }
        assert!(!line.contains(&digest) && !line.contains("node1"), "an id in a label: {line}");
    }
}

/// What is to be known of a node, by the families that say it.
const FAMILIES: [(&str, &[&str]); 14] = [
    ("requests by outcome, route and policy", &["uploads"]),
    (
        "times",
        &[
            "upload_receive_seconds",
            "queue_wait_seconds",
            "transcode_seconds",
            "offload_transfer_seconds",
            "upload_duration_seconds",
        ],
    ),
    (
        "bytes",
        &["upload_received_bytes", "upload_sent_bytes", "offload_transfer_bytes", "cache_evicted_bytes"],
    ),
    (
        "cache",
        &["cache_requests", "cache_evictions", "cached_results", "cache_size_bytes", "cache_budget_bytes"],
    ),
    (
        "queue and workers",
        &[
            "queued_jobs",
            "queue_capacity_jobs",
            "running_jobs",
            "workers",
            "enqueued_jobs",
            "dequeued_jobs",
            "transcodes",
            "transcode_failures",
        ],
    ),
    ("offers by answer", &["offers_sent", "offers_received"]),
    (
        "offloads and responses",
        &["offloads", "responses", "hedges", "hedges_won", "peer_faults", "avoided_peers"],
    ),
    ("gossip", &["gossip_datagrams", "gossip_bytes", "gossip_rejected", "gossip_held_back"]),
    (
        "members",
        &[
            "members",
            "membership_events",
            "suspicions",
            "false_suspicions",
            "refutations",
            "probes_failed",
            "unheard_members",
        ],
    ),
    (
        "load age",
        &[
            "zone_live_members",
            "zone_fresh_members",
            "zone_sample_age_median_seconds",
            "zone_sample_age_max_seconds",
        ],
    ),
    ("links", &["zone_rtt_seconds", "zone_loss_ratio"]),
    ("prediction error", &["prediction_error_ratio"]),
    (
        "accepted jobs and uploads in parts",
        &[
            "accepted_jobs",
            "ended_jobs",
            "held_jobs",
            "job_duration_seconds",
            "pending_webhooks",
            "webhook_tries",
            "unfinished_uploads",
            "unfinished_uploads_size_bytes",
        ],
    ),
    (
        "host",
        &[
            "host_cpu_ratio",
            "host_memory_ratio",
            "disk_free_bytes",
            "disk_size_bytes",
            "tool_cpu_seconds",
            "node_cpu_seconds",
            "freezes",
            "sandbox_violations",
            "turns_shed",
            "relays_shed",
        ],
    ),
];
const OF_THE_PROCESS: [&str; 7] = [
    "virtual_memory_bytes",
    "cpu_seconds",
    "resident_memory_bytes",
    "open_fds",
    "max_fds",
    "threads",
    "start_time_seconds",
];

#[tokio::test]
async fn a_node_that_has_worked_tells_all_that_is_to_be_known_and_nothing_else() {
    // Alone at first, so that the work is its own.
    let node = Node::start(NodeOptions::new("node1", "FRA"));
    let http = &node.http;
    // After so few jobs it predicts nothing yet, and tells no relative error.
    http.upload(Clip { tag: 980, ..Clip::default() }.make()).await.assert_video();
    let _other = Node::start(NodeOptions::new("node2", "IAD").join(&node.gossip));
    let wanted: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|(_, names)| *names)
        .map(|name| format!("starling_{name}"))
        .chain(OF_THE_PROCESS.map(|name| format!("process_{name}")))
        .collect();
    let mut told = BTreeSet::new();
    // What gossip tells takes a moment.
    let same = eventually("all families, and no other", async || {
        let text = http.get("/metrics").await;
        let text = String::from_utf8(text.body.to_vec()).unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        told = types.map(|name| name.strip_suffix("_total").unwrap_or(name).to_owned()).collect();
        let new = told.difference(&wanted).collect::<Vec<_>>();
        assert!(new.is_empty(), "of which no table says anything: {new:?}");
        told == wanted
    });
    same.await;
    let handbook =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).unwrap();
    let undocumented: Vec<_> =
        told.iter().filter(|name| name.starts_with("starling_") && !handbook.contains(*name)).collect();
    assert!(undocumented.is_empty(), "not in OPERATIONS.md: {undocumented:?}");
}

#[tokio::test]
async fn the_staleness_of_each_zones_samples_is_told() {
    let mut cluster = Cluster::start(&["FRA", "FRA", "IAD"]).await;
    let node = &cluster.nodes[0];
    for (zone, members) in [("FRA", 2), ("IAD", 1)] {
        eventually("all samples are here", async || {
            let fresh = node.metric(&format!("starling_zone_fresh_members{{zone=\"{zone}\"}}")).await;
            fresh == members
        })
        .await;
        assert_eq!(node.metric(&format!("starling_zone_live_members{{zone=\"{zone}\"}}")).await, members);
    }
    let text = String::from_utf8(node.http.get("/metrics").await.body.to_vec()).unwrap();
    let age = |kind: &str, zone: &str| -> f64 {
        let name = format!("starling_zone_sample_age_{kind}_seconds{{zone=\"{zone}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    for zone in ["FRA", "IAD"] {
        assert!(age("median", zone) <= age("max", zone), "{text}");
    }
    cluster.nodes[2].kill();
    cluster.nodes[0].logged("failed", |line| line["member"] == "node3").await;
    let text = String::from_utf8(cluster.nodes[0].http.get("/metrics").await.body.to_vec()).unwrap();
    assert!(!text.contains("zone=\"IAD\""), "a zone without live members has nothing to be stale:\n{text}");
}
