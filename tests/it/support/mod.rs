//! What the scenarios share: node processes, clips, a small HTTP client.

mod chromium;
mod clips;
mod files;
mod http;
pub mod lab;
mod node;
mod rogue;
mod stub;

pub use chromium::Chromium;
pub use clips::{Clip, first_seconds, made_by_ffmpeg, probe_video, real_clips, unlike};
pub use files::FileServer;
pub use http::{Answer, Http};
pub use node::{Cluster, Node, NodeOptions};
pub use rogue::{Play, Rogue};
pub use stub::{Stub, real};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Says that a test cannot run here, and why; in CI that is a failure.
pub fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI this must run: {why}");
    eprintln!("SKIPPED: {why}");
}

/// What `scripts/deps.sh test` has fetched for tests, by its path below `target/tools`.
pub fn fetched(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let places = [target, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))];
    places.map(|target| target.join("tools").join(path)).into_iter().find(|path| path.exists())
}

/// How long a test waits for anything at all before it fails: a bound, not an expectation.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
