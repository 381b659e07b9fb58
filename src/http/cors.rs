//! What answers say to browsers: how to take them, and which pages may read them.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderName,
    HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::{Body, full_body};
use crate::gate::Passed;

/// Fetch, section 3.7: whether pages of other sites may show an answer that they can't read.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Headers of requests that a page may set.
const REQUEST_HEADERS: &str = "authorization, content-digest, content-type, idempotency-key, if-match, if-none-match, if-range, last-event-id, prefer, range, repr-digest, traceparent, tracestate, \
                               tus-resumable, upload-checksum, upload-complete, upload-defer-length, upload-draft-interop-version, upload-length, \
                               upload-metadata, upload-offset, x-content-sha256, x-deadline-ms, x-filename, x-http-method-override, x-priority, \
                               x-profile";
/// Headers of answers that a page may read, beside those that every page may.
const ANSWER_HEADERS: &str = "accept-ranges, content-disposition, content-location, content-range, etag, link, location, preference-applied, repr-digest, \
                              retry-after, tus-checksum-algorithm, tus-extension, tus-max-size, tus-resumable, tus-version, upload-complete, \
                              upload-defer-length, upload-expires, upload-length, upload-limit, upload-metadata, upload-offset, \
                              x-cache, x-input-damage, x-job, x-processing-latency, x-request-id, x-route, x-served-by";
/// Seconds for which a browser needs not ask again: what most of them keep at the most.
const PREFLIGHT_AGE_S: u64 = 7200;

/// The answer to a browser that asks whether its page may send something, where it may.
pub(super) fn preflight<B>(request: &Request<B>, passed: &Passed) -> Option<Response<Body>> {
    let asks =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || passed.allow_origin.is_none() {
        return None;
    }
    let mut response = Response::new(full_body(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S.into());
    Some(response)
}

/// Sets on every answer what browsers need to know; `passed` is none where the request was turned away.
pub(super) fn finish(response: &mut Response<Body>, passed: Option<Passed>) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let any = passed.as_ref().is_some_and(|passed| passed.any_origin);
    let policy = if any { "cross-origin" } else { "same-site" };
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static(policy));
    let Some(Passed { allow_origin, varies, .. }) = passed else { return };
    if varies {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = allow_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
    }
}
