//! Starling: a decentralized video-transcoding cluster in one binary.

pub mod cache;
pub mod content;
pub mod ingest;
pub mod load;
pub mod profile;
pub mod workers;
