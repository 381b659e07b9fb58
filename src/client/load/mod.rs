//! The load generator: many uploads in flight, each to a random node, as the paper's client does it.
//!
//! ```text
//! slot 1..N --plan (seeded)--> node (breaker) --upload--> outcome --> tally --> report
//! ```
//!
//! Every slot sends one upload after another; a refused one waits as long as it was told to. Who sends what is decided
//! by the seed and the upload's number alone.

mod breaker;
mod cluster;
mod generator;
mod outcome;
mod plan;
mod recording;
mod report;
mod reporting;
mod request;
mod schedule;
mod sources;
mod tally;

pub use breaker::NoNode;
pub use cluster::ClusterReport;
pub use generator::{Generator, Options};
pub use recording::{Listener, Recording, RecordingError};
pub use report::{Latency, Refusals, Report, Retries, Times};
pub use reporting::{ReportUrl, ReportUrlError};
pub use schedule::{Ended, Pace, Record, Schedule, Sending};
pub use sources::{Source, SourceError, find};
pub use tally::Snapshot;
