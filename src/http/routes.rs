//! The table of all routes: what a node answers, by which methods, and what whoever asks needs.
//!
//! A route that is not in it is not found; so a new one can't be forgotten where tokens are asked for, nor in the `OpenAPI` document.

use hyper::Method;

use super::ApiError;
use crate::access::Scope;

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET and HEAD.
    Read,
    /// GET alone: nodes ask each other for nothing but whole answers.
    Get,
    Post,
    Patch,
    Delete,
    Options,
}

/// What whoever asks needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: whoever asks whether the node lives has no token.
    Nothing,
    /// A token with one of these scopes, where tokens are asked for.
    Token(&'static [Scope]),
    /// The same, or under `--private-results` the result's own token, which is enough then, and without which a client's is not.
    Result(&'static [Scope]),
    /// The proof of a member: the cluster's key.
    Key,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Root,
    Upload,
    Uploads,
    UploadList,
    UploadCreate,
    UploadPart,
    JobCreate,
    JobList,
    JobShow,
    JobCancel,
    JobRetry,
    JobEvents,
    JobOutput,
    Object,
    ObjectFiles,
    ObjectFile,
    Profiles,
    Health,
    Ready,
    Members,
    Peers,
    Events,
    Dashboard,
    Metrics,
    Discovery,
    OpenApi,
    Report,
    Offer,
    OfferEnd,
    PeersJob,
    PeersUpload,
    Lease,
    LeaseEnd,
    Progress,
    Copies,
    Quotas,
    Unfinished,
    WorkShow,
    WorkSet,
    PolicyShow,
    PolicySet,
    PeersResult,
    Kept,
    KeptOutput,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// A segment in braces stands for any one; `*` at the end for any number of them.
    pub(super) path: &'static str,
    pub(super) need: Need,
    pub(super) id: Id,
}

const fn route(verb: Verb, path: &'static str, need: Need, id: Id) -> Route {
    Route { verb, path, need, id }
}

const UPLOAD: Need = Need::Token(&[Scope::Upload]);
/// What goes with an upload: a job's number can't be guessed, so whoever has it may know of the job.
const OWN: Need = Need::Token(&[Scope::Upload, Scope::Read]);
const READ: Need = Need::Token(&[Scope::Read]);
const FIGURES: Need = Need::Token(&[Scope::Metrics, Scope::Read]);
const RESULT: Need = Need::Result(&[Scope::Read]);

/// All of them. Of two whose paths fit, the first one counts.
pub(super) const ROUTES: &[Route] = &[
    route(Verb::Read, "/", Need::Nothing, Id::Root),
    route(Verb::Post, "/upload", UPLOAD, Id::Upload),
    route(Verb::Options, "/uploads", Need::Nothing, Id::Uploads),
    route(Verb::Read, "/uploads", UPLOAD, Id::UploadList),
    route(Verb::Post, "/uploads", UPLOAD, Id::UploadCreate),
    route(Verb::Options, "/uploads/{id}", Need::Nothing, Id::Uploads),
    route(Verb::Read, "/uploads/{id}", UPLOAD, Id::UploadPart),
    route(Verb::Patch, "/uploads/{id}", UPLOAD, Id::UploadPart),
    route(Verb::Post, "/uploads/{id}", UPLOAD, Id::UploadPart),
    route(Verb::Delete, "/uploads/{id}", UPLOAD, Id::UploadPart),
    route(Verb::Read, "/jobs", OWN, Id::JobList),
    route(Verb::Post, "/jobs", UPLOAD, Id::JobCreate),
    route(Verb::Read, "/jobs/{id}", OWN, Id::JobShow),
    route(Verb::Delete, "/jobs/{id}", UPLOAD, Id::JobCancel),
    route(Verb::Post, "/jobs/{id}/retry", UPLOAD, Id::JobRetry),
    route(Verb::Read, "/jobs/{id}/events", OWN, Id::JobEvents),
    route(Verb::Read, "/jobs/{id}/output", OWN, Id::JobOutput),
    route(Verb::Read, "/jobs/{id}/output/{profile}", OWN, Id::JobOutput),
    route(Verb::Read, "/objects/{sha256}/{profile}", RESULT, Id::Object),
    route(Verb::Read, "/objects/{sha256}/{profile}/", RESULT, Id::ObjectFiles),
    route(Verb::Read, "/objects/{sha256}/{profile}/{file}", RESULT, Id::ObjectFile),
    route(Verb::Read, "/profiles", OWN, Id::Profiles),
    route(Verb::Read, "/health", Need::Nothing, Id::Health),
    route(Verb::Read, "/ready", Need::Nothing, Id::Ready),
    route(Verb::Read, "/members", OWN, Id::Members),
    route(Verb::Read, "/peers", OWN, Id::Peers),
    route(Verb::Read, "/events", READ, Id::Events),
    route(Verb::Read, "/dashboard/*", READ, Id::Dashboard),
    route(Verb::Read, "/metrics", FIGURES, Id::Metrics),
    route(Verb::Read, "/sd/prometheus", FIGURES, Id::Discovery),
    route(Verb::Read, "/openapi.json", Need::Nothing, Id::OpenApi),
    route(Verb::Post, "/internal/offers", Need::Key, Id::Offer),
    route(Verb::Post, "/internal/offers/end", Need::Key, Id::OfferEnd),
    route(Verb::Post, "/internal/jobs/{offer}", Need::Key, Id::PeersJob),
    route(Verb::Post, "/internal/uploads/{id}", Need::Key, Id::PeersUpload),
    route(Verb::Post, "/internal/leases", Need::Key, Id::Lease),
    route(Verb::Post, "/internal/leases/end", Need::Key, Id::LeaseEnd),
    route(Verb::Post, "/internal/progress", Need::Key, Id::Progress),
    route(Verb::Post, "/internal/copies", Need::Key, Id::Copies),
    route(Verb::Post, "/internal/unfinished", Need::Key, Id::Unfinished),
    route(Verb::Post, "/internal/quotas", Need::Key, Id::Quotas),
    route(Verb::Get, "/internal/work", Need::Key, Id::WorkShow),
    route(Verb::Post, "/internal/work", Need::Key, Id::WorkSet),
    route(Verb::Get, "/internal/policy", Need::Key, Id::PolicyShow),
    route(Verb::Post, "/internal/policy", Need::Key, Id::PolicySet),
    route(Verb::Get, "/internal/results/{sha256}/{profile}", Need::Key, Id::PeersResult),
    route(Verb::Get, "/internal/results/{sha256}/{profile}/{recipe}", Need::Key, Id::PeersResult),
    route(Verb::Post, "/internal/kept", Need::Key, Id::Kept),
    route(Verb::Get, "/internal/kept/{job}/{number}", Need::Key, Id::KeptOutput),
];

/// What a monitor answers. Who may upload may tell what came of it.
pub(super) const OF_MONITOR: &[Route] = &[
    route(Verb::Read, "/", Need::Nothing, Id::Root),
    route(Verb::Read, "/health", Need::Nothing, Id::Health),
    route(Verb::Read, "/ready", Need::Nothing, Id::Ready),
    route(Verb::Read, "/members", OWN, Id::Members),
    route(Verb::Read, "/dashboard/*", READ, Id::Dashboard),
    route(Verb::Post, "/update_metrics", UPLOAD, Id::Report),
];

/// A route as it is told: to the `OpenAPI` document, and to whoever walks all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Its methods; HEAD goes with GET and is not named.
    pub method: Method,
    /// Its path, with braces.
    pub path: &'static str,
    /// Scopes of which one is needed where tokens are asked for; none: nothing is needed, or the cluster's key.
    pub scopes: &'static [Scope],
    /// Whether it is for the cluster's own nodes.
    pub between_nodes: bool,
}

