//! A request as a span of its trace.

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::Body;
use crate::body::keep;
use crate::trace::{Scope, SpanKind, Underway};

/// First parts of the paths that spans tell; of others only the method is told, for they are what clients make up.
const TOLD: [&str; 4] = ["upload", "jobs", "uploads", "objects"];
/// Asked again and again while work goes on: to tell of them would say nothing.
const POLLS: [&str; 4] = ["/internal/progress", "/internal/leases", "/internal/copies", "/internal/quotas"];

/// A request begins; none where nobody keeps its span.
pub(super) fn begin(scope: &Scope, request: &Request<Incoming>) -> Option<Underway> {
    let (method, path) = (request.method(), request.uri().path());
    // In a trace of the client's own all is told, and of the others what is about videos.
    let wanted = path == "/upload" || (scope.context().parent.is_some() && !POLLS.contains(&path));
    let mut underway =
        Underway::begin(scope, SpanKind::Server, wanted, || format!("{method} {}", route(path)))?;
    underway.say("http.request.method", method.as_str());
    Some(underway)
}

/// Its answer has begun: the span ends with the answer's last byte, or when the client goes away.
pub(super) fn answered(underway: Option<Underway>, response: Response<Body>) -> Response<Body> {
    let Some(mut underway) = underway else { return response };
    let status = response.status();
    underway.say("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        underway.fail();
    }
    response.map(|body| keep(body, underway))
}

/// A name of which there are few: no ids, and nothing that clients choose.
fn route(path: &str) -> String {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("internal"), Some(part))
            if part.len() <= 16 && part.bytes().all(|b| b.is_ascii_lowercase()) =>
        {
            format!("/internal/{part}")
        }
        (Some(part), _) if TOLD.contains(&part) => format!("/{part}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_spans_are_few() {
        let named =
            ["/upload", "/jobs/1/output", "/objects/abc/720p", "/internal/jobs/77", "/whatever/x", "/", "*"];
        let routes = named.map(route);
        assert_eq!(routes, ["/upload", "/jobs", "/objects", "/internal/jobs", "", "", ""]);
        assert_eq!(route("/internal/Any-Thing"), "");
    }
}
