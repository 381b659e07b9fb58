use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use starling_overlay::{BootEpoch, Versions};
use starling_placement::desk::Ready;
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
    (node2_at(address), accepted)
}

fn node2_at(address: SocketAddr) -> Identity {
    Identity {
        name: "node2".parse().unwrap(),
        boot: BootEpoch(1),
        gossip: address,
        http_port: address.port(),
        zone: "FRA".parse().unwrap(),
        capacity_jobs: 1,
        versions: Versions::SPOKEN,
    }
}

#[tokio::test]
async fn questions_to_a_peer_share_a_connection() {
    let (peer, accepted) = peer().await;
    let client = PeerClient::new(
        Arc::new(Authority::new("node1".parse().unwrap(), BootEpoch(1), None)),
        Events::default(),
        None,
    );
    let key = Key {
        content: ContentId::of(b"clip"),
        profile: "360p".parse().unwrap(),
        recipe: ContentId::of(b"recipe"),
    };
    let Key { content, profile, recipe } = key.clone();
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

fn told(problem: &Problem) -> PeerError {
    refusal(problem.clone())
}

fn problem(slug: &str, ended: Option<WorkError>) -> Problem {
    Problem {
        kind: format!("{}{slug}", crate::api::PROBLEM_TYPE_BASE),
        title: "x".into(),
        status: 503,
        detail: "in its words".into(),
        retry_after_s: Some(7),
        profile: None,
        expected_offset: None,
        provided_offset: None,
        ended,
    }
}

#[test]
fn what_a_peer_says_is_taken_by_its_code_and_not_by_its_words() {
    let verdict = WorkError::unusable("no video stream");
    assert_eq!(told(&problem("saturated", Some(verdict.clone()))), PeerError::Ended(verdict));
    let crashed = WorkError::Crashed { how: "ffmpeg hung on a node".into() };
    assert_eq!(told(&problem("internal", Some(crashed.clone()))), PeerError::Ended(crashed));
    let retry_after = Duration::from_millis(2_300);
    let refused = |retry_after| PeerError::Refused { reason: "in its words".into(), retry_after };
    assert_eq!(told(&problem("x", Some(WorkError::Saturated { retry_after }))), refused(Some(retry_after)));
    let never = WorkError::Saturated { retry_after: Duration::MAX };
    assert_eq!(told(&problem("x", Some(never))), refused(Some(DEADLINE_MAX)));
    // What is about that node alone is no verdict, and what does not say how work ended is a refusal.
    for ended in [Some(WorkError::DiskFull), Some(WorkError::TooLate), None] {
        assert_eq!(told(&problem("too-many-offers", ended)), refused(Some(Duration::from_secs(7))));
    }
}

#[test]
fn a_node_of_an_older_version_says_its_verdict_by_the_type() {
    let why = "in its words".to_owned();
    assert_eq!(
        told(&problem("unusable-video", None)),
        PeerError::Ended(WorkError::Unusable { why: why.clone() })
    );
    assert_eq!(told(&problem("crashed", None)), PeerError::Ended(WorkError::Crashed { how: why }));
}

#[tokio::test]
async fn with_a_key_a_peer_is_sent_nothing_that_can_be_read_on_the_way() {
    use tokio::io::AsyncReadExt;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let keys = starling_overlay::Keyring::new([1; 32]);
    let client = PeerClient::new(
        Arc::new(Authority::new("node1".parse().unwrap(), BootEpoch(1), Some(&keys))),
        Events::default(),
        Some(Arc::new(PeerTls::new(&keys).unwrap())),
    );
    let peer = node2_at(address);
    let accepted =
        Accepted { offer: "0123456789abcdef0123456789abcdef".parse().unwrap(), ready: Ready::default() };
    let video = full_body("the video");
    // Whoever listens there says nothing, and closes.
    let heard = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = [0; 2048];
        let length = stream.read(&mut heard).await.unwrap();
        heard[..length].to_vec()
    };
    let (heard, sent) =
        tokio::join!(heard, client.send(&peer, &accepted, (video, 9), Duration::from_secs(60)));
    assert_eq!(heard[0], 22, "a handshake");
    let text = String::from_utf8_lossy(&heard);
    assert!(!text.contains("internal") && !text.contains("video"), "{text}");
    assert!(matches!(sent, Err(PeerError::Unreachable(_))), "{sent:?}");
}
