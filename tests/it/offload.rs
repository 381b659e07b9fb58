//! Jobs that go to a peer, and those that should have but could not.

use bytes::Bytes;
use hyper::Method;

use crate::support::{Clip, Cluster, Node};
use crate::upload::running;

/// `round-robin` ranks the deciding node itself first, its peer second, and so on: the second upload leaves.
async fn pair(zones: &[&str]) -> Cluster {
    Cluster::start_with(zones, |options| options.arg("--policy=round-robin")).await
}

fn clip(tag: u32) -> Bytes {
    Clip { tag, ..Clip::default() }.make()
}

#[tokio::test]
async fn a_job_goes_to_a_peer_and_its_result_is_cached_on_both() {
    for (zones, route) in [(["FRA", "IAD"], "cross-region"), (["FRA", "FRA"], "same-region")] {
        let cluster = pair(&zones).await;
        let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
        let first = near.http.upload(clip(1)).await;
        assert_eq!(first.header("x-route"), "node1/FRA");
        let second = near.http.upload(clip(2)).await;
        second.assert_video();
        assert_eq!(second.header("x-route"), format!("node1/FRA -> node2/{}", zones[1]));
        assert_eq!(second.header("x-served-by"), "node2");
        assert_eq!(second.header("x-cache"), "miss");
        near.logged("upload served", move |line| line["route"] == route).await;
        far.logged("job done for a peer", |line| line["from"] == "node1").await;
        for node in [near, far] {
            let again = node.http.upload(clip(2)).await;
            assert_eq!((again.header("x-cache"), &again.body), ("hit", &second.body));
        }
        assert_eq!(cluster.transcodes().await, 2.0);
        assert_eq!(far.metric("starling_transcodes_total").await, 1.0);
    }
}

#[tokio::test]
async fn score_keeps_a_job_at_home_when_nobody_is_busy() {
    let cluster = Cluster::start(&["FRA", "IAD"]).await;
    let answer = cluster.nodes[0].http.upload(clip(1)).await;
    assert_eq!(answer.header("x-route"), "node1/FRA");
}

#[tokio::test]
async fn a_peer_with_a_full_queue_refuses_and_the_job_is_done_here() {
    let cluster =
        Cluster::start_with(&["FRA", "IAD"], |options| options.arg("--policy=round-robin").arg("--queue=1"))
            .await;
    let [near, far] = &cluster.nodes[..] else { panic!("two nodes") };
    let busy: Vec<_> = (1..=2)
        .map(|tag| {
            let http = far.http.clone();
            // Its own first turn is here, the second would be there: one upload each over two clients' turns.
            tokio::spawn(async move { http.upload(Clip::long(tag).make()).await })
        })
        .collect();
    running(far, 1).await;
    let fill = far.http.clone();
    let filler = tokio::spawn(async move { fill.upload(Clip::long(3).make()).await });
    let queued = async {
        while far.http.json("/health").await["queued"] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    queued.await;
    let mut refused = 0;
    for tag in 10..12 {
        let answer = near.http.upload(clip(tag)).await;
        answer.assert_video();
        assert_eq!(answer.header("x-served-by"), "node1");
        refused = near.count("offer refused: next candidate");
    }
    assert!(refused >= 1, "node2 was never asked");
    for upload in busy.into_iter().chain([filler]) {
        upload.await.unwrap().assert_video();
    }
}

#[tokio::test]
async fn internal_routes_check_what_they_get() {
    let cluster = Cluster::start(&["FRA"]).await;
    let node: &Node = &cluster.nodes[0];
    let post = |path: &'static str, body: &'static str| async move {
        node.http.send(Method::POST, path, &[], Bytes::from_static(body.as_bytes())).await.unwrap()
    };
    post("/internal/offers", "{}").await.assert_problem(400, "bad-request");
    post("/internal/offers", "[").await.assert_problem(400, "bad-request");
    post("/internal/jobs/1", "x").await.assert_problem(400, "bad-request");
    post("/internal/jobs/00000000000000000000000000000000", "x").await.assert_problem(404, "not-found");
}
