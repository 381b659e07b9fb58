//! Answers: JSON, problems, results.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IntoHeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{ApiError, Body, full_body};
use crate::api::Problem;

/// An answer in JSON; data about the cluster is never cached on the way.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => return problem(&ApiError::Internal(error.to_string())),
    };
    bytes.push(b'\n');
    with_type(status, "application/json", bytes)
}

/// The answer for a failure.
pub fn problem(error: &ApiError) -> Response<Body> {
    problem_of(error, &error.problem())
}

/// The same with this document.
pub fn problem_of(error: &ApiError, document: &Problem) -> Response<Body> {
    let mut bytes = serde_json::to_vec(document).unwrap_or_default();
    bytes.push(b'\n');
    let mut response = with_type(error.status(), "application/problem+json", bytes);
    if let Some(seconds) = document.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let scheme = match error {
        ApiError::Unauthorized(_) => Some("Starling"),
        ApiError::PrivateResult => Some("Bearer"),
        _ => None,
    };
    if let Some(scheme) = scheme {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    if let ApiError::MethodNotAllowed { allow, .. } = error {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

fn with_type(status: StatusCode, media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
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
