//! Starling: a decentralized video-transcoding cluster in one binary.
//!
//! docs/ARCHITECTURE.md tells where each step of the two data paths lives.

pub mod access;
pub mod api;
pub mod auth;
pub mod bench;
mod body;
pub mod client;
pub mod config;
pub mod content;
pub mod dashboard;
mod draft;
pub mod entrance;
pub mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod http;
pub mod jobs;
pub mod lab;
pub mod load;
pub mod media;
pub mod metrics;
pub mod monitor;
pub mod node;
pub mod offload;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod printable;
pub mod profile;
pub mod run;
pub mod simulated;
pub mod store;
pub mod tls;
pub mod trace;
pub mod uploads;
pub mod webhooks;
pub mod workers;
