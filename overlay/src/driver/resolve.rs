//! Seeds' names to addresses, again on each attempt.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A name server that does not answer must not hold up the other seeds for ever.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// All addresses of all seeds whose names resolve now, then those of the members known before the last stop.
pub(super) async fn resolve(seeds: &[String], contacts: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for seed in seeds {
        match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(seed)).await {
            Ok(Ok(found)) => addresses.extend(found),
            Ok(Err(error)) => {
                tracing::debug!(target: "starling::overlay", %seed, %error, "seed does not resolve yet");
            }
            Err(_) => tracing::debug!(target: "starling::overlay", %seed, "resolving the seed took too long"),
        }
    }
    addresses.extend(contacts);
    let mut seen = BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses
}
