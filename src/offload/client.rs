//! The asking side of an offload.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use starling_overlay::Identity;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Accepted, Fault, Offer, Standings};
use crate::auth::Authority;
use crate::http::{ApiError, Body, DEADLINE_MAX, HEADER, Problem, file_body, full_body};
use crate::lease::{Claim, End, Verdict};

/// Longest wait for a connection to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Least and greatest time for the answer to a question; in between it follows the round trip.
const QUESTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const QUESTION_TIMEOUT_MAX: Duration = Duration::from_secs(4);
/// Time for the head of a held result; the first look at one after a start reads all of it.
const FETCH_HEAD_TIMEOUT: Duration = QUESTION_TIMEOUT_MAX;
/// Connections at rest are closed before the peer's own limit (30 s for the next head) closes them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest small answer (an acceptance, a problem) that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a peer did not do a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// It said no; another node may say yes.
    #[error("refused: {reason}")]
    Refused {
        /// Its words.
        reason: String,
        /// When it expects a place, if it said.
        retry_after: Option<Duration>,
    },
    /// No connection, a broken one, or no answer: the peer may be dead.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It was not asked: it did something wrong a moment ago.
    #[error("not asked: {0}")]
    Avoided(String),
    /// It did something wrong, which is held against it.
    #[error("{}: {seen}", fault.as_str())]
    Faulty {
        /// What kind of wrong.
        fault: Fault,
        /// What was seen of it.
        seen: String,
    },
    /// What it sent can't be taken or looked at, by this node's own fault.
    #[error("not taken here: {0}")]
    NotTaken(String),
    /// Its verdict on the job itself, which no other node would change.
    #[error(transparent)]
    Verdict(#[from] ApiError),
}

/// HTTP to the peers, with pooled connections.
#[derive(Debug)]
pub struct PeerClient {
    http: Client<HttpConnector, Body>,
    standings: Standings,
    authority: Arc<Authority>,
}

impl PeerClient {
    /// A client that signs its requests.
    pub fn new(authority: Arc<Authority>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Self { http, standings: Standings::default(), authority }
    }

    /// What is held against peers.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Holds something against a peer.
    pub fn faulty(&self, peer: &Identity, fault: Fault, seen: String) -> OffloadError {
        self.standings.report(peer, fault, &seen);
        OffloadError::Faulty { fault, seen }
    }

    /// Offers a job. Sends none of its body.
    pub async fn offer(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        offer: &Offer,
    ) -> Result<Accepted, OffloadError> {
        self.standings.may_try(peer).map_err(|avoided| passed_over(&avoided))?;
        self.exchange_documents(peer, "/internal/offers", offer, question_timeout(rtt)).await
    }

    /// Claims a content from its home, which may keep the answer back for as long as the claim allows.
    pub async fn claim_lease(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        claim: &Claim,
    ) -> Result<Verdict, OffloadError> {
        let bound = question_timeout(rtt) + Duration::from_millis(claim.wait_ms);
        self.ask(home, "/internal/leases", claim, bound).await
    }

    /// Tells a content's home how the work ended; also one that did not answer a moment ago, since it waits for this.
    pub async fn end_lease(&self, home: &Identity, end: &End) -> Result<(), OffloadError> {
        self.exchange_documents(home, "/internal/leases/end", end, QUESTION_TIMEOUT_MAX).await
    }

