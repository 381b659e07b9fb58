//! Starting a node, and stopping it so that nobody notices.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{BootEpoch, Identity, MemberState, Overlay, Versions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Node, descriptors, incoming, load};
use crate::auth::{Authority, ResultTokens};
use crate::config::{Advertise, DEFAULT_CLUSTER, NodeConfig, SandboxMode};
use crate::content::MediaLimits;
use crate::gate::Gate;
use crate::http::{Clients, Server, ServerLimits};
use crate::lease::Leases;
use crate::load::Sampler;
use crate::metrics::Metrics;
use crate::offload::{Offers, PeerClient};
use crate::route::Router;
use crate::store::{DataDir, Store};
use crate::workers::sandbox::{Guarantees, Sandbox};
use crate::workers::{Located, Pool, PoolConfig, Queued, Tools};

/// Time to tell the others that this node leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that one client may have at most, unless it was said otherwise.
const PER_CLIENT_DEFAULT_MAX: u32 = 1024;

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
    DataDir(#[from] crate::store::DataDirError),
    /// The cache can't be opened.
    #[error(transparent)]
    Cache(#[from] crate::store::CacheError),
    /// ffmpeg or ffprobe is missing or does not run.
    #[error(transparent)]
    Tools(#[from] crate::workers::ToolsError),
    /// ffmpeg's sandbox is not whole, and was required to be.
    #[error(
        "--sandbox require: {0}; see \"Media from strangers\" in docs/OPERATIONS.md, or start with --sandbox prefer"
    )]
    Sandbox(String),
    /// The system gives no threads.
    #[error("can't start the node's threads: {0}")]
    Threads(std::io::Error),
    /// The overlay did not start.
    #[error(transparent)]
    Overlay(#[from] starling_overlay::StartError),
}

/// Runs a node until `stop` ends, then drains it within its configured bound.
///
/// Each message on `reload` makes it read its key file again. `inherited` are listeners from the environment (`LISTEN_FDS`); they are served beside the configured one.
pub async fn run(
    config: NodeConfig,
    inherited: Vec<std::net::TcpListener>,
    stop: impl Future<Output = ()>,
    reload: mpsc::Receiver<()>,
) -> Result<(), StartError> {
    let drain = config.drain;
    // Before anything is opened that could be in the way.
    let connections_max = descriptors::raise_for(config.connections_max, config.workers);
    let Started { node, overlay, listeners, mut tasks } = start(config, inherited).await?;
    let limits = ServerLimits {
        connections_max,
        connections_per_client: node
            .config
            .connections_per_client
            .unwrap_or_else(|| per_client_default(connections_max)),
    };
    let server = Server::start(&node, listeners, limits);
    tracing::info!(
        name = %node.identity.name,
        zone = %node.identity.zone,
        gossip = %node.identity.gossip,
        http = %node.identity.http(),
        workers = node.config.workers,
        policy = node.config.policy.kind.as_str(),
        "node started"
    );
    warn_of_strangers(&node.config);
    reload_until(stop, reload, &node, &overlay).await;
    shutdown(&node, overlay, server, drain).await;
    tasks.shutdown().await;
    Ok(())
}

/// Which profiles can't be made here, and why.
fn warn_of_lacks(node: &Node) {
    for profile in node.profiles.iter() {
        if let Some(lack) = node.lack(profile) {
            tracing::warn!(profile = %profile.name, lack, "a profile can't be made here: other nodes are asked for it");
        }
    }
}

/// A quarter of all: one client can't take all there is, nor can three.
fn per_client_default(connections_max: u32) -> u32 {
    (connections_max / 4).clamp(1, PER_CLIENT_DEFAULT_MAX)
}

/// Without a key whoever reaches the ports is a member; the overlay warns of its own.
fn warn_of_strangers(config: &NodeConfig) {
    if let Some(file) = &config.keys {
        tracing::info!(
            file = %file.path.display(),
            fingerprints = file.fingerprints(),
            "the cluster's keys: the first one seals, each opens"
        );
    } else if config.cluster == DEFAULT_CLUSTER && !config.gossip.ip().is_loopback() {
        tracing::warn!(
            cluster = config.cluster,
            "the cluster has the default name and no key: any other such cluster that this node ever reaches is taken \
             for its own; give --cluster a name of your own, and --key-file"
        );
    }
    match &config.keys {
        None if !config.http.ip().is_loopback() => tracing::warn!(
            "the cluster has no key: whoever reaches the HTTP port can act as a member of it; give --key-file"
        ),
        Some(file) if file.exposed => {
            tracing::warn!(file = %file.path.display(), "others can read the key file: chmod 600 it");
        }
        _ => {}
    }
}

async fn reload_until(
    stop: impl Future<Output = ()>,
    mut reload: mpsc::Receiver<()>,
    node: &Node,
    overlay: &Overlay,
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(()) = reload.recv() => reload_keys(node, overlay).await,
        }
    }
}

