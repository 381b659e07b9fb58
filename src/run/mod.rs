//! A node with its HTTP service: started together, and stopped so that no client notices.

mod descriptors;
mod monitor;
mod simulation;
mod spans;

pub use monitor::run_monitor;
pub use simulation::run_simulation;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{MemberState, Overlay};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::config::{DEFAULT_CLUSTER, NodeConfig};
use crate::entrance::Entrance;
use crate::http::{Server, ServerLimits};
use crate::node::{self, LEAVE_TIMEOUT, Node, StartError, Started};
use crate::workers::Queued;

/// Connections that one client may have at most, unless it was said otherwise.
const PER_CLIENT_DEFAULT_MAX: u32 = 1024;

/// How often it is looked whether a file has changed that is read again by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a node until `stop` ends, then drains it within its configured bound.
///
/// Each message on `reload` makes it read its key file, its token file and its certificate again. `inherited` are listeners from the environment (`LISTEN_FDS`); they are served beside the configured one.
pub async fn run(
    config: NodeConfig,
    inherited: Vec<std::net::TcpListener>,
    stop: impl Future<Output = ()>,
    reload: mpsc::Receiver<()>,
) -> Result<(), StartError> {
    let drain = config.drain;
    // Before anything is opened that could be in the way.
    let connections_max = descriptors::raise_for(config.connections_max, config.workers);
    let spans = spans::prepare(&config)?;
    let Started { node, overlay, listeners, mut tasks } = node::start(config, inherited).await?;
    let limits = ServerLimits {
        connections_max,
        connections_per_client: node
            .config()
            .connections_per_client
            .unwrap_or_else(|| per_client_default(connections_max)),
    };
    let spans = spans::start(spans);
    let server = Server::start(&node, listeners, limits, &node.entrance().acceptor());
    tracing::info!(
        name = %node.identity().name,
        zone = %node.identity().zone,
        gossip = %node.identity().gossip,
        http = %node.identity().http(),
        workers = node.config().workers,
        policy = node.config().policy.kind.as_str(),
        https = node.config().certificate.is_some(),
        "node started"
    );
    warn_of_strangers(node.config());
    reload_until(stop, reload, node.entrance(), async || node.reload_keys(&overlay).await).await;
    shutdown(&node, overlay, server, drain).await;
    tasks.shutdown().await;
    spans::finish(spans).await;
    Ok(())
}

/// A quarter of all: one client can't take all there is, nor can three.
fn per_client_default(connections_max: u32) -> u32 {
    (connections_max / 4).clamp(1, PER_CLIENT_DEFAULT_MAX)
}

/// Without a key whoever reaches the ports is a member; the overlay warns of its own.
fn warn_of_strangers(config: &NodeConfig) {
    if config.keys.is_none() && config.cluster == DEFAULT_CLUSTER && !config.gossip.ip().is_loopback() {
        tracing::warn!(
            cluster = config.cluster,
            "the cluster has the default name and no key: any other such cluster that this node ever reaches is taken \
             for its own; give --cluster a name of your own, and --key-file"
        );
    }
    if config.keys.is_none() && !config.http.ip().is_loopback() {
        tracing::warn!(
            "the cluster has no key: whoever reaches the HTTP port can act as a member of it; give --key-file"
        );
    }
    if let Some(file) = config.webhooks.as_ref().map(crate::webhooks::Sender::secret_file)
        && std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    {
        tracing::warn!(file = %file.display(), "others can read the secrets of the webhooks: chmod 600 it");
    }
    tell_of_entrance(config);
}

/// What is asked for at the port, and what others may do with the files that say so.
fn tell_of_entrance(config: &NodeConfig) {
    if let Some(file) = &config.keys {
        tracing::info!(
            file = %file.path.display(),
            fingerprints = file.fingerprints(),
            "the cluster's keys: the first one seals, each opens"
        );
        if file.exposed {
            tracing::warn!(file = %file.path.display(), "others can read the key file: chmod 600 it");
        }
    }
    if let Some(key) = config.certificate.as_ref().map(|certificate| certificate.key_file())
        && std::fs::metadata(key).is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
    {
        tracing::warn!(file = %key.display(), "everybody can read the certificate's key: chmod o-rwx it");
    }
    if let Some(file) = &config.tokens {
        tracing::info!(file = %file.path.display(), tokens = file.tokens.len(), "clients need a token");
        if file.writable {
            tracing::warn!(file = %file.path.display(), "others can change the token file: chmod go-w it");
        }
    }
}

/// Until `stop` ends: has files read again, all when asked, and those that are looked at now and then when they have changed.
async fn reload_until(
    stop: impl Future<Output = ()>,
    mut reload: mpsc::Receiver<()>,
    entrance: &Entrance,
    reload_keys: impl AsyncFn(),
) {
    let mut stop = std::pin::pin!(stop);
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(()) = reload.recv() => {
                reload_keys().await;
                entrance.look_again(true).await;
            }
            _ = look.tick() => entrance.look_again(false).await,
        }
    }
}

/// Takes nothing new, tells the cluster, and lets what runs finish: all within `bound`.
async fn shutdown(node: &Arc<Node>, overlay: Overlay, server: Server, bound: Duration) {
    let begun = Instant::now();
    node.tell_leaving(bound);
    node.hand_over_before_leaving(bound).await;
    // Queued jobs go to the peers if there are any; what runs is finished here.
    let peers =
        node.view().peers.iter().any(|peer| peer.state == MemberState::Alive && !peer.identity.is_observer());
    overlay.leave(LEAVE_TIMEOUT.min(bound)).await;
    let queued = if peers { Queued::HandOver } else { Queued::Finish };
    let left = bound.saturating_sub(begun.elapsed());
    let (answered, done) = tokio::join!(server.shutdown(left), node.drain(left, queued));
    if answered && !done {
        tracing::warn!(
            elapsed_ms = begun.elapsed().as_millis() as u64,
            "stopped: what still ran was cut off, and its clients were told so; give --drain more time"
        );
    } else if answered {
        tracing::info!(
            elapsed_ms = begun.elapsed().as_millis() as u64,
            "stopped: every request was answered"
        );
    } else {
        tracing::warn!(bound_s = bound.as_secs(), "stopped with requests unanswered: give --drain more time");
    }
}
