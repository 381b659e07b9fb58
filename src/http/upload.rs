//! `POST /upload`: a video in, the transcoded video out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LOCATION, CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use starling_placement::journey::{TimeBudget, Timings};

use super::activity::Busy;
use super::disposition::attachment;
use super::form_digest::FormBody;
use super::multipart::{self, MultipartError};
use super::request::Deadline;
use super::respond::{problem, set_header};
use super::returnable::{ReturnableBody, returnable};
use super::server::Stopping;
use super::{ApiError, Body, caller, jobs, objects, request, resumable, several};
use crate::access::Charge;
use crate::api::{HEADER, result_name};
use crate::content::{ClientTag, ContentId};
use crate::events::ServedFor;
use crate::node::{ClientSlot, Input, Node, Served};
use crate::profile::Profile;
use crate::store::Upload;
use crate::trace;

/// What of a refused body is still read, so that a client that first sends and then reads gets the answer and not a
/// reset connection.
const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
/// The same from when the service ends: what is on its way there and back.
const LINGER_AT_END_MAX: Duration = Duration::from_secs(1);
/// Longest that what stands before a form's file may take, and what stands behind it.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// An upload whose head is in order; nothing of its body was read.
pub(super) struct Admitted {
    address: IpAddr,
    pub(super) client: ClientTag,
    pub(super) deadline: Deadline,
    /// Those asked for in the head, if any; a form may name some yet.
    profiles: Option<Vec<Arc<Profile>>>,
    /// Whether a result of a damaged video is refused.
    pub(super) strict: bool,
    announced: Option<ContentId>,
    /// The same of the whole form, if it is one.
    form_announced: Option<ContentId>,
    /// Whether its digest is enough to have its results.
    by_digest: bool,
    /// The boundary and all, if the body is a form.
    form: Option<String>,
}

/// An upload with its answer on the way.
pub(super) struct Answered {
    pub(super) content: ContentId,
    /// In the order in which they were asked for; one at least.
    pub(super) results: Vec<(Arc<Profile>, Served)>,
    pub(super) filename: Option<String>,
}

impl Answered {
    /// Refuses a result of what could be read only in part, where that is not wanted.
    fn or_refused(self, strict: bool) -> Result<Self, ApiError> {
        match self.results.iter().find_map(|(_, served)| served.object.damage()).filter(|_| strict) {
            Some(damage) => Err(ApiError::Unprocessable(format!(
                "it is damaged or cut off: {}; send it whole, or without strict=1 to have what there is",
                damage.in_words()
            ))),
            None => Ok(self),
        }
    }
}

pub(super) async fn upload(node: &Arc<Node>, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let arrived = Instant::now();
    let timings = Timings::new(arrived);
    let (head, body) = request.into_parts();
    if request::prefers_async(&head) {
        return jobs::accept(node, client, head, body).await;
    }
    let (admitted, received) = admit(node, client, &head, &body, (arrived, node.config().deadline));
    let (body, body_return) = returnable(body, received);
    let outcome = match admitted {
        Err(error) => {
            drop(body);
            Err(error)
        }
        Ok((admitted, _held)) => {
            let strict = admitted.strict;
            serve(node, &head, admitted, body, &timings)
                .await
                .and_then(|answered| answered.or_refused(strict))
        }
    };
    if let Some(rest) = body_return.take_back() {
        linger(&head, rest, &outcome);
    }
    let mut response = match outcome {
        Ok(answered) => {
            for (profile, served) in &answered.results {
                node.tell_served(ServedFor::Upload, (&answered.content, profile), served, &timings);
            }
            result(node, &answered).await.unwrap_or_else(|error| problem(&error))
        }
        Err(error) => {
            node.tell_refused((error.status().as_u16(), error.slug()), &error, &timings);
            problem(&error)
        }
    };
    set_header(&mut response, HEADER::LATENCY, &arrived.elapsed().as_millis().to_string());
    response
}

/// What an upload holds until it is answered: its place among its client's, and in its token's quota.
pub(super) type Held = (ClientSlot, Option<Charge>);

/// Whether an upload is taken, by its head; it may take so long unless it says otherwise. And where the bytes that come of its
/// body are to be counted.
pub(super) fn admit(
    node: &Node,
    client: IpAddr,
    head: &Parts,
    body: &Incoming,
    time: (Instant, Duration),
) -> (Result<(Admitted, Held), ApiError>, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let admit = || {
        let slot = node.clients().enter(client);
        let slot = slot.ok_or(ApiError::TooManyUploads { max: node.config().uploads_per_client })?;
        let admitted = read_head(node, client, head, body, time)?;
        // Last: what is refused is paid for by nobody.
        let charge =
            caller::charge(node, (client, &head.extensions, &head.headers), (1, Arc::clone(&received)))?;
        Ok((admitted, (slot, charge)))
    };
    (admit(), received)
}

