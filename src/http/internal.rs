//! `/internal/*`: what nodes ask of each other. The asking side is in [`crate::offload`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::respond::{json, problem, set_header};
use super::{ApiError, Body, HEADER, objects, request};
use crate::auth::AuthError;
use crate::content::ContentId;
use crate::lease::{Claim, End, Lessee};
use crate::node::Node;
use crate::offload::{Accepted, Offer, OfferId};

/// Longest document that a peer sends.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Longest that all of it may take: it is one datagram or a few.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(10);

/// `POST /internal/offers`: a place in the queue for a job, or a refusal at once.
pub(super) async fn offer(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    match accept(node, peer, request).await {
        Ok(accepted) => json(StatusCode::OK, &accepted),
        Err(error) => problem(&error),
    }
}

async fn accept(node: &Arc<Node>, peer: IpAddr, request: Request<Incoming>) -> Result<Accepted, ApiError> {
    let offer: Offer = document(node, request).await?;
    node.consider(peer, offer)
}

/// `POST /internal/leases`: a claim to a content whose home this node is.
pub(super) async fn claim(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    match document::<Claim>(node, request).await {
        Ok(claim) => {
            let lessee = Lessee { name: claim.from, boot: claim.boot };
            let (lease, wait) = (Duration::from_millis(claim.lease_ms), Duration::from_millis(claim.wait_ms));
            let verdict = node.give_lease(&(claim.content, claim.profile), &lessee, lease, wait).await;
            json(StatusCode::OK, &verdict)
        }
        Err(error) => problem(&error),
    }
}

/// `POST /internal/leases/end`: how work under a lease ended.
pub(super) async fn end(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    match document::<End>(node, request).await {
        Ok(end) => {
            node.end_lease(end);
            json(StatusCode::OK, &())
        }
        Err(error) => problem(&error),
    }
}

/// A small JSON document from a peer.
async fn document<T: DeserializeOwned>(node: &Node, request: Request<Incoming>) -> Result<T, ApiError> {
    let promised = member(node, request.method(), request.uri().path(), request.headers())?;
    let document = Limited::new(request.into_body(), DOCUMENT_BYTES_MAX).collect();
    let body = tokio::time::timeout(DOCUMENT_TIME_MAX, document)
        .await
        .map_err(|_| ApiError::ClientTooSlow(format!("not all of it within {DOCUMENT_TIME_MAX:?}")))?
        .map_err(|error| ApiError::BodyBroken(error.to_string()))?
        .to_bytes();
    if promised.is_some_and(|digest| digest != ContentId::of(&body)) {
        return Err(AuthError::Wrong.into());
    }
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::BadRequest(format!("not the document that is expected here: {error}")))
}

/// `POST /internal/jobs/{offer}`: the body of an accepted offer; the answer is the result.
pub(super) async fn job(node: &Arc<Node>, id: &str, request: Request<Incoming>) -> Response<Body> {
    match work(node, id, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::info!(%error, "could not do a job for a peer");
            problem(&error)
        }
    }
}

async fn work(node: &Arc<Node>, id: &str, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let arrived = Instant::now();
    let (head, mut body) = request.into_parts();
    member(node, &head.method, head.uri.path(), &head.headers)?;
    let id: OfferId = id.parse().map_err(|error| ApiError::BadRequest(format!("{id:.80}: {error}")))?;
    let deadline = request::deadline(&head, node.config().deadline, arrived)?;
    let served = node.work_for_peer(id, &mut body, deadline).await?;
    let mut response = objects::whole(&served.object);
    set_header(&mut response, HEADER::SERVED_BY, served.by.name.as_str());
    set_header(&mut response, HEADER::CACHE, served.cache.as_str());
    Ok(response)
}

/// Lets only members in; answers with the digest that they promise for a small body.
fn member(
    node: &Node,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<ContentId>, AuthError> {
    let proof = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    node.authority().check(method, path, proof)
}
