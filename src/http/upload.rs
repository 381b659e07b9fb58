//! `POST /upload`: a video in, the transcoded video out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_DISPOSITION, EXPECT};
use hyper::http::request::Parts;
use hyper::{Request, Response};

use super::request::Deadline;
use super::respond::{problem, set_header};
use super::{ApiError, Body, HEADER, objects, request};
use crate::content::ContentId;
use crate::node::{Job, Node, Served};
use crate::profile::Profile;

/// What of a refused body is still read, so that a client that first sends and then reads gets the answer and not a
/// reset connection.
const LINGER_BYTES_MAX: usize = 256 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);

/// An upload whose head is in order; nothing of its body was read.
struct Admitted {
    deadline: Deadline,
    profile: Arc<Profile>,
    announced: Option<ContentId>,
}

pub(super) async fn upload(node: &Arc<Node>, request: Request<Incoming>) -> Response<Body> {
    let arrived = Instant::now();
    let (head, mut body) = request.into_parts();
    let mut response = match admit(node, &head, &body, arrived) {
        Err(error) => {
            // A client that waits for "100 Continue" has sent nothing; reading would only invite it to.
            if !head.headers.contains_key(EXPECT) {
                linger(body);
            }
            refused(node, &error, arrived)
        }
        Ok(admitted) => match serve(node, &admitted, &mut body).await {
            Ok(served) => {
                node.log_served(&served, &admitted.profile, arrived.elapsed());
                result(&head, &served, &admitted.profile)
            }
            Err(error) => {
                if !matches!(error, ApiError::ClientTooSlow(_) | ApiError::BodyBroken(_)) {
                    linger(body);
                }
                refused(node, &error, arrived)
            }
        },
    };
    set_header(&mut response, HEADER::LATENCY, &arrived.elapsed().as_millis().to_string());
    response
}

fn admit(node: &Node, head: &Parts, body: &Incoming, arrived: Instant) -> Result<Admitted, ApiError> {
    if node.is_draining() {
        return Err(ApiError::Draining);
    }
    let max = node.config().upload_bytes_max;
    match body.size_hint().exact() {
        Some(0) => return Err(ApiError::EmptyBody),
        Some(bytes) if bytes > max => return Err(ApiError::TooLarge { max }),
        _ => {}
    }
    Ok(Admitted {
        deadline: request::deadline(head, node.config().deadline, arrived)?,
        profile: node.profile(request::profile(head)?.as_deref())?,
        announced: request::content_sha256(head)?,
    })
}

async fn serve(node: &Arc<Node>, admitted: &Admitted, body: &mut Incoming) -> Result<Served, ApiError> {
    let Admitted { deadline, profile, announced } = admitted;
    let receive = node.ingest(body, *announced);
    let upload =
        tokio::time::timeout_at(deadline.at.into(), receive).await.map_err(|_| deadline.passed())??;
    node.transcode(Job::new(upload, Arc::clone(profile), *deadline)).await
}

fn refused(node: &Node, error: &ApiError, arrived: Instant) -> Response<Body> {
    node.log_refused(error, arrived.elapsed());
    problem(error)
}

fn result(head: &Parts, served: &Served, profile: &Profile) -> Response<Body> {
    let mut response = objects::whole(&served.object);
    set_header(&mut response, HEADER::SERVED_BY, served.by.name.as_str());
    set_header(&mut response, HEADER::CACHE, served.cache.as_str());
    set_header(&mut response, HEADER::ROUTE, &served.route_text());
    if let Some(name) = request::filename(head) {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let name = format!("attachment; filename=\"{stem}-{}.{}\"", profile.name, profile.extension());
        set_header(&mut response, CONTENT_DISPOSITION.as_str(), &name);
    }
    response
}

/// Reads on in the background, within bounds, while the answer is already on its way.
fn linger(body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    // Ends by itself within the bounds, or with its connection.
    tokio::spawn(async move {
        let rest = drain(Limited::new(body, LINGER_BYTES_MAX));
        if tokio::time::timeout(LINGER_TIME_MAX, rest).await.is_err() {
            tracing::debug!("a refused body was not read to its end");
        }
    });
}

async fn drain(mut body: Limited<Incoming>) {
    while let Some(Ok(_)) = body.frame().await {}
}