/// All routes of a node.
pub fn all() -> impl Iterator<Item = RouteInfo> {
    ROUTES.iter().map(|route| RouteInfo {
        method: match route.verb {
            Verb::Read | Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
            Verb::Options => Method::OPTIONS,
        },
        path: route.path,
        scopes: match route.need {
            Need::Token(scopes) | Need::Result(scopes) => scopes,
            Need::Nothing | Need::Key => &[],
        },
        between_nodes: route.need == Need::Key,
    })
}

impl Verb {
    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Read => matches!(*method, Method::GET | Method::HEAD),
            Self::Get => *method == Method::GET,
            Self::Post => *method == Method::POST,
            Self::Patch => *method == Method::PATCH,
            Self::Delete => *method == Method::DELETE,
            Self::Options => *method == Method::OPTIONS,
        }
    }

    const fn listed(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// What a path has in the places of a route's braces; below one that ends in `*`, the rest. None: it is not that route's.
fn fits<'p>(route: &Route, path: &'p str) -> Option<Vec<&'p str>> {
    let (mut given, mut values) = (path.strip_prefix('/')?.split('/'), Vec::new());
    for expected in route.path.strip_prefix('/')?.split('/') {
        if expected == "*" {
            values.extend(given);
            return Some(values);
        }
        let segment = given.next()?;
        if expected.starts_with('{') {
            values.push(segment);
        } else if segment != expected {
            return None;
        }
    }
    given.next().is_none().then_some(values)
}

