//! The asking side of an offload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use starling_overlay::Identity;

use serde::Serialize;
use serde::de::DeserializeOwned;

use starling_placement::content::Key;
use starling_placement::error::WorkError;
use starling_placement::journey::{
    Fault, PROGRESS_TIMEOUT_MAX, PeerError, QUESTION_TIMEOUT_MAX, progress_timeout, question_timeout,
};
use starling_placement::standing::Standings;

use crate::api::{
    AUTHENTICATION_INFO, Accepted, Claim, CopyAnswer, CopyQuestion, End, HEADER, JobAnswer, JobQuestion,
    Offer, OfferEnd, OfferId, Problem, Progress, ProgressQuery, QuotasUsed, UploadQuestion, UploadsJson,
    Verdict,
};
use crate::auth::{Authority, Signed};
use crate::body::{Body, full_body};
use crate::config::DEADLINE_MAX;
use crate::content::ContentId;
use crate::events::{Events, NodeEvent};
use crate::tls::{Connector, PeerTls, Roots};
use crate::trace::{self, TRACEPARENT, TRACESTATE};

/// Longest wait for a connection to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the head of a held result; the first look at one after a start reads all of it.
const FETCH_HEAD_TIMEOUT: Duration = QUESTION_TIMEOUT_MAX;
/// Longest that a change of a job may take which its second node is told of before it is answered.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of what a peer says of its refusal is told.
const TOLD_CHARS_MAX: usize = 200;
/// Connections at rest are closed before the peer's own limit (30 s for the next head) closes them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest small answer (an acceptance, a problem, a page of jobs) that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest that a word takes which is said again anyway: others wait for it.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// The head of a result on its way, proved to come from a member where there is a key.
#[derive(Debug)]
pub struct Delivery {
    /// The head, and the body to come.
    pub response: Response<Incoming>,
    /// The SHA-256 that the body has to have, by the proof; none without a key.
    pub promised: Option<ContentId>,
}

/// A peer's whole answer, for a client.
#[derive(Debug)]
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, those between the nodes among them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: bytes::Bytes,
}

/// HTTP to the peers, with pooled connections.
#[derive(Debug)]
pub struct PeerClient {
    http: Client<Connector, Body>,
    /// Of the peers' addresses.
    scheme: &'static str,
    standings: Standings,
    authority: Arc<Authority>,
    events: Events,
}

impl PeerClient {
    /// A client that signs its requests, and speaks TLS with peers by what both have of the cluster's key; plain HTTP without. What
    /// peers do wrong is told to `events`.
    pub fn new(authority: Arc<Authority>, events: Events, tls: Option<Arc<PeerTls>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let connector = match tls {
            Some(tls) => Connector::to_peers(tls, CONNECT_TIMEOUT),
            None => Connector::to_nodes(Roots::default(), CONNECT_TIMEOUT),
        };
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Self { http, scheme, standings: Standings::default(), authority, events }
    }

    /// What is held against peers.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Holds something against a peer. `seen` is what was seen of it, for the log.
    pub fn report(&self, peer: &Identity, fault: Fault, seen: &str) {
        let avoidance = self.standings.report(Instant::now(), peer, fault);
        self.events.tell(&NodeEvent::PeerFault { peer, fault, seen, avoidance });
    }

    /// The same, as what became of a question.
    pub fn faulty(&self, peer: &Identity, fault: Fault, seen: String) -> PeerError {
        self.report(peer, fault, &seen);
        PeerError::Faulty { fault, seen }
    }

    /// Offers a job. Sends none of its body.
    pub async fn offer(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        offer: &Offer,
    ) -> Result<Accepted, PeerError> {
        self.standings.may_offer(Instant::now(), peer)?;
        self.exchange_documents(peer, "/internal/offers", offer, question_timeout(rtt)).await
    }

    /// Tells a peer that the body of an offer that it accepted does not come. Nothing is held against one that does not answer: its place
    /// is free soon anyway.
    pub async fn end_offer(&self, peer: &Identity, offer: OfferId) -> Result<(), PeerError> {
        self.question(peer, "/internal/offers/end", &OfferEnd { offer }, QUESTION_TIMEOUT_MAX).await
    }

