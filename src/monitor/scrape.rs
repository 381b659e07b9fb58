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
    let client = monitor.peer_tls.clone().map_or_else(Client::new, Client::of_member);
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
    let scheme = if monitor.peer_tls.is_some() { "https" } else { "http" };
    let members: Vec<_> = view
        .peers
        .iter()
        .filter(|peer| peer.state.is_live() && !peer.identity.is_observer())
        .map(|peer| Arc::clone(&peer.identity))
        .collect();
    let answers = ask_all(client, scheme, members, watched).await;
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

/// Asks each of these once over plain HTTP, as a monitor does that somebody watches, and says how many gave figures and work. For the
/// benchmark `scrape`.
#[doc(hidden)]
pub async fn ask_once(members: Vec<Arc<Identity>>) -> usize {
    let answers = ask_all(&Client::new(), "http", members, true).await;
    answers.iter().filter(|answer| answer.figures.is_ok() && answer.work.is_some()).count()
}

/// Asks so many at a time.
async fn ask_all(client: &Client, scheme: &str, members: Vec<Arc<Identity>>, watched: bool) -> Vec<Answer> {
    stream::iter(members)
        .map(|identity| async move { ask(client, scheme, &identity, watched).await })
        .buffer_unordered(AT_ONCE_MAX)
        .collect()
        .await
}

async fn ask(client: &Client, scheme: &str, identity: &Identity, watched: bool) -> Answer {
    let name = identity.name.clone();
    let endpoint = match format!("{scheme}://{}", identity.http()).parse::<Endpoint>() {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use starling_overlay::{BootEpoch, Versions};
    use tokio::net::TcpListener;

    use super::*;

    /// About what a node answers: some hundred lines.
    fn metrics() -> String {
        let buckets =
            (0..400).map(|at| format!("starling_upload_duration_seconds_bucket{{le=\"{at}.0\"}} {at}\n"));
        let uploads =
            "starling_uploads_total{status=\"200\",cache=\"hit\",route=\"local\",policy=\"score\"} 3\n";
        format!("{uploads}{}", buckets.collect::<String>())
    }

    /// Answers like any number of nodes.
    async fn nodes() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, work) = (Bytes::from(metrics()), Bytes::from(r#"{"jobs":[],"decisions":[]}"#));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (metrics, work) = (metrics.clone(), work.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let body =
                        if request.uri().path() == "/metrics" { metrics.clone() } else { work.clone() };
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        address
    }

    #[tokio::test]
    async fn each_of_five_hundred_members_is_asked_and_one_that_is_away_is_told_of() {
        let (address, gone) = (nodes().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let away = gone.local_addr().unwrap();
        drop(gone);
        let member = |number: usize| {
            let http = if number == 7 { away } else { address };
            Arc::new(Identity {
                name: format!("node{number}").parse().unwrap(),
                boot: BootEpoch(1),
                gossip: http,
                http_port: http.port(),
                zone: "FRA".parse().unwrap(),
                capacity_jobs: 1,
                versions: Versions::SPOKEN,
            })
        };
        let began = std::time::Instant::now();
        let answers = ask_all(&Client::new(), "http", (1..=500).map(member).collect(), true).await;
        eprintln!("500 members asked in {} ms", began.elapsed().as_millis());
        assert_eq!(answers.len(), 500);
        for Answer { name, figures, work } in answers {
            if name.as_str() == "node7" {
                assert!(figures.is_err() && work.is_none());
            } else {
                assert_eq!(figures.unwrap().counts.ok, 3, "{name}");
                assert!(work.is_some(), "{name}");
            }
        }
    }
}
