//! Method and path to handler: the table of all routes.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, Response, Version};

use super::respond::problem;
use super::{ApiError, Body, health, internal, members, objects, upload};
use crate::node::Node;

/// Answers one request; never fails, since a failure is an answer too.
pub(super) async fn answer(node: &Arc<Node>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        // RFC 9112, section 3.2.
        return problem(&ApiError::BadRequest("the request has no Host header".to_owned()));
    }
    let read = matches!(method, Method::GET | Method::HEAD);
    let post = method == Method::POST;
    match segments.as_slice() {
        ["upload"] if post => upload::upload(node, client, request).await,
        ["internal", "offers"] if post => internal::offer(node, request).await,
        ["internal", "jobs", id] if post => internal::job(node, id, request).await,
        ["internal", "leases"] if post => internal::claim(node, request).await,
        ["internal", "leases", "end"] if post => internal::end(node, request).await,
        ["upload"]
        | ["internal", "offers" | "leases"]
        | ["internal", "leases", "end"]
        | ["internal", "jobs", _] => wrong_method(&path, "POST"),
        ["health"] if read => health::health(node),
        ["ready"] if read => health::ready(node),
        ["members"] if read => members::members(node),
        ["peers"] if read => members::peers(node),
        ["profiles"] if read => objects::profiles(node),
        ["metrics"] if read => health::metrics(node),
        ["objects", content, profile] if read => {
            objects::object(node, content, profile, request.headers()).await
        }
        ["health" | "ready" | "members" | "peers" | "profiles" | "metrics"] | ["objects", _, _] => {
            wrong_method(&path, "GET, HEAD")
        }
        _ => problem(&ApiError::NotFound(path.chars().take(200).collect())),
    }
}

fn wrong_method(path: &str, allow: &'static str) -> Response<Body> {
    problem(&ApiError::MethodNotAllowed { path: path.to_owned(), allow })
}