    /// Claims a content from its home, which may keep the answer back for as long as the claim allows.
    pub async fn claim_lease(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        claim: &Claim,
    ) -> Result<Verdict, PeerError> {
        let bound = question_timeout(rtt) + Duration::from_millis(claim.wait_ms);
        self.ask(home, "/internal/leases", claim, bound).await
    }

    /// Tells a content's home how the work ended; also one that did not answer a moment ago, since it waits for this.
    pub async fn end_lease(&self, home: &Identity, end: &End) -> Result<(), PeerError> {
        self.exchange_documents(home, "/internal/leases/end", end, QUESTION_TIMEOUT_MAX).await
    }

    /// Asks a peer that is not passed over.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: &Identity,
        path: &str,
        question: &Q,
        bound: Duration,
    ) -> Result<A, PeerError> {
        self.standings.may_ask(Instant::now(), peer)?;
        self.exchange_documents(peer, path, question, bound).await
    }

    /// A sign of life of the work on this, if the peer has any such work. Nothing is held against a peer that gives none: whoever
    /// waits for the work judges that.
    pub async fn ask_progress(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        key: &Key,
    ) -> Result<Option<Progress>, PeerError> {
        let Key { content, profile, recipe } = key.clone();
        let query = ProgressQuery { content, profile, recipe: Some(recipe) };
        self.question(peer, "/internal/progress", &query, progress_timeout(rtt)).await
    }

    /// Asks a peer about jobs that it keeps. Nothing is held against one that does not answer: no job waits for it.
    pub async fn ask_jobs(&self, peer: &Identity, question: &JobQuestion) -> Result<JobAnswer, PeerError> {
        let bound = match question {
            JobQuestion::Retry { .. } | JobQuestion::Cancel { .. } => CHANGE_TIMEOUT,
            _ => PROGRESS_TIMEOUT_MAX,
        };
        self.question(peer, "/internal/kept", question, bound).await
    }

    /// Says something to a peer about a job that both keep. The peer may fetch a video or results before it answers: `bound` is for all of that.
    pub async fn ask_keeper(
        &self,
        peer: &Identity,
        question: &CopyQuestion,
        bound: Duration,
    ) -> Result<CopyAnswer, PeerError> {
        self.question(peer, "/internal/copies", question, bound).await
    }

    /// Asks a peer which uploads in parts lie there. Nothing is held against one that does not answer.
    pub async fn ask_uploads(
        &self,
        peer: &Identity,
        question: &UploadQuestion,
    ) -> Result<UploadsJson, PeerError> {
        self.question(peer, "/internal/unfinished", question, PROGRESS_TIMEOUT_MAX).await
    }

    /// Tells a peer what tokens have used here. Nothing is held against one that does not answer: it is told again.
    pub async fn tell_quotas(&self, peer: &Identity, word: &QuotasUsed) -> Result<(), PeerError> {
        self.question(peer, "/internal/quotas", word, TELL_TIMEOUT).await
    }

    /// Sends a small document and reads the small answer; takes note of a peer that can't be reached.
    async fn exchange_documents<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: &Identity,
        path: &str,
        question: &Q,
        bound: Duration,
    ) -> Result<A, PeerError> {
        let result = self.question(peer, path, question, bound).await;
        self.remember(peer, &result);
        result
    }

    async fn question<Q: Serialize, A: DeserializeOwned>(
        &self,
        peer: &Identity,
        path: &str,
        question: &Q,
        bound: Duration,
    ) -> Result<A, PeerError> {
        let json = serde_json::to_vec(question).map_err(|error| unreachable(&error))?;
        let signed = self.authority.sign(peer, &Method::POST, path, Some(&json));
        let request = request(uri(self.scheme, peer, path)?, &Method::POST, &signed)
            .header(CONTENT_TYPE, "application/json")
            .body(full_body(json))
            .map_err(|error| unreachable(&error))?;
        let exchange = async {
            let Delivery { response, promised } = self.exchange(peer, request, &signed).await?;
            let body = self.small_body(peer, response, promised).await?;
            serde_json::from_slice(&body).map_err(|error| unreachable(&error))
        };
        tokio::time::timeout(bound, exchange).await.unwrap_or_else(|_| {
            Err(PeerError::Unreachable(format!("no answer within {} ms", bound.as_millis())))
        })
    }

    /// Sends the body of an accepted offer, which is `bytes` long; answers with the head of the result.
    pub async fn send(
        &self,
        peer: &Identity,
        accepted: &Accepted,
        (body, bytes): (Body, u64),
        deadline: Duration,
    ) -> Result<Delivery, PeerError> {
        let path = format!("/internal/jobs/{}", accepted.offer);
        let signed = self.authority.sign(peer, &Method::POST, &path, None);
        let request = request(uri(self.scheme, peer, &path)?, &Method::POST, &signed)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, bytes)
            .header(HEADER::DEADLINE_MS, deadline.as_millis() as u64)
            .body(body)
            .map_err(|error| unreachable(&error))?;
        let result = self.exchange(peer, request, &signed).await;
        self.remember(peer, &result);
        result
    }

    /// Asks a peer for a result that it holds; `None` if it does not. Answers with the head, which has to come soon.
    pub async fn fetch(
        &self,
        peer: &Identity,
        Key { content, profile, recipe }: &Key,
    ) -> Result<Option<Delivery>, PeerError> {
        self.held(peer, format!("/internal/results/{content}/{profile}/{recipe}")).await
    }

    /// Asks a peer for a result that it keeps for a job; `None` if it does not.
    pub async fn fetch_output(
        &self,
        peer: &Identity,
        job: &str,
        at: usize,
    ) -> Result<Option<Delivery>, PeerError> {
        self.held(peer, format!("/internal/kept/{job}/{at}")).await
    }

    /// The same of its video.
    pub async fn fetch_video(&self, peer: &Identity, job: &str) -> Result<Option<Delivery>, PeerError> {
        self.held(peer, format!("/internal/kept/{job}/video")).await
    }

    /// Passes a client's request for an upload in parts on to the node that has the parts, with these headers beside the proof. What it
    /// answers is the client's answer, whatever it says.
    pub async fn pass_upload(
        &self,
        peer: &Identity,
        upload: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Relayed, PeerError> {
        let path = format!("/internal/uploads/{upload}");
        let signed = self.authority.sign(peer, &Method::POST, &path, None);
        let mut request = request(uri(self.scheme, peer, &path)?, &Method::POST, &signed)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body)
            .map_err(|error| unreachable(&error))?;
        request.headers_mut().extend(headers);
        let Delivery { response, promised } = self.proved(peer, request, &signed).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Relayed { status, headers, body: self.small_body(peer, response, promised).await? })
    }

    async fn held(&self, peer: &Identity, path: String) -> Result<Option<Delivery>, PeerError> {
        let signed = self.authority.sign(peer, &Method::GET, &path, None);
        let request = request(uri(self.scheme, peer, &path)?, &Method::GET, &signed)
            .body(full_body(""))
            .map_err(|error| unreachable(&error))?;
        self.standings.may_ask(Instant::now(), peer)?;
        let head = tokio::time::timeout(FETCH_HEAD_TIMEOUT, self.proved(peer, request, &signed)).await;
        let head = head.unwrap_or_else(|_| {
            Err(PeerError::Unreachable(format!("no answer within {FETCH_HEAD_TIMEOUT:?}")))
        });
        self.remember(peer, &head);
        let delivery = head?;
        match delivery.response.status() {
            StatusCode::OK => Ok(Some(delivery)),
            StatusCode::NOT_FOUND => {
                // What is read to its end leaves the connection to the next question.
                self.small_body(peer, delivery.response, delivery.promised).await?;
                Ok(None)
            }
            status => Err(PeerError::Unreachable(format!("answered {status}"))),
        }
    }

    /// A request and its answer of success; any other is an error.
    async fn exchange(
        &self,
        peer: &Identity,
        request: Request<Body>,
        signed: &Signed,
    ) -> Result<Delivery, PeerError> {
        let delivery = self.proved(peer, request, signed).await?;
        if delivery.response.status().is_success() {
            return Ok(delivery);
        }
        let status = delivery.response.status();
        let body = self.small_body(peer, delivery.response, delivery.promised).await?;
        if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
            return Err(refusal(problem));
        }
        // No node answers so.
        let seen = format!("it answered {status} and no problem document");
        Err(self.faulty(peer, Fault::Unproven, seen))
    }

    /// A request and its answer, whose head has to prove where it comes from.
    async fn proved(
        &self,
        peer: &Identity,
        request: Request<Body>,
        signed: &Signed,
    ) -> Result<Delivery, PeerError> {
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let proof = response.headers().get(AUTHENTICATION_INFO).and_then(|value| value.to_str().ok());
        match self.authority.check_answer(signed, status, proof) {
            Ok(promised) => Ok(Delivery { response, promised }),
            Err(error) => {
                // One that lets nobody in says why: clocks, for one.
                let body = collect_small(response).await.unwrap_or_default();
                let said = serde_json::from_slice::<Problem>(&body).map(|problem| problem.detail);
                let said: String = said.unwrap_or_default().chars().take(TOLD_CHARS_MAX).collect();
                Err(self.faulty(peer, Fault::Unproven, format!("{error}; it answered {status} {said}")))
            }
        }
    }

    /// The whole of a small answer, which has to be what its head promised.
    async fn small_body(
        &self,
        peer: &Identity,
        response: Response<Incoming>,
        promised: Option<ContentId>,
    ) -> Result<bytes::Bytes, PeerError> {
        let body = collect_small(response).await?;
        if promised.is_some_and(|promised| promised != ContentId::of(&body)) {
            let seen = "its answer is not the one that it proved".to_owned();
            return Err(self.faulty(peer, Fault::Unproven, seen));
        }
        Ok(body)
    }

    fn remember<T>(&self, peer: &Identity, result: &Result<T, PeerError>) {
        let avoidance = self.standings.heard(Instant::now(), peer, result);
        if let Err(PeerError::Unreachable(seen)) = result {
            let fault = Fault::Unreachable;
            self.events.tell(&NodeEvent::PeerFault { peer, fault, seen, avoidance });
        }
    }
}

