//! Answers: JSON, problems, results.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IntoHeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{ApiError, Body, full_body};
use crate::access::AccessError;
use crate::api::Problem;

/// An answer in JSON; data about the cluster is never cached on the way.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => return problem(&ApiError::Internal(error.to_string())),
    };
    bytes.push(b'\n');
    json_bytes(status, bytes)
}

/// The same of JSON that is written already.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    with_type(status, "application/json", bytes)
}

/// The answer for a failure.
pub fn problem(error: &ApiError) -> Response<Body> {
    problem_of(error, &error.problem())
}

/// The same with this document.
pub fn problem_of(error: &ApiError, document: &Problem) -> Response<Body> {
    let mut response = with_document(error.status(), document);
    if let Some(challenge) = challenge(error) {
        set_header(&mut response, WWW_AUTHENTICATE, &challenge);
    }
    if let ApiError::MethodNotAllowed { allow, .. } = error {
        set_header(&mut response, ALLOW, allow);
    }
    response
}

/// The answer for what another node has refused, as it tells it.
pub fn problem_told(document: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(document.status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_document(status, document)
}

fn with_document(status: StatusCode, document: &Problem) -> Response<Body> {
    let mut bytes = serde_json::to_vec(document).unwrap_or_default();
    bytes.push(b'\n');
    let mut response = with_type(status, "application/problem+json", bytes);
    if let Some(seconds) = document.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// With what whoever asks could prove that it may (RFC 9110, section 11.6.1; RFC 6750, section 3).
fn challenge(error: &ApiError) -> Option<Cow<'static, str>> {
    let of_token = |error: &str| Cow::Owned(format!("Bearer realm=\"starling\", error=\"{error}\""));
    match error {
        ApiError::Unauthorized(_) => Some("Starling".into()),
        ApiError::PrivateResult => Some("Bearer".into()),
        ApiError::Access(AccessError::Missing { .. }) => Some("Bearer realm=\"starling\"".into()),
        ApiError::Access(AccessError::Unknown | AccessError::Expired { .. }) => {
            Some(of_token("invalid_token"))
        }
        ApiError::Access(AccessError::Scope { needed, .. }) => {
            let (challenge, needed) = (of_token("insufficient_scope"), needed.replace(" or ", " "));
            Some(format!("{challenge}, scope=\"{needed}\"").into())
        }
        _ => None,
    }
}

/// Lets a browser ask its user for the token: it sends it as a password, with whatever the page asks for then.
pub fn ask_for_password(response: &mut Response<Body>) {
    if response.status() == StatusCode::UNAUTHORIZED {
        let basic =
            HeaderValue::from_static("Basic realm=\"starling: a token as password\", charset=\"UTF-8\"");
        response.headers_mut().append(WWW_AUTHENTICATE, basic);
    }
}

fn with_type(status: StatusCode, media_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full_body(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer of server-sent events (the HTML standard, section 9.2).
pub fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back until it has a buffer full of them.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Sets a header whose value was made here; one that can't stand in a header is left out rather than sent broken.
pub fn set_header(response: &mut Response<Body>, name: impl IntoHeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    } else {
        tracing::warn!(value, "a header's value has bytes that headers can't carry");
    }
}

/// Announces a body's length.
pub fn set_length(response: &mut Response<Body>, bytes: u64) {
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
}
