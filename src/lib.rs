//! Starling: a decentralized video-transcoding cluster in one binary.
//!
//! docs/ARCHITECTURE.md tells where each step of the two data paths lives.

pub mod auth;
pub mod client;
pub mod config;
pub mod content;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gate;
pub mod http;
pub mod lab;
pub mod lease;
pub mod load;
pub mod media;
pub mod metrics;
pub mod node;
pub mod offload;
pub mod printable;
pub mod profile;
pub mod store;
pub mod workers;

#[doc(hidden)]
pub use starling_placement::policy as route;

// The parts of the store under their old names, until whatever names them so is changed.
#[doc(hidden)]
pub use store::files as bundle;
#[doc(hidden)]
pub mod cache {
    pub use crate::store::{CacheError, CacheStats, Key, Meta, OPEN_RESULTS_MAX, Object};
    pub mod serve {
        pub use crate::content::{REPR_DIGEST, parse_digest, repr_digest};
    }
}
#[doc(hidden)]
pub mod ingest {
    pub use crate::store::*;
}
