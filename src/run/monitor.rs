//! A monitor with its HTTP service: started together, and stopped.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{descriptors, reload_until, tell_of_entrance};
use crate::config::NodeConfig;
use crate::http::{Server, ServerLimits};
use crate::monitor::{self, MonitorError, StartedMonitor};
use crate::node::LEAVE_TIMEOUT;

/// Connections at once, and those of them that may be one client's: it serves people and load generators.
const CONNECTIONS_MAX: u32 = 512;
const CONNECTIONS_PER_CLIENT: u32 = 256;
/// Time that answers under way have at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs a monitor until `stop` ends. Of `config` it takes what makes a member; its series go to the file `history`, if there is one.
/// Each message on `reload` makes it read its key file, its token file and its certificate again.
pub async fn run_monitor(
    config: NodeConfig,
    history: Option<PathBuf>,
    stop: impl Future<Output = ()>,
    reload: mpsc::Receiver<()>,
) -> Result<(), MonitorError> {
    let connections_max = descriptors::raise_for(CONNECTIONS_MAX, 0);
    let StartedMonitor { monitor, overlay, listener, mut tasks } = monitor::start(&config, history).await?;
    let connections_per_client = CONNECTIONS_PER_CLIENT.min(connections_max);
    let limits = ServerLimits { connections_max, connections_per_client };
    let server = Server::start(&monitor, vec![listener], limits, &monitor.entrance().acceptor());
    tracing::info!(
        name = %monitor.identity().name,
        gossip = %monitor.identity().gossip,
        http = %monitor.identity().http(),
        https = config.certificate.is_some(),
        "monitor started: its dashboard is /dashboard"
    );
    tell_of_entrance(&config);
    let reload_keys = async || monitor.reload_keys(config.keys.as_ref(), &overlay).await;
    reload_until(stop, reload, monitor.entrance(), reload_keys).await;
    monitor.close();
    overlay.leave(LEAVE_TIMEOUT).await;
    if !server.shutdown(DRAIN).await {
        tracing::warn!("stopped with answers under way");
    }
    tasks.shutdown().await;
    monitor.keep().await;
    Ok(())
}
