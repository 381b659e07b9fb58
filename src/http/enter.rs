//! What every request meets before its route, at a node as at a monitor: the gate, what browsers are told, tokens.

use hyper::body::Incoming;
use hyper::{Request, Response};
use starling_overlay::View;

use super::respond::{self, problem};
use super::routes::{Id, Route};
use super::{ApiError, Body, cors, upload};
use crate::entrance::Entrance;

/// Has `route` answer a request that may be answered at all.
pub(super) async fn answer<A: Future<Output = Response<Body>> + Send>(
    entrance: &Entrance,
    view: &View,
    request: Request<Incoming>,
    route: impl FnOnce(Request<Incoming>) -> A + Send,
) -> Response<Body> {
    let (mut response, passed) = match entrance.gate().check(&request, |name| is_member(view, name)) {
        Err(error) => (refuse(request, &error.into()), None),
        Ok(passed) => match cors::preflight(&request, &passed) {
            Some(leave) => (leave, Some(passed)),
            None => (route(request).await, Some(passed)),
        },
    };
    cors::finish(&mut response, passed);
    response
}

/// Whether a member has this name. Names in URLs have no case.
fn is_member(view: &View, name: &str) -> bool {
    view.peers.iter().any(|member| member.identity.name.as_str().eq_ignore_ascii_case(name))
}

/// The answer to what is not looked at. A client that first sends and then reads is to get it, too.
pub(super) fn refuse(request: Request<Incoming>, error: &ApiError) -> Response<Body> {
    let (head, body) = request.into_parts();
    upload::read_on(&head, body);
    problem(error)
}

/// The answer to who lacks what a route needs: on the page's, a browser asks its user.
pub(super) fn turn_away(request: Request<Incoming>, route: &Route, error: &ApiError) -> Response<Body> {
    let mut response = refuse(request, error);
    if route.id == Id::Dashboard {
        respond::ask_for_password(&mut response);
    }
    response
}
