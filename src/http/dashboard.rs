//! The dashboard: its page, its state, and the stream of it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use super::respond::{self, problem};
use super::{ApiError, Body, full_body};
use crate::dashboard::{self, ASSETS, Asset, Published, Series, Source, State};
use crate::node::ListenSlot;

/// When a browser is to try again after its connection was lost.
const RETRY_MS: u32 = 1_000;
/// A line of comment comes when nothing else has for so long.
const HEARTBEAT: Duration = Duration::from_secs(10);
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /dashboard/state`.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    state: State,
    series: Series,
}

/// Everything below `/dashboard`.
pub(super) fn answer<B>(
    source: &Arc<dyn Source>,
    client: IpAddr,
    path: &[&str],
    request: &Request<B>,
) -> Response<Body> {
    let name = path.join("/");
    match name.as_str() {
        "state" => {
            let state = dashboard::state(&**source);
            respond::json(StatusCode::OK, &Whole { state, series: source.board().series(None) })
        }
        "work" => respond::json(StatusCode::OK, &source.work()),
        "stream" => stream(source, client, request),
        _ => match ASSETS.iter().find(|asset| asset.path == name) {
            Some(asset) => file(asset),
            None => problem(&ApiError::NotFound(request.uri().path().chars().take(200).collect())),
        },
    }
}

/// Whether a browser asks for something to show.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Sends a browser there from the root.
pub(super) fn elsewhere() -> Response<Body> {
    let mut response = Response::new(full_body(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/dashboard"));
    response
}

fn file(asset: &Asset) -> Response<Body> {
    let mut response = Response::new(full_body(asset.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    // Another release has other files under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(dashboard::CONTENT_SECURITY_POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn stream<B>(source: &Arc<dyn Source>, client: IpAddr, request: &Request<B>) -> Response<Body> {
    let boot = source.about().boot;
    let after = request.headers().get(LAST_EVENT_ID).and_then(|id| {
        let (of, number) = id.to_str().ok()?.split_once('-')?;
        (of.parse() == Ok(boot)).then(|| number.parse::<u64>().ok())?
    });
    let body = if request.method() == Method::HEAD {
        full_body("")
    } else {
        match source.watch_slot(client) {
            Ok(slot) => {
                // Before the first look, so that the one who makes it knows that somebody watches.
                let published = source.board().watch();
                streamed(Stream {
                    source: Arc::clone(source),
                    boot,
                    after,
                    published,
                    begun: false,
                    _slot: slot,
                })
            }
            Err(error) => return problem(&error.into()),
        }
    };
    respond::event_stream(body)
}

/// One that watches. It has no queue: one that reads slowly gets the newest state when it comes to it.
struct Stream {
    source: Arc<dyn Source>,
    boot: u64,
    /// Number of the last point that it has.
    after: Option<u64>,
    published: watch::Receiver<Published>,
    begun: bool,
    _slot: ListenSlot,
}

impl Stream {
    async fn next(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.begun, true) {
            // At once, rather than with the next tick.
            let state = serde_json::to_string(&dashboard::state(&*self.source)).ok()?;
            return Some(format!("retry: {RETRY_MS}\n{}{}", self.series(), event("state", &state, "")));
        }
        match tokio::time::timeout(HEARTBEAT, self.published.changed()).await {
            Err(_) => Some(": heartbeat\n\n".to_owned()),
            Ok(Err(_)) => None,
            Ok(Ok(())) => {
                let Published { state, closed, .. } = self.published.borrow_and_update().clone();
                if closed {
                    return None;
                }
                let state = String::from_utf8_lossy(&state);
                Some(format!("{}{}", self.series(), event("state", &state, "")))
            }
        }
    }

    /// The points that it does not have, and the id to come back with; nothing where it has all.
    fn series(&mut self) -> String {
        let series = self.source.board().series(self.after);
        let Some(last) = (series.points.len() as u64).checked_sub(1) else { return String::new() };
        let newest = series.first + last;
        self.after = Some(newest);
        let id = format!("id: {}-{newest}\n", self.boot);
        serde_json::to_string(&series).map_or_else(|_| String::new(), |json| event("series", &json, &id))
    }
}

fn event(name: &str, data: &str, id: &str) -> String {
    format!("{id}event: {name}\ndata: {data}\n\n")
}

fn streamed(stream: Stream) -> Body {
    let frames = stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), stream))
    });
    StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync()
}
