//! `GET /jobs/{id}/events`: how far a job is, as server-sent events.
//!
//! Each event is the whole job, as `GET /jobs/{id}` has it: whoever comes back after a lost connection misses nothing by beginning anew.
//! An event's id says what the client has been told, and not how many events there were: so it is good at any node, and after a
//! node's restart. Who comes back with it is told what has changed since, once and as it is then.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

use super::{LOOK_INTERVAL, find};
use crate::api::{JobJson, JobState};
use crate::content::ContentId;
use crate::http::respond::{event_stream, problem};
use crate::http::{ApiError, Body, full_body};
use crate::node::{ListenSlot, Node};

/// A line of comment comes when nothing else has for so long.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The header with the id of the last event that a client has.
const LAST_EVENT_ID: &str = "last-event-id";
/// Digits of an id that stand for what the job was: enough that no two of one job are the same by chance.
const DIGITS: usize = 16;

pub(in crate::http) async fn events(
    node: &Arc<Node>,
    client: IpAddr,
    id: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    match open(node, client, id, request).await {
        Ok(response) => response,
        Err(error) => problem(&error),
    }
}

async fn open(
    node: &Arc<Node>,
    client: IpAddr,
    id: &str,
    request: &Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let job = find(node, id).await?;
    let told = request.headers().get(LAST_EVENT_ID).and_then(|id| Told::of_id(id.to_str().ok()?));
    if job.state.is_over() && told.as_ref() == Some(&Told::new(&job, &data_of(&job))) {
        // Nothing will come any more: by this status a browser does not come back (the HTML standard, section 9.2.3).
        let mut over = Response::new(full_body(""));
        *over.status_mut() = StatusCode::NO_CONTENT;
        return Ok(over);
    }
    let body = if request.method() == Method::HEAD {
        full_body("")
    } else {
        let slot = node.listen_slot(client)?;
        let follower = Follower { node: Arc::clone(node), next: Some(job), told, _slot: slot };
        let frames = stream::unfold(follower, Follower::step);
        StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync()
    };
    Ok(event_stream(body))
}

/// What a client was told last: the id of that event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    state: JobState,
    digits: String,
}

impl Told {
    fn new(job: &JobJson, data: &str) -> Self {
        let mut digits = ContentId::of(data.as_bytes()).to_string();
        digits.truncate(DIGITS);
        Self { state: job.state, digits }
    }

    /// None: it was not given here, so its client begins anew.
    fn of_id(id: &str) -> Option<Self> {
        let (state, digits) = id.split_once('-')?;
        let is_ours = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        Some(Self { state: state.parse().ok()?, digits: digits.to_owned() }).filter(|_| is_ours)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.state, self.digits)
    }
}

fn data_of(job: &JobJson) -> String {
    serde_json::to_string(job).unwrap_or_default()
}

/// One client that follows one job.
struct Follower {
    node: Arc<Node>,
    /// What is to be told; none: it is over.
    next: Option<JobJson>,
    told: Option<Told>,
    _slot: ListenSlot,
}

type Piece = Result<Frame<Bytes>, Infallible>;

impl Follower {
    async fn step(mut self) -> Option<(Piece, Self)> {
        let quiet_until = Instant::now() + HEARTBEAT;
        let mut job = self.next.take()?;
        let text = loop {
            if let Some(text) = self.tell(&job) {
                break Some(text);
            }
            if job.state.is_over() {
                return None;
            }
            if self.node.is_draining() {
                // The client comes back to another node.
                return None;
            }
            if Instant::now() >= quiet_until {
                break None;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            match find(&self.node, &job.id.to_string()).await {
                Ok(newer) => job = newer,
                // The job's node is away for a moment, or the job is forgotten: the first of them passes.
                Err(ApiError::JobElsewhere { .. }) => {}
                Err(error) => {
                    let text = serde_json::to_string(&error.problem()).unwrap_or_default();
                    return Some((Ok(Frame::data(format!("event: gone\ndata: {text}\n\n").into())), self));
                }
            }
        };
        if !(job.state.is_over() && text.is_some()) {
            self.next = Some(job);
        }
        let text = text.unwrap_or_else(|| ":\n\n".to_owned());
        Some((Ok(Frame::data(text.into())), self))
    }

    /// None: it is told already.
    fn tell(&mut self, job: &JobJson) -> Option<String> {
        let data = data_of(job);
        let now = Told::new(job, &data);
        if self.told.as_ref() == Some(&now) {
            return None;
        }
        let name = match &self.told {
            Some(told) if told.state == job.state => "progress",
            _ => job.state.as_str(),
        };
        let text = format!("id: {now}\nevent: {name}\ndata: {data}\n\n");
        self.told = Some(now);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_another_ones_is_none() {
        let told = Told { state: JobState::Running, digits: "0123456789abcdef".to_owned() };
        assert_eq!(told.to_string(), "running-0123456789abcdef");
        assert_eq!(Told::of_id("running-0123456789abcdef"), Some(told));
        for other in ["", "7", "3-7", "running", "running-", "running-0123", "asleep-0123456789abcdef"] {
            assert_eq!(Told::of_id(other), None, "{other}");
        }
        assert_eq!(Told::of_id("running-0123456789abcdeg"), None);
    }
}
