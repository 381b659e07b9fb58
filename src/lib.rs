//! Starling: a decentralized video-transcoding cluster in one binary.

pub mod content;
pub mod ingest;
pub mod profile;
pub mod workers;
