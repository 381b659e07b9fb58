//! `GET /jobs/{id}/events`: how far a job is, as server-sent events.
//!
//! Each event is the whole job, as `GET /jobs/{id}` has it: whoever comes back after a lost connection misses nothing by beginning anew.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use tokio::time::Instant;

use super::{LOOK_INTERVAL, find};
use crate::api::JobJson;
use crate::http::respond::{event_stream, problem};
use crate::http::{ApiError, Body, full_body};
use crate::node::{ListenSlot, Node};

/// A line of comment comes when nothing else has for so long.
const HEARTBEAT: Duration = Duration::from_secs(10);

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
    let body = if request.method() == Method::HEAD {
        full_body("")
    } else {
        let slot = node.listen_slot(client)?;
        let follower =
            Follower { node: Arc::clone(node), next: Some(job), told: None, number: 0, _slot: slot };
        let frames = stream::unfold(follower, Follower::step);
        StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync()
    };
    Ok(event_stream(body))
}

/// One client that follows one job.
struct Follower {
    node: Arc<Node>,
    /// What is to be told; none: it is over.
    next: Option<JobJson>,
    told: Option<JobJson>,
    number: u64,
    _slot: ListenSlot,
}

type Piece = Result<Frame<Bytes>, Infallible>;

impl Follower {
    async fn step(mut self) -> Option<(Piece, Self)> {
        let quiet_until = Instant::now() + HEARTBEAT;
        let mut job = self.next.take()?;
        let text = loop {
            if self.told.as_ref() != Some(&job) {
                break Some(self.tell(&job));
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

    fn tell(&mut self, job: &JobJson) -> String {
        let name = match &self.told {
            Some(told) if told.state == job.state => "progress",
            _ => job.state.as_str(),
        };
        self.number += 1;
        self.told = Some(job.clone());
        let data = serde_json::to_string(job).unwrap_or_default();
        format!("id: {}\nevent: {name}\ndata: {data}\n\n", self.number)
    }
}
