//! Spans to a collector, by OTLP over HTTP: the feature `otlp`, and `--otlp-endpoint`.
//!
//! What becomes a span is in [`crate::trace`]. Here is the way out: one task takes what waits, a second's worth at a time. Nothing
//! waits for the collector: what it does not take is lost, and that is logged once.

mod client;
mod convert;
mod export;

pub use export::{Export, Exporter, ExporterError};
