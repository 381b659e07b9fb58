//! Asking the members, side by side: each for its metrics, and, while somebody watches, for its jobs and decisions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use starling_overlay::{Identity, NodeName};
use tokio::time::MissedTickBehavior;

use super::Monitor;
use crate::client::{Client, ClientError, Endpoint};
use crate::dashboard::{Figures, SAMPLE_INTERVAL, Source, Work};

/// Members that are asked at the same time.
const AT_ONCE_MAX: usize = 64;
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What one may answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest reason that is told.
const REASON_CHARS_MAX: usize = 120;

/// What was heard of the members when they were last asked.
#[derive(Debug, Default)]
pub(super) struct Scraped {
    pub errors: BTreeMap<NodeName, String>,
    pub work: BTreeMap<NodeName, Work>,
}

/// What one member answered.
struct Answer {
    name: NodeName,
    figures: Result<Figures, String>,
    work: Option<Work>,
}

/// Asks now and then, for as long as this is polled.
pub(super) async fn regularly(monitor: Arc<Monitor>) {
    let client = Client::new();
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        once(&monitor, &client).await;
    }
}

async fn once(monitor: &Monitor, client: &Client) {
    let view = Source::view(monitor);
    let watched = monitor.board.is_watched();
    let members: Vec<_> = view
        .peers
        .iter()
        .filter(|peer| peer.state.is_live() && !peer.identity.is_observer())
        .map(|peer| Arc::clone(&peer.identity))
        .collect();
    let answers: Vec<Answer> = stream::iter(members)
        .map(|identity| async move { ask(client, &identity, watched).await })
        .buffer_unordered(AT_ONCE_MAX)
        .collect()
        .await;
    let mut read = Vec::with_capacity(answers.len());
    let mut scraped = Scraped::default();
    for Answer { name, figures, work } in answers {
        if let Some(work) = work {
            scraped.work.insert(name.clone(), work);
        }
        match figures {
            Ok(figures) => read.push((name, figures)),
            Err(reason) => drop(scraped.errors.insert(name, reason)),
        }
    }
    *monitor.scraped.lock() = scraped;
    monitor.board.read(&Source::view(monitor), read);
}

async fn ask(client: &Client, identity: &Identity, watched: bool) -> Answer {
    let name = identity.name.clone();
    let endpoint = match format!("http://{}", identity.http()).parse::<Endpoint>() {
        Ok(endpoint) => endpoint,
        Err(error) => return Answer { name, figures: Err(short(&error.to_string())), work: None },
    };
    let figures = match client.get_at_most(&endpoint, "/metrics", TIMEOUT, ANSWER_BYTES_MAX).await {
        Ok(text) => Figures::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| "its /metrics has nothing of a node in it".to_owned()),
        Err(error) => Err(reason(&error)),
    };
    let mut work = None;
    if watched && figures.is_ok() {
        // An older node has none.
        let answer = client.get_at_most(&endpoint, "/dashboard/work", TIMEOUT, ANSWER_BYTES_MAX).await;
        work = answer.ok().and_then(|json| serde_json::from_slice(&json).ok());
    }
    Answer { name, figures, work }
}

fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Unreachable { reason, .. } | ClientError::Broken { reason, .. } => short(reason),
        ClientError::TimedOut { after, .. } => {
            format!("it did not answer within {}", humantime::format_duration(*after))
        }
        other => short(&other.to_string()),
    }
}

fn short(words: &str) -> String {
    crate::printable::line(&words.chars().take(REASON_CHARS_MAX).collect::<String>()).into_owned()
}
