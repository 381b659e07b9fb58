//! Spans on their way to the collector.

use std::time::Duration;

use hyper::Uri;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{client, convert};
use crate::config::NodeConfig;
use crate::trace::Spans;

/// Spans that wait for the collector; further ones are lost.
const WAITING_SPANS_MAX: usize = 2_048;
/// Spans in one message.
const MESSAGE_SPANS_MAX: usize = 512;
/// How often they are sent.
const INTERVAL: Duration = Duration::from_secs(1);
/// Longest that one message may take, all its tries together.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest that the last ones are waited for when the node ends.
const FINISH_TIME_MAX: Duration = Duration::from_secs(2);

/// Either of these says in which form they are sent; it is protobuf where neither does, as the specification would have it.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// Spans can't be sent as the environment says.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// One of the variables of OpenTelemetry can't be followed.
    #[error("can't send spans as the environment says (OTEL_EXPORTER_OTLP_…): {0}")]
    Build(#[from] opentelemetry_otlp::ExporterBuildError),
    /// There are no certificates to trust.
    #[error("can't send spans by https: {0}")]
    Roots(#[source] std::io::Error),
    /// This process sends spans already.
    #[error("this process sends the spans of another node already")]
    Twice,
}

/// What sends spans, as configured; nothing is sent yet.
#[derive(Debug)]
pub struct Exporter {
    sender: SpanExporter,
    endpoint: Uri,
    spans: Spans,
}

/// The task that sends them.
#[derive(Debug)]
pub struct Export {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Keeps the spans of this process from now on, if the node is to send them; once in a process. Within a runtime.
    pub fn of(config: &NodeConfig) -> Result<Option<Self>, ExporterError> {
        let Some(endpoint) = config.otlp_endpoint.clone() else { return Ok(None) };
        let mut builder = SpanExporter::builder().with_http();
        if PROTOCOLS.iter().all(|name| std::env::var_os(name).is_none()) {
            builder = builder.with_protocol(Protocol::HttpBinary);
        }
        let builder = match endpoint.scheme_str() {
            Some("https") => {
                builder.with_http_client(client::client(SEND_TIME_MAX).map_err(ExporterError::Roots)?)
            }
            _ => builder.with_http_client(client::plain(SEND_TIME_MAX)),
        };
        let mut sender = builder.with_endpoint(endpoint.to_string()).with_timeout(SEND_TIME_MAX).build()?;
        sender.set_resource(&resource(config));
        let spans = Spans::keep(WAITING_SPANS_MAX).ok_or(ExporterError::Twice)?;
        Ok(Some(Self { sender, endpoint, spans }))
    }

    /// Sends them from now on.
    pub fn start(self) -> Export {
        tracing::info!(endpoint = %self.endpoint, "spans go to a collector");
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.run(stop.clone()));
        Export { stop, task }
    }

    /// Ends with `stop`, when what waits then was sent.
    async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unsent = 0;
        loop {
            let last = tokio::select! {
                _ = tick.tick() => false,
                () = stop.cancelled() => true,
            };
            loop {
                let batch = self.spans.take(MESSAGE_SPANS_MAX);
                if batch.is_empty() {
                    break;
                }
                let lost = self.spans.take_lost();
                if lost > 0 {
                    tracing::warn!(lost, "spans came faster than the collector takes them");
                }
                self.send(batch, &mut unsent).await;
            }
            if last {
                return;
            }
        }
    }

    /// `unsent`: spans that the collector did not take since it took some.
    async fn send(&self, batch: Vec<crate::trace::Span>, unsent: &mut u64) {
        let count = batch.len() as u64;
        let sent = self.sender.export(batch.into_iter().map(convert::span).collect()).await;
        let endpoint = &self.endpoint;
        match sent {
            Ok(()) => {
                let lost = std::mem::take(unsent);
                if lost > 0 {
                    tracing::info!(%endpoint, lost, "the collector takes spans again");
                }
            }
            Err(error) => {
                if *unsent == 0 {
                    tracing::warn!(%endpoint, %error, "the collector takes no spans: they are lost until it does; uploads go on");
                } else {
                    tracing::debug!(%endpoint, %error, "the collector still takes no spans");
                }
                *unsent += count;
            }
        }
    }
}

impl Export {
    /// Sends what waits, and ends.
    pub async fn finish(self) {
        self.stop.cancel();
        match tokio::time::timeout(FINISH_TIME_MAX, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the task that sends spans failed"),
            Err(_) => tracing::warn!("the collector did not take the last spans in time"),
        }
    }
}

/// What the spans are of: as the node says, and what else the environment does (`OTEL_RESOURCE_ATTRIBUTES`).
fn resource(config: &NodeConfig) -> Resource {
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.instance.id", config.name.to_string()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("starling.cluster", config.cluster.clone()),
        KeyValue::new("starling.zone", config.zone.to_string()),
    ]);
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("starling");
    }
    resource.build()
}