/// Takes the key file's new content; one that can't be used changes nothing.
async fn reload_keys(node: &Node, overlay: &Overlay) {
    let Some(file) = &node.config.keys else {
        tracing::warn!("nothing to read again: the node was started without --key-file");
        return;
    };
    match file.again() {
        Ok(file) => {
            node.authority.set_keys(&file.keys);
            if let Some(tokens) = &node.result_tokens {
                tokens.set_keys(&file.keys);
            }
            tracing::info!(
                file = %file.path.display(),
                keys = file.keys.keys().len(),
                fingerprints = file.fingerprints(),
                "keys read again"
            );
            overlay.set_keys(file.keys).await;
        }
        Err(error) => tracing::error!(%error, "the keys stay as they were"),
    }
}

struct Started {
    node: Arc<Node>,
    overlay: Overlay,
    listeners: Vec<TcpListener>,
    tasks: JoinSet<()>,
}

async fn start(config: NodeConfig, inherited: Vec<std::net::TcpListener>) -> Result<Started, StartError> {
    let (data, located) = open_data(config.data_dir.clone()).await?;
    // The cluster is joined meanwhile: until the first load sample nobody sends work.
    let tools_and_cache = blocking(open_store(&config, data.clone(), located));
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
    let (gossip_port, http_port) =
        Advertise::ports(config.advertise, config.advertise_http, gossip_port, http_port);
    let identity = Identity {
        name: config.name.clone(),
        boot: BootEpoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64),
        gossip: SocketAddr::new(config.advertised_ip(), gossip_port),
        http_port,
        zone: config.zone.clone(),
        capacity_jobs: config.workers,
        versions: Versions::SPOKEN,
    };
    let mut overlay_config = starling_overlay::Config::new(identity.clone());
    overlay_config.cluster.clone_from(&config.cluster);
    overlay_config.seeds.clone_from(&config.join);
    overlay_config.follow_address = config.follows_address();
    overlay_config.timing = config.timing;
    overlay_config.keys = config.keys.as_ref().map(|file| file.keys.clone());
    let overlay_config = with_last_members(overlay_config, data.root().join("members")).await?;
    let overlay = Overlay::start(overlay_config, gossip)?;
    let (tools, store, guarantees) = match tools_and_cache.await {
        Ok(opened) => opened,
        Err(error) => {
            overlay.leave(LEAVE_TIMEOUT).await;
            return Err(error);
        }
    };
    let mut tasks = JoinSet::new();
    let pool = Pool::start(PoolConfig {
        workers: config.workers.into(),
        queue_capacity_jobs: config.queue_capacity_jobs.into(),
        tools,
        sandbox: Sandbox::default(),
        limits: MediaLimits::default(),
        dir: data.clone(),
        hardware: config.hardware.clone(),
    })
    .map_err(StartError::Threads)?;
    let authority = Arc::new(Authority::new(
        config.name.clone(),
        identity.boot,
        config.keys.as_ref().map(|file| &file.keys),
    ));
    let sampler = Sampler::start().map_err(StartError::Threads)?;
    let node = Arc::new(Node {
        identity: Arc::new(identity),
        view: overlay.view(),
        load_out: overlay.load_publisher(),
        machine: sampler.watch(),
        _sampler: sampler,
        incoming: incoming::budget(&config),
        store,
        pool,
        profiles: config.profiles.clone(),
        clients: Clients::new(config.uploads_per_client),
        result_tokens: config
            .keys
            .as_ref()
            .filter(|_| config.private_results)
            .map(|file| ResultTokens::new(&file.keys)),
        gate: Gate::new(config.hosts.clone(), config.origins.clone()),
        router: Router::new(config.policy, StdRng::from_os_rng()),
        peers: PeerClient::new(Arc::clone(&authority)),
        authority,
        guarantees,
        offers: Offers::default(),
        offerers: Clients::new(super::for_peers::offers_per_peer_max(&config)),
        leases: Leases::default(),
        lives: super::life::Lives::default(),
        flights: super::flights::Flights::default(),
        handovers: super::handover::Handovers::default(),
        metrics: Metrics::default(),
        joined: AtomicBool::new(false),
        draining: AtomicBool::new(false),
        started: Instant::now(),
        sample_seq: AtomicU16::new(0),
        config,
    });
    warn_of_lacks(&node);
    incoming::measure(&node).await;
    tasks.spawn(load::publish_regularly(Arc::clone(&node)));
    tasks.spawn(incoming::measure_regularly(Arc::clone(&node)));
    Ok(Started { node, overlay, listeners, tasks })
}

