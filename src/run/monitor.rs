//! A monitor with its HTTP service: started together, and stopped.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::descriptors;
use crate::config::NodeConfig;
use crate::http::{Server, ServerLimits};
use crate::monitor::{self, MonitorError, StartedMonitor};
use crate::node::LEAVE_TIMEOUT;
use crate::tls::Acceptor;

/// Connections at once, and those of them that may be one client's: it serves people and load generators.
const CONNECTIONS_MAX: u32 = 512;
const CONNECTIONS_PER_CLIENT: u32 = 256;
/// Time that answers under way have at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs a monitor until `stop` ends. Of `config` it takes what makes a member; its series go to the file `history`, if there is one.
/// Each message on `reload` makes it read its key file again.
pub async fn run_monitor(
    config: NodeConfig,
    history: Option<PathBuf>,
    stop: impl Future<Output = ()>,
    mut reload: mpsc::Receiver<()>,
) -> Result<(), MonitorError> {
    let connections_max = descriptors::raise_for(CONNECTIONS_MAX, 0);
    let StartedMonitor { monitor, overlay, listener, mut tasks } = monitor::start(&config, history).await?;
    let connections_per_client = CONNECTIONS_PER_CLIENT.min(connections_max);
    let limits = ServerLimits { connections_max, connections_per_client };
    let server = Server::start(&monitor, vec![listener], limits, &Acceptor::default());
    tracing::info!(
        name = %monitor.identity().name,
        gossip = %monitor.identity().gossip,
        http = %monitor.identity().http(),
        "monitor started: its dashboard is /dashboard"
    );
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(()) = reload.recv() => match config.keys.as_ref().map(crate::config::KeyFile::again) {
                Some(Ok(file)) => {
                    monitor.set_keys(&file.keys);
                    overlay.set_keys(file.keys).await;
                }
                Some(Err(error)) => tracing::error!(%error, "the keys stay as they were"),
                None => tracing::warn!("nothing to read again: the monitor was started without --key-file"),
            },
        }
    }
    monitor.close();
    overlay.leave(LEAVE_TIMEOUT).await;
    if !server.shutdown(DRAIN).await {
        tracing::warn!("stopped with answers under way");
    }
    tasks.shutdown().await;
    monitor.keep().await;
    Ok(())
}