fn read_head(
    node: &Node,
    client: IpAddr,
    head: &Parts,
    body: &Incoming,
    (arrived, usual): (Instant, Duration),
) -> Result<Admitted, ApiError> {
    if node.is_draining() {
        return Err(ApiError::Draining);
    }
    if node.rests() {
        return Err(ApiError::Resting);
    }
    request::is_plain(head)?;
    if resumable::is_complete(&head.headers)? == Some(false) {
        return Err(ApiError::BadRequest(
            "Upload-Complete: ?0: an upload in parts is answered as a job: begin it with POST /uploads"
                .into(),
        ));
    }
    let max = node.config().upload_bytes_max;
    match body.size_hint().exact() {
        Some(0) => return Err(ApiError::EmptyBody),
        Some(bytes) if bytes > max => return Err(ApiError::TooLarge { max }),
        _ => {}
    }
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tag = caller::tag(node, client, &head.extensions);
    trace::identify(tag, None);
    Ok(Admitted {
        address: client,
        client: tag,
        by_digest: caller::may_read(&head.extensions) && node.result_tokens().is_none(),
        deadline: request::deadline(head, usual, node.config().deadline_max, arrived)?,
        profiles: request::profile(head)?.map(|names| profiles(node, Some(&names))).transpose()?,
        strict: request::strict(head)?,
        announced: request::content_sha256(head)?,
        form_announced: request::form_sha256(head)?,
        form: multipart::is_form(content_type).then(|| content_type.to_owned()),
    })
}

async fn serve(
    node: &Arc<Node>,
    head: &Parts,
    admitted: Admitted,
    body: ReturnableBody,
    timings: &Timings,
) -> Result<Answered, ApiError> {
    let (address, client, deadline) = (admitted.address, admitted.client, admitted.deadline);
    let budget = TimeBudget::new(timings.arrived(), deadline.allowed);
    let mut filename = request::filename(head);
    let known = admitted.profiles.as_ref().map_or(1, Vec::len);
    // Several profiles count as several uploads: the first was counted when the request came.
    let mut slots = more_slots(node, address, known - 1)?;
    // The client knows the digest: if the results are here, its body need not come at all. Unless a form may name its profiles yet,
    // or results are for those alone that have the content.
    if let Some(content) = admitted.announced
        && admitted.by_digest
        && (admitted.form.is_none() || admitted.profiles.is_some())
    {
        let wanted = admitted.profiles.clone().map_or_else(|| profiles(node, None), Ok)?;
        if let Some(results) = held(node, content, &wanted).await {
            trace::identify(client, Some(content));
            return Ok(Answered { content, results, filename });
        }
        if let Some(refusal) = refuse_unread(node, client, content, &wanted, &budget).await {
            timings.mark("unread");
            return Err(refusal);
        }
    }
    let receive = receive(node, admitted, body, &mut filename);
    let (upload, profiles) =
        tokio::time::timeout_at(deadline.at.into(), receive).await.map_err(|_| deadline.passed())??;
    timings.mark("body");
    slots.extend(more_slots(node, address, profiles.len().saturating_sub(known))?);
    let (content, upload) = (upload.content, Arc::new(upload));
    let input = |profile: &Arc<Profile>| Input { upload: Arc::clone(&upload), profile: Arc::clone(profile) };
    if let [profile] = &profiles[..] {
        let job = input(profile).into_job(client, budget, timings.clone());
        let served = node.transcode(job).await.map_err(|error| ApiError::ended(error, deadline.allowed))?;
        return Ok(Answered { content, results: vec![(Arc::clone(profile), served)], filename });
    }
    let job = |profile| input(profile).into_job(client, budget, timings.branch());
    let served = node.transcode_all(profiles.iter().map(job).collect(), |_| {}).await;
    let served = served.map_err(|not_all| ApiError::failed(not_all, deadline.allowed))?;
    Ok(Answered { content, results: profiles.into_iter().zip(served).collect(), filename })
}

/// The profiles of these names, or the default one.
pub(super) fn profiles(node: &Node, names: Option<&str>) -> Result<Vec<Arc<Profile>>, ApiError> {
    match names {
        None => Ok(vec![node.profile(None)?]),
        Some(names) => {
            let named = request::profile_names(names)?.into_iter().map(|name| Ok(node.profile(Some(name))?));
            named.collect()
        }
    }
}

/// So many more places for uploads of this client.
fn more_slots(node: &Node, address: IpAddr, count: usize) -> Result<Vec<ClientSlot>, ApiError> {
    let max = node.config().uploads_per_client;
    (0..count).map(|_| node.clients().enter(address).ok_or(ApiError::TooManyUploads { max })).collect()
}

/// All results, if all of them are here.
async fn held(
    node: &Node,
    content: ContentId,
    profiles: &[Arc<Profile>],
) -> Option<Vec<(Arc<Profile>, Served)>> {
    let mut results = Vec::new();
    for profile in profiles {
        results.push((Arc::clone(profile), node.held(content, profile).await?));
    }
    Some(results)
}

