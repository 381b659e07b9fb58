//! When a cluster is ready: every node ready, and every node's view showing all nodes alive.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::LabError;
use crate::client::{Client, Endpoint, Members};

/// Between two questions to one node: short beside what is measured, long beside what a question costs. An answer
/// names every node, so that all questions together would cost the square of their number.
fn poll(nodes: usize) -> Duration {
    Duration::from_millis((2 * nodes as u64).clamp(10, 200))
}

const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a node does not count as ready.
#[derive(Debug, Clone)]
enum Lacking {
    Answer(String),
    Members { alive: usize, expected: usize },
    Readiness(String),
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => write!(f, "does not answer ({error})"),
            Self::Members { alive, expected } => write!(f, "sees {alive} of {expected} nodes alive"),
            Self::Readiness(error) => write!(f, "is not ready ({error})"),
        }
    }
}

/// Waits until all `nodes` (name, published address) are ready and see each other; how long that took from `since`.
pub(super) async fn converged(
    nodes: &[(String, SocketAddr)],
    since: Instant,
    within: Duration,
) -> Result<Duration, LabError> {
    let client = Client::new();
    loop {
        let waits = nodes
            .iter()
            .map(|(name, address)| wait_for_one(&client, name, *address, nodes.len(), since + within));
        for outcome in join_all(waits).await {
            outcome.map_err(|missing| LabError::NotReady { within, missing })?;
        }
        let elapsed = since.elapsed();
        // Each was seen to be right at some moment; now all at once.
        let checks = nodes.iter().map(|(_, address)| check(&client, *address, nodes.len()));
        if join_all(checks).await.into_iter().all(|check| check.is_ok()) {
            return Ok(elapsed);
        }
    }
}

async fn wait_for_one(
    client: &Client,
    name: &str,
    address: SocketAddr,
    expected: usize,
    deadline: Instant,
) -> Result<(), String> {
    let mut ticks = tokio::time::interval(poll(expected));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Err(lacking) = check(client, address, expected).await else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(format!("{name} {lacking}"));
        }
    }
}

async fn check(client: &Client, address: SocketAddr, expected: usize) -> Result<(), Lacking> {
    let endpoint: Endpoint = match address.to_string().parse() {
        Ok(endpoint) => endpoint,
        Err(error) => return Err(Lacking::Answer(format!("{error}"))),
    };
    let ask = tokio::time::timeout(QUESTION_TIMEOUT, Members::fetch(client, &endpoint));
    let (_, members) = match ask.await {
        Ok(answer) => answer.map_err(|error| Lacking::Answer(error.to_string()))?,
        Err(_) => return Err(Lacking::Answer("no answer in time".to_owned())),
    };
    if members.alive() < expected {
        return Err(Lacking::Members { alive: members.alive(), expected });
    }
    client
        .get(&endpoint, "/ready", QUESTION_TIMEOUT)
        .await
        .map(drop)
        .map_err(|error| Lacking::Readiness(error.to_string()))
}
