//! Whether running nodes take work: `GET` and `POST /internal/work`, with the cluster's key where it has one.

use std::time::Duration;

use starling_overlay::Keyring;

use super::http::nonsense;
use super::policy::exchange;
use super::{Client, ClientError, Target};
use crate::api::{WorkChange, WorkJson, WorkMode};

const PATH: &str = "/internal/work";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a node whether it takes work, and what it has to do; with a mode it is told. `keys`: the cluster's, if it has any.
pub async fn work(
    client: &Client,
    target: &Target,
    keys: Option<&Keyring>,
    mode: Option<WorkMode>,
) -> Result<WorkJson, ClientError> {
    let endpoint = &target.endpoint;
    let late = |_| ClientError::TimedOut { endpoint: endpoint.clone(), after: TIMEOUT };
    let change = mode.map(|mode| WorkChange { mode });
    let exchange = exchange(client, target, keys, (PATH, change.as_ref()));
    let body = tokio::time::timeout(TIMEOUT, exchange).await.map_err(late)??;
    serde_json::from_slice(&body).map_err(|error| nonsense(endpoint, &error))
}
