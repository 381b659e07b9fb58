//! `/internal/*`: what nodes ask of each other. The asking side is in [`crate::offload`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use starling_placement::error::WorkError;
use starling_placement::journey::TimeBudget;

use super::respond::{json, problem, problem_of, set_header};
use super::{ApiError, Body, full_body, jobs, objects, request};
use crate::api::{
    AUTHENTICATION_INFO, Claim, CopyQuestion, End, HEADER, JobQuestion, Offer, OfferEnd, OfferId, Problem,
    ProgressQuery, QuotasUsed,
};
use crate::auth::{Admission, AuthError};
use crate::content::ContentId;
use crate::node::{Node, PeersJobError, RefusedOffer, Served};
use crate::store::Object;

/// Longest document that a peer sends.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Longest that all of it may take: it is one datagram or a few.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(10);

/// What a peer is told that gets no result: a problem, and where work has ended, how, as a code and its figures.
pub(super) struct Said {
    error: ApiError,
    ended: Option<WorkError>,
}

impl Said {
    fn of_job(error: PeersJobError, allowed: Duration) -> Self {
        match error {
            PeersJobError::Offer { error, .. } => ApiError::NotFound(error.to_string()).into(),
            PeersJobError::Profile(error) => ApiError::from(error).into(),
            PeersJobError::Ingest(error) => ApiError::from(error).into(),
            PeersJobError::Work(ended) => {
                Self { error: ApiError::ended(ended.clone(), allowed), ended: Some(ended) }
            }
        }
    }

    fn response(&self) -> Response<Body> {
        problem_of(&self.error, &Problem { ended: self.ended.clone(), ..self.error.problem() })
    }
}

impl From<ApiError> for Said {
    fn from(error: ApiError) -> Self {
        Self { error, ended: None }
    }
}

impl From<RefusedOffer> for Said {
    fn from(refused: RefusedOffer) -> Self {
        let ended = match &refused {
            RefusedOffer::Work(ended) => Some(ended.clone()),
            _ => None,
        };
        Self { error: refused.into(), ended }
    }
}

/// `POST /internal/offers`: a place in the queue for a job, or a refusal at once.
pub(super) async fn offer(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |offer: Offer| node.consider(peer, offer).map_err(Said::from)).await
}

/// `POST /internal/offers/end`: the body of an accepted offer does not come.
pub(super) async fn end_offer(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |end: OfferEnd| {
        node.release_offer(end.offer);
        Ok(())
    })
    .await
}

/// `POST /internal/leases`: a claim to a content whose home this node is.
pub(super) async fn claim(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |claim: Claim| Ok(node.give_lease(claim).await)).await
}

/// `POST /internal/leases/end`: how work under a lease ended.
pub(super) async fn end(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |end: End| {
        node.end_lease(end);
        Ok(())
    })
    .await
}

/// `POST /internal/quotas`: what clients' tokens have used at another node.
pub(super) async fn quotas(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |word: QuotasUsed| {
        node.hear_quotas(&word);
        Ok(())
    })
    .await
}

/// `POST /internal/progress`: a sign of life of work that another node waits for.
pub(super) async fn progress(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |query: ProgressQuery| {
        Ok(node.progress(&node.key_of(query.content, query.profile, query.recipe)))
    })
    .await
}

/// `GET /internal/results/{content}/{profile}/{recipe}`: a result that this node holds. An older node names no recipe.
pub(super) async fn result(
    node: &Arc<Node>,
    (content, profile, recipe): (&str, &str, Option<&str>),
    request: Request<Incoming>,
) -> Response<Body> {
    let admission = match member(node, request.method(), request.uri().path(), request.headers()) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    match held(node, content, profile, recipe).await {
        Ok(object) => delivered(&admission, &object),
        Err(error) => proved(&admission, problem(&error)).await,
    }
}

/// `POST /internal/kept`: what another node asks about jobs that this one keeps.
pub(super) async fn kept(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |question: JobQuestion| {
        jobs::answer(node, question).await.map_err(Said::from)
    })
    .await
}

/// `POST /internal/copies`: what another node says of jobs that both keep, or are to keep.
pub(super) async fn copies(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    exchange(node, request, async |question: CopyQuestion| {
        node.answer_keeper(question).await.map_err(|error| Said::from(ApiError::from(error)))
    })
    .await
}

/// `GET /internal/kept/{job}/{number}`: a result that this node keeps for a job; or with `video` what it is to be made of.
pub(super) async fn kept_output(
    node: &Arc<Node>,
    (job, at): (&str, &str),
    request: Request<Incoming>,
) -> Response<Body> {
    let admission = match member(node, request.method(), request.uri().path(), request.headers()) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    match jobs::kept(node, job, at).await {
        Ok(object) => delivered(&admission, &object),
        Err(error) => proved(&admission, problem(&error)).await,
    }
}

