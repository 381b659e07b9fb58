//! Starting a node, and stopping it so that nobody notices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{BootEpoch, Identity, Overlay};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Convergence, Node, convergence, load};
use crate::cache::Cache;
use crate::config::NodeConfig;
use crate::http::{Server, ServerLimits};
use crate::ingest::DataDir;
use crate::load::Sampler;
use crate::metrics::Metrics;
use crate::offload::{Offers, PeerClient};
use crate::profile::ProfileSet;
use crate::workers::{Pool, PoolConfig, Tools};

/// Time to tell the others that this node leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a node did not start. It left nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("can't bind {what} {address}: {source}; is another node using it?")]
    Bind {
        /// Which socket.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data folder can't be used.
    #[error(transparent)]
    DataDir(#[from] crate::ingest::DataDirError),
    /// The cache can't be opened.
    #[error(transparent)]
    Cache(#[from] crate::cache::CacheError),
    /// ffmpeg or ffprobe is missing or does not run.
    #[error(transparent)]
    Tools(#[from] crate::workers::ToolsError),
    /// The overlay did not start.
    #[error(transparent)]
    Overlay(#[from] starling_overlay::StartError),
}

/// Runs a node until `stop` ends, then drains it within its configured bound.
///
/// `inherited` are listeners from the environment (LISTEN_FDS); they are served beside the configured one.
pub async fn run(
    config: NodeConfig,
    inherited: Vec<std::net::TcpListener>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let drain = config.drain;
    let (node, listeners, mut tasks) = start(config, inherited).await?;
    let limits = ServerLimits { connections_max: node.config.connections_max };
    let server = Server::start(&node, listeners, limits);
    tracing::info!(
        name = %node.identity.name,
        zone = %node.identity.zone,
        gossip = %node.identity.gossip,
        http = %node.identity.http(),
        workers = node.config.workers,
        policy = node.config.policy.as_str(),
        "node started"
    );
    stop.await;
    shutdown(&node, server, drain).await;
    tasks.shutdown().await;
    Ok(())
}

async fn start(
    config: NodeConfig,
    inherited: Vec<std::net::TcpListener>,
) -> Result<(Arc<Node>, Vec<TcpListener>, JoinSet<()>), StartError> {
    let tools = Tools::find().await?;
    let data = DataDir::open(&config.data_dir)?;
    let cache = Cache::open(&data, config.cache_bytes, tools.encoder_version()).await?;
    let bind = |what, address| move |source| StartError::Bind { what, address, source };
    let http = TcpListener::bind(config.http).await.map_err(bind("HTTP (TCP)", config.http))?;
    let gossip = Overlay::bind(config.gossip).map_err(bind("gossip (UDP)", config.gossip))?;
    let gossip_port = gossip.local_addr().map_err(bind("gossip (UDP)", config.gossip))?.port();
    let http_port = http.local_addr().map_err(bind("HTTP (TCP)", config.http))?.port();
    let mut listeners = vec![http];
    for listener in inherited {
        let address = listener.local_addr().map_err(bind("the inherited listener", config.http))?;
        let taken = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        listeners.push(taken.map_err(bind("the inherited listener", address))?);
    }
    let identity = Identity {
        name: config.name.clone(),
        boot: BootEpoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64),
        gossip: SocketAddr::new(config.advertised_ip(), gossip_port),
        http_port,
        zone: config.zone.clone(),
        capacity_jobs: config.workers,
    };
    let mut overlay_config = starling_overlay::Config::new(identity.clone());
    overlay_config.cluster.clone_from(&config.cluster);
    overlay_config.seeds.clone_from(&config.join);
    overlay_config.timing = config.timing;
    let overlay = Overlay::start(overlay_config, gossip)?;
    let mut tasks = JoinSet::new();
    let (tell, convergence) = watch::channel(Convergence::default());
    tasks.spawn(convergence::follow(overlay.subscribe(), tell));
    let pool = Pool::start(PoolConfig::new(config.workers, config.queue_capacity_jobs, tools, data.clone()));
    let node = Arc::new(Node {
        identity: Arc::new(identity),
        view: overlay.view(),
        overlay,
        convergence,
        machine: Sampler::start(),
        data,
        cache,
        pool,
        profiles: ProfileSet::builtin(),
        policy: config.policy.build(config.weights),
        rng: Mutex::new(StdRng::from_os_rng()),
        peers: PeerClient::default(),
        offers: Offers::default(),
        flights: super::flights::Flights::default(),
        metrics: Metrics::default(),
        draining: AtomicBool::new(false),
        started: Instant::now(),
        sample_seq: AtomicU32::new(0),
        config,
    });
    tasks.spawn(load::publish_regularly(Arc::clone(&node)));
    Ok((node, listeners, tasks))
}

/// Takes nothing new, tells the cluster, and lets what runs finish: all within `bound`.
async fn shutdown(node: &Node, server: Server, bound: Duration) {
    let begun = Instant::now();
    node.draining.store(true, Ordering::Relaxed);
    tracing::info!(bound_s = bound.as_secs(), running = node.pool.stats().running, "shutting down");
    node.overlay.leave(LEAVE_TIMEOUT.min(bound)).await;
    let answered = server.shutdown(bound.saturating_sub(begun.elapsed())).await;
    node.pool.drain(bound.saturating_sub(begun.elapsed())).await;
    if answered {
        tracing::info!(elapsed_ms = begun.elapsed().as_millis() as u64, "stopped: every request was answered");
    } else {
        tracing::warn!(bound_s = bound.as_secs(), "stopped with requests unanswered: give --drain more time");
    }
}
