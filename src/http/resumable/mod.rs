//! `/uploads`: a video that comes over several requests, by tus 1.0.0 or by draft-ietf-httpbis-resumable-upload (without interim
//! responses). Both speak of the same uploads (`crate::uploads`); what they say is read in `head.rs` and told in `told.rs`.
//!
//! An upload lies at the node that began it, which is in its name. Any other node passes requests for it on: `pass.rs`.

mod head;
mod list;
mod pass;
mod told;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use starling_placement::journey::Timings;

pub(super) use head::is_complete;
use head::{Beginning, Dialect};
pub(super) use list::{list, unfinished};
pub(super) use pass::passed;

use super::returnable::returnable;
use super::upload::{linger, profiles};
use super::{ApiError, Body, caller, jobs, request};
use crate::content::ClientTag;
use crate::http::respond::{json, problem};
use crate::jobs::Wish;
use crate::node::Node;
use crate::trace;
use crate::uploads::{Given, Shown, UploadError, UploadId, UploadIdError};

/// `OPTIONS` of uploads, or of one: what is spoken here.
pub(super) fn options(node: &Node, id: Option<&str>) -> Response<Body> {
    match id.map(named).transpose() {
        Ok(_) => told::options(node),
        Err(error) => problem(&error),
    }
}

fn named(text: &str) -> Result<UploadId, ApiError> {
    text.parse().map_err(|error: UploadIdError| ApiError::BadRequest(error.to_string()))
}

/// `POST /uploads`: an upload begins, maybe with its first part. So does `POST /jobs` that says it has a part alone.
pub(super) async fn create(node: &Arc<Node>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let (arrived, (head, body)) = (Instant::now(), request.into_parts());
    let dialect = match Dialect::of(&head.headers) {
        Ok(dialect) => dialect,
        Err(error) => return told::in_dialect(Dialect::Tus, problem(&error)),
    };
    let admitted = admit(node, client, &head, 1);
    let received = admitted.as_ref().map(|admitted| Arc::clone(&admitted.received)).unwrap_or_default();
    let (body, body_return) = returnable(body, received);
    let outcome = match admitted {
        Ok(admitted) => begin(node, &head, dialect, (admitted.client, body)).await,
        Err(error) => {
            drop(body);
            Err(error)
        }
    };
    if let Some(rest) = body_return.take_back() {
        linger(&head, rest, &outcome);
    }
    let response = outcome.unwrap_or_else(|error| {
        tell_refused(node, &error, arrived);
        problem(&error)
    });
    told::in_dialect(dialect, response)
}

/// Any request for an upload that has begun.
pub(super) async fn upload(
    node: &Arc<Node>,
    client: IpAddr,
    id: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let (arrived, (head, body)) = (Instant::now(), request.into_parts());
    let dialect = Dialect::of(&head.headers).unwrap_or(Dialect::Tus);
    let call = Call::of(&head);
    let brings = call.as_ref().map_or(head.method == Method::PATCH, |call| call.method == Method::PATCH);
    let admitted = match &call {
        Ok(call) if call.method == Method::PATCH => admit(node, client, &head, 0),
        _ => Ok(Admitted::free(caller::tag(node, client, &head.extensions))),
    };
    let received = admitted.as_ref().map(|admitted| Arc::clone(&admitted.received)).unwrap_or_default();
    let (body, body_return) = returnable(body, received);
    let outcome = async {
        let id = named(id)?;
        let (call, admitted) = (call?, admitted?);
        let answered = if id.node == node.identity().name {
            answer(node, &call, &id, body).await
        } else {
            pass::on(node, &call, &id, body).await
        };
        drop(admitted);
        answered
    };
    let outcome = outcome.await;
    if let Some(rest) = body_return.take_back() {
        linger(&head, rest, &outcome);
    }
    let response = outcome.unwrap_or_else(|error| {
        if brings {
            tell_refused(node, &error, arrived);
        }
        problem(&error)
    });
    told::in_dialect(dialect, response)
}

/// What a client brought was refused: an event, where it was refused.
fn tell_refused(node: &Node, error: &ApiError, arrived: Instant) {
    node.tell_refused((error.status().as_u16(), error.slug()), error, &Timings::new(arrived));
}

/// What a request holds while its body comes.
struct Admitted {
    client: ClientTag,
    /// Where the bytes that come are to be counted.
    received: Arc<std::sync::atomic::AtomicU64>,
    _held: Option<super::upload::Held>,
}

impl Admitted {
    /// Of a request that brings nothing.
    fn free(client: ClientTag) -> Self {
        Self { client, received: Arc::default(), _held: None }
    }
}

/// Whether a request that brings bytes is taken, by its head; it counts for so many uploads.
fn admit(node: &Node, client: IpAddr, head: &Parts, uploads: u64) -> Result<Admitted, ApiError> {
    if node.is_draining() {
        return Err(ApiError::Draining);
    }
    if node.rests() && uploads > 0 {
        return Err(ApiError::Resting);
    }
    request::is_plain(head)?;
    let slot = node.clients().enter(client);
    let slot = slot.ok_or(ApiError::TooManyUploads { max: node.config().uploads_per_client })?;
    let received = Arc::default();
    let charge =
        caller::charge(node, (client, &head.extensions, &head.headers), (uploads, Arc::clone(&received)))?;
    let client = caller::tag(node, client, &head.extensions);
    trace::identify(client, None);
    Ok(Admitted { client, received, _held: Some((slot, charge)) })
}

/// A request for an upload that has begun: a client's own, or passed on by a peer.
struct Call {
    method: Method,
    headers: HeaderMap,
    dialect: Dialect,
}