async fn held(node: &Node, content: &str, profile: &str, recipe: Option<&str>) -> Result<Object, ApiError> {
    let no_recipe =
        |error| ApiError::BadRequest(format!("recipe {:.80}: {error}", recipe.unwrap_or_default()));
    let recipe = recipe.map(str::parse).transpose().map_err(no_recipe)?;
    let name = profile.parse().map_err(|error| ApiError::BadRequest(format!("{profile:.80}: {error}")))?;
    let profile = node.profile_by_recipe(&name, recipe)?;
    objects::find(node, objects::content_id(content)?, &profile).await
}

/// `POST /internal/jobs/{offer}`: the body of an accepted offer; the answer is the result.
pub(super) async fn job(node: &Arc<Node>, id: &str, request: Request<Incoming>) -> Response<Body> {
    let admission = match member(node, request.method(), request.uri().path(), request.headers()) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    match work(node, id, request).await {
        Ok(served) => {
            let mut response = delivered(&admission, &served.object);
            set_header(&mut response, HEADER::SERVED_BY, served.by.name.as_str());
            set_header(&mut response, HEADER::CACHE, served.cache.as_str());
            response
        }
        Err(said) => {
            node.tell_peers_job_failed(said.error.slug(), &said.error);
            proved(&admission, said.response()).await
        }
    }
}

async fn work(node: &Arc<Node>, id: &str, request: Request<Incoming>) -> Result<Served, Said> {
    let arrived = Instant::now();
    let (head, mut body) = request.into_parts();
    let id: OfferId = id.parse().map_err(|error| ApiError::BadRequest(format!("{id:.80}: {error}")))?;
    // It keeps on while others wait for the same: see `TimeBudget::limit`.
    let max = node.config().deadline_max.saturating_mul(2);
    let deadline = request::peers_deadline(&head, node.config().deadline, max, arrived)?;
    let budget = TimeBudget::new(arrived, deadline.allowed);
    node.work_for_peer(id, &mut body, budget).await.map_err(|error| Said::of_job(error, deadline.allowed))
}

/// Answers a small JSON document from a peer with another one.
pub(super) async fn exchange<Q: DeserializeOwned, A: Serialize>(
    node: &Node,
    request: Request<Incoming>,
    answer: impl AsyncFnOnce(Q) -> Result<A, Said>,
) -> Response<Body> {
    let admission = match member(node, request.method(), request.uri().path(), request.headers()) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    let answered = match document(&admission, request).await {
        Ok(question) => answer(question).await,
        Err(error) => Err(error.into()),
    };
    let response = match answered {
        Ok(document) => json(StatusCode::OK, &document),
        Err(said) => said.response(),
    };
    proved(&admission, response).await
}

pub(super) async fn document<T: DeserializeOwned>(
    admission: &Admission,
    request: Request<Incoming>,
) -> Result<T, ApiError> {
    let document = Limited::new(request.into_body(), DOCUMENT_BYTES_MAX).collect();
    let body = tokio::time::timeout(DOCUMENT_TIME_MAX, document)
        .await
        .map_err(|_| ApiError::ClientTooSlow(format!("not all of it within {DOCUMENT_TIME_MAX:?}")))?
        .map_err(|error| ApiError::BodyBroken(error.to_string()))?
        .to_bytes();
    if admission.body().is_some_and(|digest| digest != ContentId::of(&body)) {
        return Err(AuthError::Wrong.into());
    }
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::BadRequest(format!("not the document that is expected here: {error}")))
}

/// Lets only members in.
pub(super) fn member(
    node: &Node,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Admission, AuthError> {
    let proof = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    node.authority().check(method, path, proof)
}

/// Lets only those in that may change how a node works: who has the cluster's key, or, where there is none, who is on the node's
/// own machine.
pub(super) fn administrator<B>(
    node: &Node,
    peer: IpAddr,
    request: &Request<B>,
) -> Result<Admission, AuthError> {
    let admission = member(node, request.method(), request.uri().path(), request.headers())?;
    if node.authority().is_open() && !is_own_machine(peer) {
        return Err(AuthError::Remote);
    }
    Ok(admission)
}

fn is_own_machine(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// A whole result, with the proof that it comes from here.
fn delivered(admission: &Admission, object: &Object) -> Response<Body> {
    let mut response = objects::whole(object);
    prove(admission, &mut response, &object.sha256());
    response
}

/// A small answer, with the proof that it comes from here.
pub(super) async fn proved(admission: &Admission, response: Response<Body>) -> Response<Body> {
    let (head, body) = response.into_parts();
    // All of it is at hand.
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return problem(&ApiError::Internal(error.to_string())),
    };
    let digest = ContentId::of(&body);
    let mut response = Response::from_parts(head, full_body(body));
    prove(admission, &mut response, &digest);
    response
}

fn prove(admission: &Admission, response: &mut Response<Body>, digest: &ContentId) {
    if let Some(proof) = admission.prove(response.status(), digest) {
        set_header(response, AUTHENTICATION_INFO, &proof);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_the_own_machine() {
        for (peer, own) in [
            ("127.0.0.1", true),
            ("127.8.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.77.1.1", false),
            ("::ffff:10.77.1.1", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_own_machine(peer.parse().unwrap()), own, "{peer}");
        }
    }
}