    /// Asks a peer that is not passed over.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: &Identity,
        path: &str,
        question: &Q,
        bound: Duration,
    ) -> Result<A, OffloadError> {
        self.is_asked(peer)?;
        self.exchange_documents(peer, path, question, bound).await
    }

    /// Sends a small document and reads the small answer.
    async fn exchange_documents<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: &Identity,
        path: &str,
        question: &Q,
        bound: Duration,
    ) -> Result<A, OffloadError> {
        let json = serde_json::to_vec(question).map_err(|error| unreachable(&error))?;
        let request = self
            .signed(peer, path, Some(&json))?
            .header(CONTENT_TYPE, "application/json")
            .body(full_body(json))
            .map_err(|error| unreachable(&error))?;
        let exchange = async {
            let response = self.exchange(request).await?;
            let body = small_body(response).await?;
            serde_json::from_slice(&body).map_err(|error| unreachable(&error))
        };
        let result = tokio::time::timeout(bound, exchange).await.unwrap_or_else(|_| {
            Err(OffloadError::Unreachable(format!("no answer within {} ms", bound.as_millis())))
        });
        self.remember(peer, &result);
        result
    }

    /// Sends the body of an accepted offer; answers with the head of the result. `keep` lives until the body is sent.
    pub async fn send<K: Send + 'static>(
        &self,
        peer: &Identity,
        accepted: &Accepted,
        (file, bytes, keep): (Arc<File>, u64, K),
        deadline: Duration,
    ) -> Result<Response<Incoming>, OffloadError> {
        let request = self
            .signed(peer, &format!("/internal/jobs/{}", accepted.offer), None)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, bytes)
            .header(HEADER::DEADLINE_MS, deadline.as_millis() as u64)
            .body(file_body(file, 0..bytes, keep))
            .map_err(|error| unreachable(&error))?;
        let result = self.exchange(request).await;
        self.remember(peer, &result);
        result
    }

    /// Asks a peer for a result that it holds; `None` if it does not. Answers with the head, which has to come soon.
    pub async fn fetch(
        &self,
        peer: &Identity,
        path: &str,
    ) -> Result<Option<Response<Incoming>>, OffloadError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(uri(peer, path)?)
            .body(full_body(""))
            .map_err(|error| unreachable(&error))?;
        self.is_asked(peer)?;
        let head = tokio::time::timeout(FETCH_HEAD_TIMEOUT, self.http.request(request)).await;
        let head = match head {
            Ok(head) => head.map_err(|error| unreachable(&error)),
            Err(_) => Err(OffloadError::Unreachable(format!("no answer within {FETCH_HEAD_TIMEOUT:?}"))),
        };
        self.remember(peer, &head);
        let response = head?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => {
                // What is read to its end leaves the connection to the next question.
                small_body(response).await?;
                Ok(None)
            }
            status => Err(OffloadError::Unreachable(format!("answered {status}"))),
        }
    }

    /// A POST with the proof that it comes from a member.
    fn signed(&self, peer: &Identity, path: &str, body: Option<&[u8]>) -> Result<Builder, OffloadError> {
        let request = Request::post(uri(peer, path)?);
        Ok(match self.authority.sign(&peer.name, &Method::POST, path, body) {
            Some(proof) => request.header(AUTHORIZATION, proof),
            None => request,
        })
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Incoming>, OffloadError> {
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    /// Whether a peer is not passed over.
    fn is_asked(&self, peer: &Identity) -> Result<(), OffloadError> {
        self.standings.avoided(peer).map_or(Ok(()), |avoided| Err(passed_over(&avoided)))
    }

    fn remember<T>(&self, peer: &Identity, result: &Result<T, OffloadError>) {
        match result {
            Err(OffloadError::Unreachable(seen)) => self.standings.report(peer, Fault::Unreachable, seen),
            Ok(_) | Err(OffloadError::Refused { .. } | OffloadError::Verdict(_)) => {
                self.standings.answered(peer);
            }
            Err(OffloadError::Avoided(_) | OffloadError::Faulty { .. } | OffloadError::NotTaken(_)) => {}
        }
    }
}

fn passed_over((fault, left): &(Fault, Duration)) -> OffloadError {
    OffloadError::Avoided(format!("{}, and avoided for {} ms more", fault.as_str(), left.as_millis()))
}

/// A connection and a question take two round trips; the rest is for a peer whose cores are all busy.
fn question_timeout(rtt: Option<Duration>) -> Duration {
    (rtt.unwrap_or_default() * 4 + QUESTION_TIMEOUT_MIN).min(QUESTION_TIMEOUT_MAX)
}

fn uri(peer: &Identity, path: &str) -> Result<Uri, OffloadError> {
    Uri::builder()
        .scheme("http")
        .authority(peer.http().to_string())
        .path_and_query(path)
        .build()
        .map_err(|error| unreachable(&error))
}

/// An error with its causes: hyper's outer one says little.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> OffloadError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    OffloadError::Unreachable(text)
}

async fn small_body(response: Response<Incoming>) -> Result<bytes::Bytes, OffloadError> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| OffloadError::Unreachable(error.to_string()))
}

/// What a peer's error answer means for the job.
async fn refusal(response: Response<Incoming>) -> OffloadError {
    let status = response.status();
    let body = match small_body(response).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        return OffloadError::Unreachable(format!("answered {status} and no problem document"));
    };
    match ApiError::verdict_of(&problem) {
        Some(verdict) => OffloadError::Verdict(verdict),
        None => OffloadError::Refused {
            reason: problem.detail,
            // Whatever it says, it is added to clocks here.
            retry_after: problem.retry_after_s.map(|s| Duration::from_secs(s).min(DEADLINE_MAX)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use starling_overlay::{BootEpoch, Versions};
    use tokio::net::TcpListener;

    use super::*;
    use crate::content::ContentId;
    use crate::lease::LeaseKey;

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
        let client = PeerClient::new(Arc::new(Authority::new("node1".parse().unwrap(), None)));
        let (content, profile): LeaseKey = (ContentId::of(b"clip"), "360p".parse().unwrap());
        let claim = Claim {
            content,
            profile,
            from: "node1".parse().unwrap(),
            boot: BootEpoch(1),
            lease_ms: 1000,
            wait_ms: 0,
        };
        for _ in 0..10 {
            assert_eq!(client.claim_lease(&peer, None, &claim).await, Ok(Verdict::Yours));
            assert!(client.fetch(&peer, "/results/none").await.unwrap().is_none());
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
}
