use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use starling_overlay::{BootEpoch, Versions};
use tokio::net::TcpListener;

use super::*;

/// A peer that gives leases and has no result; and how many connections were made to it.
async fn peer() -> (Identity, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = service_fn(|request: Request<Incoming>| async move {
                let (status, text) = match request.uri().path() {
                    "/internal/leases" => (200, serde_json::to_string(&Verdict::Yours).unwrap()),
                    _ => (404, "no such result, and a few words more".to_owned()),
                };
                request.into_body().collect().await.unwrap();
                let response = Response::builder().status(status).body(full_body(text)).unwrap();
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    let identity = Identity {
        name: "node2".parse().unwrap(),
        boot: BootEpoch(1),
        gossip: address,
        http_port: address.port(),
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    };
    (identity, accepted)
}

#[tokio::test]
async fn questions_to_a_peer_share_a_connection() {
    let (peer, accepted) = peer().await;
    let client = PeerClient::new(Arc::new(Authority::new("node1".parse().unwrap(), BootEpoch(1), None)));
    let key = LeaseKey {
        content: ContentId::of(b"clip"),
        profile: "360p".parse().unwrap(),
        recipe: ContentId::of(b"recipe"),
    };
    let LeaseKey { content, profile, recipe } = key.clone();
    let claim = Claim {
        recipe: Some(recipe),
        content,
        profile,
        from: "node1".parse().unwrap(),
        boot: BootEpoch(1),
        lease_ms: 1000,
        wait_ms: 0,
    };
    for _ in 0..10 {
        assert_eq!(client.claim_lease(&peer, None, &claim).await, Ok(Verdict::Yours));
        assert!(client.fetch(&peer, &key).await.unwrap().is_none());
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
    // As many connections as there are questions at once, and then no more.
    let ask = || client.claim_lease(&peer, None, &claim);
    for _ in 0..5 {
        let answers = tokio::join!(ask(), ask(), ask());
        assert_eq!(answers, (Ok(Verdict::Yours), Ok(Verdict::Yours), Ok(Verdict::Yours)));
    }
    assert!(accepted.load(Ordering::Relaxed) <= 3, "{accepted:?}");
}
