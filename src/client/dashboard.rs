//! `GET /dashboard/stream`: the state of a cluster, as it changes.

use serde::Deserialize;

use super::sse::{Ask, Stream};
use super::{Client, ClientError, Endpoint};
use crate::dashboard::State;

/// Longest state that is taken: some kilobytes a member.
const STATE_BYTES_MAX: usize = 16 << 20;

/// What a node, or a monitor, says of its cluster, each second.
#[derive(Debug)]
pub struct States(Stream);

/// An event of the stream: of a state or of points of the series, which have no such field.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    at_ms: Option<u64>,
}

impl States {
    /// Asks a node or a monitor.
    pub async fn open(client: &Client, endpoint: &Endpoint) -> Result<Self, ClientError> {
        let ask = Ask { path: "/dashboard/stream", last_id: None, event_bytes_max: STATE_BYTES_MAX };
        Ok(Self(Stream::open(client, endpoint, ask).await?))
    }

    /// The next state; none where the node has ended the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<State>, ClientError> {
        loop {
            let Some(data) = self.0.next().await? else { return Ok(None) };
            let told: Told = serde_json::from_str(&data).map_err(|error| self.0.nonsense(&error))?;
            if told.at_ms.is_some() {
                return serde_json::from_str(&data).map(Some).map_err(|error| self.0.nonsense(&error));
            }
        }
    }
}
