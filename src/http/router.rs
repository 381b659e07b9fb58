//! Which requests are answered at all, and then what of the table of routes answers them.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, Response};

use super::enter::{self, refuse, turn_away};
use super::respond::problem;
use super::routes::{self, Id};
use super::server::Service;
use super::{
    ApiError, Body, caller, dashboard, discovery, events, files, health, internal, jobs, members, objects,
    openapi, policy, profiles, resumable, upload, work,
};
use crate::dashboard::Source;
use crate::gate::Gate;
use crate::node::Node;

/// What a web page can't send to another site without asking for leave, which no page gets on these routes.
const DOCUMENT_TYPE: &str = "application/json";
const STREAM_TYPE: &str = "application/octet-stream";

impl Service for Node {
    fn is_member(&self, address: IpAddr) -> bool {
        Self::is_member(self, address)
    }

    async fn answer(self: Arc<Self>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
        let view = self.view();
        enter::answer(self.entrance(), &view, request, |request| route(&self, client, request)).await
    }
}

async fn route(node: &Arc<Node>, client: IpAddr, mut request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/internal" || path.starts_with("/internal/") {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if let Err(error) = between_nodes(&segments, &path, &request) {
            return refuse(request, &error);
        }
    }
    let (route, values) = match routes::find(request.method(), &path) {
        Ok(found) => found,
        Err(error) => return problem(&error),
    };
    let need = (route.need, node.result_tokens().is_some());
    if let Err(error) = caller::admit(node.entrance(), need, &mut request) {
        return turn_away(request, route, &error);
    }
    dispatch(node, client, route.id, &values, request).await
}

async fn dispatch(
    node: &Arc<Node>,
    client: IpAddr,
    id: Id,
    values: &[&str],
    request: Request<Incoming>,
) -> Response<Body> {
    match (id, values) {
        (Id::Upload, _) => upload::upload(node, client, request).await,
        (Id::Uploads, values) => resumable::options(node, values.first().copied()),
        (Id::UploadList, _) => resumable::list(node, client, &request).await,
        (Id::UploadCreate, _) => resumable::create(node, client, request).await,
        (Id::UploadPart, [id]) => resumable::upload(node, client, id, request).await,
        (Id::JobCreate, _) => jobs::create(node, client, request).await,
        (Id::JobList, _) => jobs::list(node, client, &request).await,
        (Id::JobShow, [id]) => jobs::show(node, id).await,
        (Id::JobCancel, [id]) => jobs::cancel(node, id).await,
        (Id::JobRetry, [id]) => jobs::retry(node, client, id, request).await,
        (Id::JobEvents, [id]) => jobs::events(node, client, id, &request).await,
        (Id::JobOutput, [id]) => jobs::output(node, (id, None), &request).await,
        (Id::JobOutput, [id, profile]) => jobs::output(node, (id, Some(profile)), &request).await,
        (Id::Object, [content, profile]) => objects::object(node, content, profile, &request).await,
        (Id::ObjectFiles, [content, profile]) => files::listing(node, content, profile, &request).await,
        (Id::ObjectFile, [content, profile, file]) => {
            files::file(node, (content, profile, file), &request).await
        }
        (Id::Profiles, _) => profiles::profiles(node),
        (Id::OpenApi, _) => openapi::openapi(),
        (Id::Health, _) => health::health(node),
        (Id::Ready, _) => health::ready(node),
        (Id::Members, _) => members::members(node),
        (Id::Peers, _) => members::peers(node),
        (Id::Events, _) => events::events(node, client, &request),
        (Id::Metrics, _) => health::metrics(node, &request),
        (Id::Discovery, _) => discovery::prometheus(node),
        (Id::Dashboard, rest) => {
            let source: Arc<dyn Source> = Arc::clone(node) as _;
            dashboard::answer(&source, client, rest, &request)
        }
        (Id::Root, _) if dashboard::is_asked_for(&request) => dashboard::elsewhere(),
        (Id::Root, _) => problem(&ApiError::NotFound("/".into())),
        _ => between(node, client, id, values, request).await,
    }
}

/// The routes between nodes.
async fn between(
    node: &Arc<Node>,
    client: IpAddr,
    id: Id,
    values: &[&str],
    request: Request<Incoming>,
) -> Response<Body> {
    match (id, values) {
        (Id::Offer, _) => internal::offer(node, client, request).await,
        (Id::OfferEnd, _) => internal::end_offer(node, request).await,
        (Id::PeersJob, [offer]) => internal::job(node, offer, request).await,
        (Id::PeersUpload, [id]) => resumable::passed(node, id, request).await,
        (Id::Lease, _) => internal::claim(node, request).await,
        (Id::LeaseEnd, _) => internal::end(node, request).await,
        (Id::Progress, _) => internal::progress(node, request).await,
        (Id::Copies, _) => internal::copies(node, request).await,
        (Id::Unfinished, _) => resumable::unfinished(node, request).await,
        (Id::Quotas, _) => internal::quotas(node, request).await,
        (Id::WorkSet, _) => work::set(node, client, request).await,
        (Id::WorkShow, _) => work::show(node, client, request).await,
        (Id::PolicySet, _) => policy::set(node, client, request).await,
        (Id::PolicyShow, _) => policy::show(node, client, request).await,
        (Id::PeersResult, [content, profile]) => {
            internal::result(node, (content, profile, None), request).await
        }
        (Id::PeersResult, [content, profile, recipe]) => {
            internal::result(node, (content, profile, Some(recipe)), request).await
        }
        (Id::Kept, _) => internal::kept(node, request).await,
        (Id::KeptOutput, [job, at]) => internal::kept_output(node, (job, at), request).await,
        _ => problem(&ApiError::Internal(format!("nothing answers {id:?} with {} values", values.len()))),
    }
}

/// Lets nothing through to the routes between nodes that a page could have sent: whoever looks at it, it is no browser's,
/// and of a type that forms don't have.
fn between_nodes(segments: &[&str], path: &str, request: &Request<Incoming>) -> Result<(), ApiError> {
    Gate::check_no_browser(request.headers())?;
    let streamed = matches!(segments.get(1), Some(&"jobs" | &"uploads"));
    let expected = if streamed { STREAM_TYPE } else { DOCUMENT_TYPE };
    if request.method() == Method::POST && !is_of_type(request.headers(), expected) {
        let path = path.chars().take(200).collect();
        return Err(ApiError::WrongMediaType { path, expected });
    }
    Ok(())
}

fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (given, another) = (types.next().and_then(|value| value.to_str().ok()), types.next());
    let essence = given.and_then(|given| given.split(';').next()).unwrap_or_default();
    another.is_none() && essence.trim().eq_ignore_ascii_case(expected)
}
