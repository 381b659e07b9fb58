//! End-to-end tests: real processes, real UDP, real ffmpeg, real HTTP. A module a scenario.

mod bad_input;
mod failures;
mod membership;
mod offload;
mod support;
mod upload;
mod videos;
