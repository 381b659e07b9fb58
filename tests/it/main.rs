//! End-to-end tests: real processes, real UDP, real ffmpeg, real HTTP. A module a scenario.

#![allow(clippy::unwrap_used, reason = "a test that is surprised is a test that fails")]

mod access;
mod addresses;
mod admission;
mod bad_input;
mod bench;
mod browsers;
mod busy;
mod cli;
mod compose;
mod corpus;
mod dashboard;
mod events;
mod failures;
mod faults;
mod hardware;
mod hls;
mod hostile;
mod http;
mod jobs;
mod jobs_killed;
mod jobs_retried;
mod kernel;
mod keys;
mod lab;
mod lab_users;
mod load;
mod media;
mod membership;
mod metrics;
mod monitor;
mod offload;
mod openapi;
#[cfg(feature = "otlp")]
mod otlp;
mod player;
mod policy;
mod private;
mod profiles;
mod prometheus;
mod rogues;
mod sandbox;
mod sets;
mod several;
mod sharing;
mod strangers;
mod stubs;
mod support;
mod tls;
mod traces;
mod upload;
mod videos;
mod waits;
mod webhooks;
mod work;