/// The refusal that asks for the longest wait, where one of them would be refused.
async fn refuse_unread(
    node: &Node,
    client: ClientTag,
    content: ContentId,
    profiles: &[Arc<Profile>],
    budget: &TimeBudget,
) -> Option<ApiError> {
    let mut longest: Option<ApiError> = None;
    for profile in profiles {
        if profiles.len() > 1 && node.held(content, profile).await.is_some() {
            continue;
        }
        let Some(refusal) = node.refuse_unread(client, content, profile, budget).await else { continue };
        let refusal = ApiError::ended(refusal, budget.allowed());
        let refusal = if profiles.len() > 1 { refusal.in_profile(&profile.name) } else { refusal };
        if longest.as_ref().is_none_or(|other| refusal.retry_after() > other.retry_after()) {
            longest = Some(refusal);
        }
    }
    longest
}

pub(super) async fn receive(
    node: &Node,
    admitted: Admitted,
    body: ReturnableBody,
    filename: &mut Option<String>,
) -> Result<(Upload, Vec<Arc<Profile>>), ApiError> {
    let Admitted { client, profiles: known, announced, form_announced, form, .. } = admitted;
    let Some(content_type) = form else {
        let profiles = known.map_or_else(|| profiles(node, None), Ok)?;
        let upload = node.ingest(body, announced, client).await?;
        trace::identify(client, Some(upload.content));
        return Ok((upload, profiles));
    };
    let body = FormBody::new(body, form_announced);
    let part = soon(multipart::file_part(&content_type, body.clone())).await?;
    // Known to be bad before the file comes, it need not come.
    let early = request::form_profile(&part.fields)?.map(|names| profiles(node, Some(names))).transpose()?;
    let mut fields = part.fields;
    if filename.is_none() {
        *filename = part.file_name.as_deref().and_then(request::safe_filename);
    }
    let upload = node.ingest(part.body, announced, client).await?;
    trace::identify(client, Some(upload.content));
    fields.extend(soon(part.rest.fields()).await?);
    body.check().await?;
    let named = request::form_profile(&fields)?;
    let profiles = match known.or(early) {
        Some(profiles) => profiles,
        None => profiles(node, named)?,
    };
    Ok((upload, profiles))
}

/// What stands beside a form's file is little, and has to come soon.
async fn soon<T>(step: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    let too_slow = |_| ApiError::ClientTooSlow(format!("the form's fields take over {FORM_TIME_MAX:?}"));
    Ok(tokio::time::timeout(FORM_TIME_MAX, step).await.map_err(too_slow)??)
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Broken(cause) => Self::BodyBroken(cause.to_string()),
            other => Self::BadRequest(other.to_string()),
        }
    }
}

async fn result(node: &Node, answered: &Answered) -> Result<Response<Body>, ApiError> {
    let Answered { content, results, filename } = answered;
    let [(profile, served)] = &results[..] else { return several::result(node, answered).await };
    let mut response = objects::whole(&served.object);
    objects::keep_private(node, &mut response);
    if served.object.is_cached() {
        set_header(&mut response, CONTENT_LOCATION, &objects::location(node, content, profile));
    }
    set_header(&mut response, HEADER::SERVED_BY, served.by.name.as_str());
    set_header(&mut response, HEADER::CACHE, served.cache.as_str());
    set_header(&mut response, HEADER::ROUTE, &served.route_text());
    if let Some(name) = filename {
        let name = result_name(name, profile.name.as_str(), profile.extension());
        set_header(&mut response, CONTENT_DISPOSITION, &attachment(&name));
    }
    Ok(response)
}

/// Reads on of an upload with this outcome, unless nothing more will come.
pub(super) fn linger<T>(head: &Parts, body: Incoming, outcome: &Result<T, ApiError>) {
    if !matches!(outcome, Err(ApiError::ClientTooSlow(_) | ApiError::BodyBroken(_))) {
        read_on(head, body);
    }
}

/// Reads on in the background, within bounds, while the answer is already on its way; unless nothing more will come,
/// or only if it is asked for.
pub(super) fn read_on(head: &Parts, body: Incoming) {
    let waits_to_be_asked = head.headers.contains_key(EXPECT);
    if body.is_end_stream() || waits_to_be_asked {
        return;
    }
    let busy = head.extensions.get::<Busy>().cloned();
    let stopping = head.extensions.get::<Stopping>().cloned();
    // Ends by itself within the bounds, or with its connection.
    trace::spawn(async move {
        // The connection is not at rest meanwhile.
        let _busy = busy;
        let rest = tokio::time::timeout(LINGER_TIME_MAX, drain(Limited::new(body, LINGER_BYTES_MAX)));
        let is_read = tokio::select! {
            read = rest => read.is_ok(),
            () = soon_after(stopping) => false,
        };
        if !is_read {
            tracing::debug!("a refused body was not read to its end");
        }
    });
}

/// A client that does not take its refusal for an end does not hold a node's end back.
async fn soon_after(stopping: Option<Stopping>) {
    match stopping {
        Some(Stopping(stop)) => stop.cancelled().await,
        None => std::future::pending().await,
    }
    tokio::time::sleep(LINGER_AT_END_MAX).await;
}

async fn drain(mut body: Limited<Incoming>) {
    while let Some(Ok(_)) = body.frame().await {}
}
