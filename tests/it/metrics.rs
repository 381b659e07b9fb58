//! `GET /metrics`: names by the conventions of Prometheus, and what a cluster knows of its zones.

use bytes::Bytes;
use hyper::Method;

use crate::support::{Clip, Cluster, eventually};

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