/// The route of a request to a node, with what stands in the places of its braces.
pub(super) fn find<'p>(method: &Method, path: &'p str) -> Result<(&'static Route, Vec<&'p str>), ApiError> {
    find_in(ROUTES, method, path)
}

/// The same in another table.
pub(super) fn find_in<'p>(
    table: &'static [Route],
    method: &Method,
    path: &'p str,
) -> Result<(&'static Route, Vec<&'p str>), ApiError> {
    let mut allowed: Vec<&'static str> = Vec::new();
    let mut first = None;
    for route in table {
        // Of others that fit as well, the methods are none of this path's.
        if first.is_some_and(|first| first != route.path) {
            continue;
        }
        let Some(values) = fits(route, path) else { continue };
        if route.verb.takes(method) {
            return Ok((route, values));
        }
        first = Some(route.path);
        allowed.push(route.verb.listed());
    }
    let told = path.chars().take(200).collect();
    if allowed.is_empty() {
        return Err(ApiError::NotFound(told));
    }
    Err(ApiError::MethodNotAllowed { path: told, allow: allowed.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of a route.
    pub(super) fn example(route: &Route) -> String {
        let fill = |segment: &'static str| match segment {
            "*" => "state",
            segment if segment.starts_with('{') => "x",
            segment => segment,
        };
        route.path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    #[test]
    fn each_route_is_found_by_its_own_methods_alone() {
        for route in ROUTES {
            let path = example(route);
            for method in [
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::DELETE,
                Method::PUT,
                Method::PATCH,
                Method::OPTIONS,
            ] {
                match find(&method, &path) {
                    Ok((found, _)) => assert_eq!(found.path, route.path, "{method} {path}"),
                    Err(ApiError::MethodNotAllowed { allow, .. }) => {
                        assert!(!allow.contains(method.as_str()), "{method} {path}: {allow}");
                    }
                    Err(error) => panic!("{method} {path}: {error}"),
                }
            }
            let own = [Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];
            let own = own.into_iter().find(|m| route.verb.takes(m));
            assert_eq!(find(&own.unwrap(), &path).unwrap().0.id, route.id, "{path}");
        }
    }

    #[test]
    fn what_routes_need_is_as_it_is_documented() {
        let nothing: Vec<_> =
            ROUTES.iter().filter(|route| route.need == Need::Nothing).map(|route| route.path).collect();
        assert_eq!(
            nothing,
            ["/", "/uploads", "/uploads/{id}", "/health", "/ready", "/openapi.json"],
            "what nobody has to have a token for"
        );
        for route in ROUTES {
            let internal = route.path.starts_with("/internal/");
            assert_eq!(internal, route.need == Need::Key, "{}", route.path);
            let objects = route.path.starts_with("/objects/");
            assert_eq!(objects, matches!(route.need, Need::Result(_)), "{}", route.path);
            // What changes something is for who may upload.
            if !internal && !matches!(route.verb, Verb::Read | Verb::Options) {
                assert_eq!(route.need, UPLOAD, "{}", route.path);
            }
        }
    }

    #[test]
    fn paths_that_are_none_are_not_found() {
        for path in [
            "/uploads/a/b",
            "/upload/",
            "/jobs/a/b",
            "/jobs/a/output/b/c",
            "/objects",
            "/objects/a",
            "/objects/a/b/c/d",
            "/internal",
            "/internal/x",
            "/sd",
            "/healthz",
            "",
            "*",
            "/internal/results/a",
        ] {
            assert!(matches!(find(&Method::GET, path), Err(ApiError::NotFound(_))), "{path}");
        }
        assert_eq!(find(&Method::GET, "/dashboard").unwrap().1, Vec::<&str>::new());
        assert_eq!(find(&Method::GET, "/dashboard/a/b").unwrap().1, ["a", "b"]);
        assert_eq!(find(&Method::GET, "/objects/a/b/").unwrap().0.id, Id::ObjectFiles);
        let allow = |path| match find(&Method::PUT, path) {
            Err(ApiError::MethodNotAllowed { allow, .. }) => allow,
            other => panic!("{other:?}"),
        };
        assert_eq!(allow("/jobs"), "GET, HEAD, POST");
        assert_eq!(allow("/jobs/x"), "GET, HEAD, DELETE");
        assert_eq!(allow("/internal/policy"), "GET, POST");
        assert_eq!(allow("/internal/offers/end"), "POST");
    }
}