impl Call {
    fn of(head: &Parts) -> Result<Self, ApiError> {
        Self::new(&head.method, head.headers.clone())
    }

    fn new(method: &Method, headers: HeaderMap) -> Result<Self, ApiError> {
        let dialect = Dialect::of(&headers)?;
        Ok(Self { method: head::method(method, &headers)?, headers, dialect })
    }
}

async fn begin<B>(
    node: &Arc<Node>,
    head: &Parts,
    dialect: Dialect,
    (client, body): (ClientTag, B),
) -> Result<Response<Body>, ApiError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let beginning = match dialect {
        Dialect::Tus => Beginning::tus(&head.headers)?,
        Dialect::Ietf => Beginning::ietf(&head.headers, body.size_hint().exact())?,
    };
    let max = node.upload_bytes_max();
    if beginning.length.is_some_and(|length| length > max) {
        return Err(ApiError::TooLarge { max });
    }
    if beginning.given.is_none() && body.size_hint().exact() != Some(0) {
        return Err(ApiError::WrongMediaType {
            path: "the body of POST /uploads".into(),
            expected: head::TUS_TYPE,
        });
    }
    let wish = wish(node, head, &beginning)?;
    let announced = head::announced(&head.headers, &beginning)?;
    let Beginning { length, metadata, given, .. } = beginning;
    let shown = node.uploads().create((client, wish), (length, announced), metadata).await?;
    let whole_at_once = length == Some(0);
    let Some(given) = given.or(whole_at_once.then_some(nothing())) else {
        return Ok(told::begun(node, dialect, &shown));
    };
    let id = shown.id.clone();
    match append(node, &id, given, body).await {
        Ok((_, Some(response))) if dialect == Dialect::Ietf => Ok(response),
        Ok((shown, _)) => Ok(told::begun(node, dialect, &shown)),
        Err(error) => {
            // The client does not know of it.
            if let Err(why) = node.uploads().end(&id).await {
                tracing::debug!(upload = %id, %why, "an upload that did not begin is not forgotten yet");
            }
            Err(error)
        }
    }
}

/// The part that an upload of no bytes has.
const fn nothing() -> Given {
    Given { offset: 0, length: Some(0), last: false, checksum: None }
}

/// What is to become of it: as of any job, or by what tus knows of it.
fn wish(node: &Node, head: &Parts, beginning: &Beginning) -> Result<Wish, ApiError> {
    let deadline =
        request::deadline(head, node.config().deadline_max, node.config().deadline_max, Instant::now())?;
    let named = request::profile(head)?;
    let profiles = profiles(node, named.as_deref().or_else(|| beginning.field(&["profile"])))?;
    let names = profiles.iter().map(|profile| profile.name.clone()).collect();
    let mut wish = jobs::wish(node, head, names, (request::strict(head)?, deadline.allowed))?;
    if wish.filename.is_none() {
        wish.filename = beginning.field(&["filename", "name"]).and_then(request::safe_filename);
    }
    if wish.webhook.is_none() {
        wish.webhook = jobs::webhook(node, beginning.field(&["webhook"]).map(str::to_owned))?;
    }
    if let (None, Some(text)) =
        (head.headers.get(crate::api::HEADER::PRIORITY), beginning.field(&["priority"]))
    {
        let bad = |error| ApiError::BadRequest(format!("Upload-Metadata: priority: {error}"));
        wish.priority = text.parse().map_err(bad)?;
    }
    Ok(wish)
}

/// Appends a body, and makes a job of what is whole then: with the answer that tells of the job.
async fn append<B>(
    node: &Arc<Node>,
    id: &UploadId,
    given: Given,
    body: B,
) -> Result<(Shown, Option<Response<Body>>), ApiError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Its own task: what has come is kept whatever becomes of the request, whose end is the body's.
    let (at, upload) = (Arc::clone(node), id.clone());
    let appended = trace::spawn(async move {
        let limits = at.part_limits();
        let shown = at.uploads().append(&upload, given, body, &limits).await?;
        if shown.plan.whole { at.finish_upload(&upload).await.map(|_| ()) } else { Ok(()) }
    });
    let appended: Result<(), UploadError> =
        appended.await.map_err(|error| ApiError::Internal(format!("a part was not taken: {error}")))?;
    appended?;
    let shown = node.uploads().show(id)?;
    let Some(job) = &shown.plan.job else { return Ok((shown, None)) };
    let response = told::accepted(&shown, jobs::accepted(node, job).await?);
    Ok((shown, Some(response)))
}

/// What the node answers where the upload lies.
async fn answer<B>(node: &Arc<Node>, call: &Call, id: &UploadId, body: B) -> Result<Response<Body>, ApiError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match call.method {
        Method::PATCH => {
            let given = head::given(call.dialect, &call.headers)?;
            match append(node, id, given, body).await? {
                (_, Some(response)) if call.dialect == Dialect::Ietf => Ok(response),
                (shown, _) => Ok(told::appended(call.dialect, &shown)),
            }
        }
        Method::DELETE => {
            node.uploads().end(id).await?;
            Ok(told::empty(StatusCode::NO_CONTENT))
        }
        Method::HEAD => {
            node.uploads().settled(id).await?;
            // A client that is told that all of it is there takes it for done, so it has to be.
            node.finish_upload(id).await?;
            Ok(told::offset(node, call.dialect, &node.uploads().show(id)?))
        }
        Method::GET => Ok(json(StatusCode::OK, &told::document(&node.uploads().show(id)?))),
        _ => Err(ApiError::MethodNotAllowed {
            path: format!("/uploads/{id}"),
            allow: "GET, HEAD, PATCH, DELETE, OPTIONS".into(),
        }),
    }
}