fn uri(scheme: &str, peer: &Identity, path: &str) -> Result<Uri, PeerError> {
    Uri::builder()
        .scheme(scheme)
        .authority(peer.http().to_string())
        .path_and_query(path)
        .build()
        .map_err(|error| unreachable(&error))
}

/// An error with its causes: hyper's outer one says little.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> PeerError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    PeerError::Unreachable(text)
}

async fn collect_small(response: Response<Incoming>) -> Result<bytes::Bytes, PeerError> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| PeerError::Unreachable(error.to_string()))
}

/// A request with the proof that it comes from a member, in the trace of the work that it is for.
fn request(uri: Uri, method: &Method, signed: &Signed) -> Builder {
    let mut request = Request::builder().method(method).uri(uri);
    if let Some(scope) = trace::current() {
        let context = scope.context();
        request = request.header(TRACEPARENT, context.traceparent());
        if let Some(state) = context.tracestate() {
            request = request.header(TRACESTATE, state);
        }
    }
    match signed.header() {
        Some(proof) => request.header(AUTHORIZATION, proof),
        None => request,
    }
}

/// What a peer's error answer means for the job.
fn refusal(problem: Problem) -> PeerError {
    let told = problem.retry_after_s.map(Duration::from_secs);
    let mut error = PeerError::of_ended(ended(&problem), problem.detail, told);
    if let PeerError::Refused { retry_after: Some(after), .. } = &mut error {
        // Whatever it says, it is added to clocks here.
        *after = (*after).min(DEADLINE_MAX);
    }
    error
}

/// How work ended at a peer, if its answer is about that. A node of an older version says it by the problem's type alone.
fn ended(problem: &Problem) -> Option<WorkError> {
    if problem.ended.is_some() {
        return problem.ended.clone();
    }
    match problem.slug()? {
        "unusable-video" => Some(WorkError::Unusable { why: problem.detail.clone() }),
        "crashed" => Some(WorkError::Crashed { how: problem.detail.clone() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
