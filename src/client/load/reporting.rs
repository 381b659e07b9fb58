//! Telling a monitor how a run goes, every five seconds and at its end, as the paper's client does.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::Uri;
use serde::Serialize;

use super::{Generator, Snapshot};
use crate::client::{Client, Endpoint};

/// How often.
const PERIOD: Duration = Duration::from_secs(5);
/// How long a report may take: the run does not wait for a monitor that is gone.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The path where none is given.
const PATH: &str = "/update_metrics";

/// Where reports go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportUrl {
    url: Uri,
    endpoint: Endpoint,
}

/// A text is no address for reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address for reports: give a monitor's, as in http://127.0.0.1:8005")]
pub struct ReportUrlError(String);

impl FromStr for ReportUrl {
    type Err = ReportUrlError;

    fn from_str(text: &str) -> Result<Self, ReportUrlError> {
        let error = || ReportUrlError(text.chars().take(120).collect());
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = with_scheme.parse().map_err(|_| error())?;
        let authority = uri.authority().ok_or_else(error)?;
        let scheme =
            uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or_else(error)?;
        if authority.port().is_none() {
            return Err(error());
        }
        let endpoint: Endpoint = format!("{scheme}://{authority}").parse().map_err(|_| error())?;
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "" | "/" => PATH,
            path => path,
        };
        let url = format!("{scheme}://{authority}{path}").parse().map_err(|_| error())?;
        Ok(Self { url, endpoint })
    }
}

impl fmt::Display for ReportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

/// One report.
#[derive(Debug, PartialEq, Serialize)]
struct ReportJson {
    node_id: String,
    throughput: f64,
    avg_latency: f64,
    success: u64,
    total: u64,
    timestamp: f64,
}

/// Reports until it is dropped; without an address it only waits.
pub(super) async fn regularly(generator: &Generator, client: &Client, to: Option<&ReportUrl>) {
    let mut tick = tokio::time::interval_at((Instant::now() + PERIOD).into(), PERIOD);
    loop {
        tick.tick().await;
        once(generator, client, to).await;
    }
}

/// One report, now. That it can't be delivered is told, and changes nothing about the run.
pub(super) async fn once(generator: &Generator, client: &Client, to: Option<&ReportUrl>) {
    let Some(ReportUrl { url, endpoint }) = to else { return };
    let json = match serde_json::to_vec(&report(&generator.snapshot())) {
        Ok(json) => json,
        Err(error) => return tracing::warn!(%error, "the report can't be written"),
    };
    if let Err(error) = client.post_json(url, endpoint, json, TIMEOUT).await {
        tracing::warn!(%error, "the monitor did not take the report");
    }
}

fn report(now: &Snapshot) -> ReportJson {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    ReportJson {
        node_id: format!("load-{host}-{}", std::process::id()),
        throughput: now.succeeded as f64 / now.elapsed.as_secs_f64().max(0.001),
        avg_latency: now.mean_ms / 1000.0,
        success: now.succeeded,
        total: now.succeeded + now.refused + now.failed,
        timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_where_there_is_none() {
        let url = |text: &str| text.parse::<ReportUrl>().map(|url| url.to_string());
        assert_eq!(url("127.0.0.1:8005").unwrap(), "http://127.0.0.1:8005/update_metrics");
        assert_eq!(url("http://monitor:8005/").unwrap(), "http://monitor:8005/update_metrics");
        assert_eq!(url("http://monitor:8005/in?x=1").unwrap(), "http://monitor:8005/in?x=1");
        assert_eq!(url("https://monitor:8005").unwrap(), "https://monitor:8005/update_metrics");
        for wrong in ["", "monitor", "http://", "ftp://a:1"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_report_has_what_the_papers_client_tells() {
        let now = Snapshot {
            elapsed: Duration::from_secs(10),
            requests: 12,
            in_flight: 2,
            succeeded: 5,
            refused: 3,
            failed: 2,
            median_ms: 100.0,
            mean_ms: 1500.0,
        };
        let json = serde_json::to_value(report(&now)).unwrap();
        assert_eq!((&json["throughput"], &json["avg_latency"]), (&0.5.into(), &1.5.into()));
        assert_eq!((&json["success"], &json["total"]), (&5.into(), &10.into()));
        assert!(json["node_id"].as_str().unwrap().starts_with("load-") && json["timestamp"].is_f64());
    }
}