/// The members known before the last stop: a help for a node whose seeds are all gone. A file that can't be read is no
/// reason not to start; it is written anew.
async fn with_last_members(
    mut config: starling_overlay::Config,
    path: PathBuf,
) -> Result<starling_overlay::Config, StartError> {
    let read = move || {
        if let Err(error) = config.read_snapshot(path.clone()) {
            tracing::warn!(%error, file = %path.display(), "can't be read: joining by the seeds alone");
            config.snapshot = Some(path);
        }
        config
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| StartError::Threads(std::io::Error::other(error)))
}

/// The data folder, and where the tools are: what is wrong with them is said before any socket is bound.
async fn open_data(path: PathBuf) -> Result<(DataDir, Located), StartError> {
    let open = move || {
        let located = Located::find("ffmpeg".as_ref(), "ffprobe".as_ref())?;
        Ok((DataDir::open(path)?, located))
    };
    blocking(open).await
}

/// The encoder's version, which is part of every key of the cache, and the cache.
fn open_store(
    config: &NodeConfig,
    data: DataDir,
    located: Located,
) -> impl FnOnce() -> Result<(Tools, Store, Option<Guarantees>), StartError> + Send + use<> {
    let (budget, mode) = (config.cache_bytes, config.sandbox);
    move || {
        let guarantees = try_sandbox(mode)?;
        let tools = located.ask_version()?;
        for warning in tools.warnings() {
            tracing::warn!("{warning}");
        }
        let store = Store::open(data, budget, &tools.version.to_string())?;
        Ok((tools, store, guarantees))
    }
}

/// What ffmpeg is kept from here. None: it could not be found out.
fn try_sandbox(mode: SandboxMode) -> Result<Option<Guarantees>, StartError> {
    let tried = Sandbox::default().check();
    match (&tried, mode) {
        (Ok(found), _) if found.whole => found.tell(),
        (Ok(found), SandboxMode::Require) => return Err(StartError::Sandbox(found.lacks())),
        (Ok(found), SandboxMode::Prefer) => found.tell(),
        (Err(error), SandboxMode::Require) => {
            return Err(StartError::Sandbox(format!("it can't be tried out: {error}")));
        }
        (Err(error), SandboxMode::Prefer) => {
            tracing::warn!(%error, "ffmpeg's sandbox can't be tried out: nothing is known of what it holds");
        }
    }
    Ok(tried.ok())
}

/// Runs what blocks on a thread that may, from now on: not first when it is awaited.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> impl Future<Output = Result<T, StartError>> {
    let task = tokio::task::spawn_blocking(work);
    async move { task.await.map_err(|error| StartError::Threads(std::io::Error::other(error)))? }
}

/// Takes nothing new, tells the cluster, and lets what runs finish: all within `bound`.
async fn shutdown(node: &Node, overlay: Overlay, server: Server, bound: Duration) {
    let begun = Instant::now();
    node.draining.store(true, Ordering::Relaxed);
    tracing::info!(bound_s = bound.as_secs(), running = node.pool.stats().running, "shutting down");
    // Queued jobs go to the peers if there are any; what runs is finished here.
    let peers = node.view().peers.iter().any(|peer| peer.state == MemberState::Alive);
    overlay.leave(LEAVE_TIMEOUT.min(bound)).await;
    let queued = if peers { Queued::HandOver } else { Queued::Finish };
    let left = bound.saturating_sub(begun.elapsed());
    let (answered, ()) = tokio::join!(server.shutdown(left), node.pool.drain(left, queued));
    if answered {
        tracing::info!(
            elapsed_ms = begun.elapsed().as_millis() as u64,
            "stopped: every request was answered"
        );
    } else {
        tracing::warn!(bound_s = bound.as_secs(), "stopped with requests unanswered: give --drain more time");
    }
}
