//! Room for uploads: as it was configured, else by what the disk has, which is looked at now and then, and kept for the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Node;
use crate::config::NodeConfig;
use crate::store::{Budget, PerClient};

/// How often the disk is looked at: what else lies on it comes and goes.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

/// The budget as configured; one that follows the disk has nothing before it was [measured](measure).
pub(super) fn budget(config: &NodeConfig) -> Arc<Budget> {
    let per_client = config.incoming_bytes_per_client.map_or(PerClient::AsMuchAsIsLeft, PerClient::Bytes);
    Budget::new(config.incoming_bytes.unwrap_or_default(), per_client)
}

/// Looks at the disk, and sets a budget that follows it.
pub(super) async fn measure(node: &Arc<Node>) {
    let this = Arc::clone(node);
    let measured = spawn_blocking(move || this.store.folder().disk_bytes())
        .await
        .map_err(std::io::Error::other)
        .and_then(|disk| disk);
    *node.disk.lock() = measured.as_ref().ok().copied();
    if node.config.incoming_bytes.is_some() {
        return;
    }
    let bytes = match measured {
        Ok((free, _)) => {
            let cache = node.store.stats();
            let used = cache.bytes.saturating_add(node.incoming.used_bytes() + node.store.spare_bytes());
            Budget::default_bytes(free, used, cache.budget_bytes)
        }
        Err(error) => {
            tracing::warn!(%error, "the disk does not tell how much is free: give --incoming-bytes");
            node.config.upload_bytes_max.saturating_mul(2)
        }
    };
    node.incoming.set_bytes(bytes);
    tracing::debug!(bytes, upload_bytes_max = node.incoming.upload_bytes_max(), "room for uploads");
}

/// The same for as long as the node lives; aborted when it stops.
pub(super) async fn measure_regularly(node: Arc<Node>) {
    let mut tick = tokio::time::interval(MEASURE_INTERVAL);
    loop {
        tick.tick().await;
        measure(&node).await;
    }
}
