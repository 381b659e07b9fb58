//! Requests for uploads that lie at another node: passed on as they are, and so is the answer.
//!
//! Between nodes each is a `POST /internal/uploads/{id}` with the proof of a member. What the client meant stands in headers of our own:
//! its method and its body's type; those of the protocols go along as they are.

use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use hyper::{Method, Request, Response};

use super::{Call, answer, named, tell_refused};
use crate::http::error::PartsError;
use crate::http::respond::problem;
use crate::http::returnable::ReturnableBody;
use crate::http::{ApiError, Body, full_body, internal};
use crate::node::Node;
use crate::uploads::UploadId;

/// The client's method and its body's type.
const METHOD: HeaderName = HeaderName::from_static("x-passed-method");
const TYPE: HeaderName = HeaderName::from_static("x-passed-type");
/// What goes along of a request, beside that and what begins with `upload-`.
const ASKED: [&str; 3] = ["tus-resumable", "content-digest", "content-length"];
/// What comes back, beside what begins with `upload-`.
const ANSWERED: [HeaderName; 5] = [LOCATION, CONTENT_TYPE, CONTENT_LOCATION, CACHE_CONTROL, RETRY_AFTER];

fn is_of_uploads(name: &HeaderName) -> bool {
    name.as_str().starts_with("upload-")
}

/// Passes a request on to the node where its upload lies.
pub(super) async fn on(
    node: &Arc<Node>,
    call: &Call,
    id: &UploadId,
    body: ReturnableBody,
) -> Result<Response<Body>, ApiError> {
    let away = |why: String| ApiError::from(PartsError::Elsewhere { node: id.node.to_string(), why });
    let Some(peer) = node.live(&id.node) else {
        // Of a node that is no member there is nothing to wait for.
        let known = node.view().peer(&id.node).is_some();
        let gone = || crate::uploads::UploadError::NotFound(id.clone()).into();
        return Err(if known { away("it is no live member".into()) } else { gone() });
    };
    let mut headers: HeaderMap = call
        .headers
        .iter()
        .filter(|(name, _)| is_of_uploads(name) || ASKED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let method = HeaderValue::from_str(call.method.as_str());
    headers.insert(METHOD, method.map_err(|error| ApiError::BadRequest(error.to_string()))?);
    if let Some(of_type) = call.headers.get(CONTENT_TYPE) {
        headers.insert(TYPE, of_type.clone());
    }
    let body = body.map_err(std::io::Error::other).boxed_unsync();
    let relayed =
        node.pass_upload(&peer, id, headers, body).await.map_err(|error| away(error.to_string()))?;
    let mut response = Response::new(full_body(relayed.body));
    *response.status_mut() = relayed.status;
    for (name, value) in &relayed.headers {
        if is_of_uploads(name) || ANSWERED.contains(name) || name == crate::api::HEADER::JOB {
            response.headers_mut().append(name, value.clone());
        }
    }
    Ok(response)
}

/// `POST /internal/uploads/{id}`: the other end of it.
pub(in crate::http) async fn passed(
    node: &Arc<Node>,
    id: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let admission = match internal::member(node, request.method(), request.uri().path(), request.headers()) {
        Ok(admission) => admission,
        Err(error) => return problem(&error.into()),
    };
    let (arrived, (head, body)) = (Instant::now(), request.into_parts());
    let brings = head.headers.get(&METHOD).is_some_and(|method| method == Method::PATCH.as_str());
    let answered = async {
        let method = head.headers.get(&METHOD).map(|method| Method::from_bytes(method.as_bytes()));
        let Some(Ok(method)) = method else {
            return Err(ApiError::BadRequest(format!("{METHOD}: give the client's method")));
        };
        let id = named(id)?;
        if node.is_draining() && method == Method::PATCH {
            return Err(ApiError::Draining);
        }
        let mut headers = head.headers;
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
        if let Some(of_type) = headers.remove(&TYPE) {
            headers.insert(CONTENT_TYPE, of_type);
        }
        answer(node, &Call::new(&method, headers)?, &id, body).await
    };
    let response = answered.await.unwrap_or_else(|error| {
        if brings {
            tell_refused(node, &error, arrived);
        }
        problem(&error)
    });
    internal::proved(&admission, response).await
}
