//! Starting a node: its folder, its sockets, its tools, its membership.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{BootEpoch, Identity, Overlay, Versions};
use starling_placement::journey::Journeys;
use starling_placement::policy::{OtherWork, Router};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::dashboard::Hearers;
use super::doers::Doers;
use super::{
    Clients, Listeners, Node, dashboard, incoming, jobs, keepers, listener_at, load, quotas,
    tell_of_membership, uploads, work,
};
use crate::auth::{Authority, ResultTokens};
use crate::config::{Advertise, NodeConfig, SandboxMode};
use crate::content::MediaLimits;
use crate::dashboard::{Board, Journal, publish_regularly};
use crate::entrance::Entrance;
use crate::events::Events;
use crate::jobs::{JobError, Jobs};
use crate::load::Sampler;
use crate::metrics::Metrics;
use crate::offload::{Offers, PeerClient};
use crate::store::{Budget, DataDir, Store};
use crate::tls::PeerTls;
use crate::uploads::Uploads;
use crate::workers::sandbox::{Guarantees, Sandbox};
use crate::workers::{Located, Pool, PoolConfig, Tools};

/// Time to tell the others that this node leaves.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What to do about an address that can't be bound.
pub fn bind_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        std::io::ErrorKind::PermissionDenied => "only root takes ports below 1024: take another",
        _ => "is another program using it?",
    }
}

/// Why a node did not start. It left nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("can't bind {what} {address}: {source}; {}", bind_hint(.source))]
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
    /// The journal of jobs can't be opened.
    #[error(
        "{0}; check the disk, or move that file away (its jobs are lost then), or give another --data-dir"
    )]
    Jobs(#[from] JobError),
    /// What an earlier process has left of uploads can't be read.
    #[error("uploads in parts can't be taken up again: {0}; check the disk, or give another --data-dir")]
    Uploads(std::io::Error),
    /// Spans can't be sent as they are to be.
    #[error(transparent)]
    Spans(Box<dyn std::error::Error + Send + Sync>),
    /// ffmpeg or ffprobe is missing or does not run.
    #[error(transparent)]
    Tools(#[from] crate::workers::ToolsError),
    /// ffmpeg's sandbox is not whole, and was required to be.
    #[error(
        "--sandbox require: {0}; see \"Media from strangers\" in docs/OPERATIONS.md, or start with --sandbox prefer"
    )]
    Sandbox(String),
    /// No TLS by the cluster's key.
    #[error("TLS with the other nodes can't be set up: {0}")]
    Tls(rustls::Error),
    /// The system gives no threads.
    #[error("can't start the node's threads: {0}")]
    Threads(std::io::Error),
    /// The overlay did not start.
    #[error(transparent)]
    Overlay(#[from] starling_overlay::StartError),
}

/// Which profiles can't be made here, and why.
fn warn_of_lacks(node: &Node) {
    for profile in node.profiles.iter() {
        if let Some(lack) = node.lack(profile) {
            tracing::warn!(profile = %profile.name, lack, "a profile can't be made here: other nodes are asked for it");
        }
    }
}

/// A node that is a member, and whose HTTP service is still to be given its listeners.
pub struct Started {
    /// The node.
    pub node: Arc<Node>,
    /// Its membership.
    pub overlay: Overlay,
    /// Where its HTTP service listens: the configured address, and what was inherited.
    pub listeners: Vec<TcpListener>,
    /// What it does by itself, until this is shut down.
    pub tasks: JoinSet<()>,
}

/// Starts a node. `inherited` are listeners from the environment (`LISTEN_FDS`).
pub async fn start(config: NodeConfig, inherited: Vec<std::net::TcpListener>) -> Result<Started, StartError> {
    let (data, located) = open_data(config.data_dir.clone()).await?;
    let boot = BootEpoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64);
    let metrics = Arc::new(Metrics::default());
    let journal = Arc::new(Journal::new(config.name.clone(), config.policy.kind.as_str()));
    let doers = Arc::new(Doers::new(config.name.clone()));
    let hearers =
        Hearers { metrics: Arc::clone(&metrics), journal: Arc::clone(&journal), doers: Arc::clone(&doers) };
    let events = Events::new(config.name.clone(), boot, Arc::new(hearers));
    // The cluster is joined meanwhile: until the first load sample nobody sends work.
    let tools_and_cache = blocking(open_store(&config, data.clone(), located, events.clone()));
    let bind = |what, address| move |source| StartError::Bind { what, address, source };
    let http = listener_at(config.http).and_then(TcpListener::from_std);
    let http = http.map_err(bind("HTTP (TCP)", config.http))?;
    let gossip = Overlay::bind(config.gossip).map_err(bind("gossip (UDP)", config.gossip))?;
    let gossip_port = gossip.local_addr().map_err(bind("gossip (UDP)", config.gossip))?.port();
    let http_port = http.local_addr().map_err(bind("HTTP (TCP)", config.http))?.port();
    let mut listeners = vec![http];
    for listener in inherited {
        let address = listener.local_addr().map_err(bind("the inherited listener", config.http))?;
        let taken = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        listeners.push(taken.map_err(bind("the inherited listener", address))?);
    }
    let identity = identity(&config, boot, (gossip_port, http_port));
    let overlay_config =
        with_last_members(overlay_config(&config, &identity), data.root().join("members")).await?;
    let mut overlay = Overlay::start(overlay_config, gossip)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_of_membership(events.clone(), overlay.events_from_start()));
    let Opened { tools, store, jobs, guarantees } = match tools_and_cache.await {
        Ok(opened) => opened,
        Err(error) => {
            overlay.leave(LEAVE_TIMEOUT).await;
            return Err(error);
        }
    };
    let pool = Pool::start(PoolConfig {
        workers: config.workers.into(),
        queue_capacity_jobs: config.queue_capacity_jobs.into(),
        tools,
        sandbox: Sandbox::default(),
        limits: MediaLimits::default(),
        dir: data.clone(),
        hardware: config.hardware.clone(),
        events: events.clone(),
    })
    .map_err(StartError::Threads)?;
    let authority = Arc::new(Authority::new(
        config.name.clone(),
        identity.boot,
        config.keys.as_ref().map(|file| &file.keys),
    ));
    let peer_tls = peer_tls(&config)?;
    let sampler = Sampler::start().map_err(StartError::Threads)?;
    let incoming = incoming::budget(&config);
    let node = Arc::new(Node {
        uploads: uploads(&config, &store, &incoming),
        identity: Arc::new(identity),
        view: overlay.view(),
        load_out: overlay.load_publisher(),
        machine: sampler.watch(),
        other_work: Mutex::new(OtherWork::new(Instant::now())),
        _sampler: sampler,
        incoming,
        disk: Mutex::default(),
        store,
        pool,
        profiles: config.profiles.clone(),
        clients: Clients::new(config.uploads_per_client),
        result_tokens: result_tokens(&config),
        entrance: Entrance::new(&config, peer_tls.clone()),
        router: Router::new(config.policy, StdRng::from_os_rng()),
        peers: peer_client(&config, &authority, &events, peer_tls),
        authority,
        guarantees,
        offers: Offers::new(super::for_peers::offers_per_peer_max(&config), events.clone()),
        journeys: Journeys::default(),
        jobs,
        keepers: keepers::Keepers::default(),
        metrics,
        events,
        journal,
        doers,
        board: Board::default(),
        listeners: Listeners::default(),
        joined: AtomicBool::new(false),
        draining: AtomicBool::new(false),
        mode: work::Mode::default(),
        started: Instant::now(),
        sample_seq: AtomicU16::new(0),
        others_speed: Mutex::default(),
        config,
    });
    warn_of_lacks(&node);
    incoming::measure(&node).await;
    begin(&node, &mut tasks).await?;
    Ok(Started { node, overlay, listeners, tasks })
}

/// Where results are private, what makes the tokens to have them by.
fn result_tokens(config: &NodeConfig) -> Option<ResultTokens> {
    let keys = config.keys.as_ref().filter(|_| config.private_results)?;
    Some(ResultTokens::new(&keys.keys))
}

/// Begins all that goes on as long as the node lives.
async fn begin(node: &Arc<Node>, tasks: &mut JoinSet<()>) -> Result<(), StartError> {
    jobs::begin(node, tasks).await?;
    uploads::begin(node, tasks).await?;
    keepers::begin(node, tasks);
    tasks.spawn(work::hand_over_while_draining(Arc::clone(node)));
    tasks.spawn(quotas::tell_regularly(Arc::clone(node)));
    tasks.spawn(load::publish_regularly(Arc::clone(node)));
    tasks.spawn(incoming::measure_regularly(Arc::clone(node)));
    tasks.spawn(dashboard::read_regularly(Arc::clone(node)));
    tasks.spawn(publish_regularly(Arc::clone(node) as _));
    Ok(())
}

fn uploads(config: &NodeConfig, store: &Store, incoming: &Arc<Budget>) -> Uploads {
    let bounds = (config.upload_retention, config.uploads_per_client);
    Uploads::new(config.name.clone(), store.clone(), Arc::clone(incoming), bounds)
}

fn peer_client(
    config: &NodeConfig,
    authority: &Arc<Authority>,
    events: &Events,
    tls: Option<Arc<PeerTls>>,
) -> PeerClient {
    PeerClient::new(Arc::clone(authority), events.clone(), tls.filter(|_| !config.plain_peers))
}

fn overlay_config(config: &NodeConfig, identity: &Identity) -> starling_overlay::Config {
    let mut overlay = starling_overlay::Config::new(identity.clone());
    overlay.cluster.clone_from(&config.cluster);
    overlay.seeds.clone_from(&config.join);
    overlay.follow_address = config.follows_address();
    overlay.timing = config.timing;
    overlay.keys = config.keys.as_ref().map(|file| file.keys.clone());
    overlay
}

/// What members of a cluster with a key know each other by.
pub fn peer_tls(config: &NodeConfig) -> Result<Option<Arc<PeerTls>>, StartError> {
    let made = config.keys.as_ref().map(|file| PeerTls::new(&file.keys)).transpose();
    Ok(made.map_err(StartError::Tls)?.map(Arc::new))
}

/// Who a node with this configuration is, whose sockets have these ports.
fn identity(config: &NodeConfig, boot: BootEpoch, (gossip_port, http_port): (u16, u16)) -> Identity {
    let (gossip_port, http_port) =
        Advertise::ports(config.advertise, config.advertise_http, gossip_port, http_port);
    Identity {
        name: config.name.clone(),
        boot,
        gossip: SocketAddr::new(config.advertised_ip(), gossip_port),
        http_port,
        zone: config.zone.clone(),
        capacity_jobs: config.workers,
        versions: Versions::SPOKEN,
    }
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

/// What blocks to be opened.
struct Opened {
    tools: Tools,
    store: Store,
    jobs: Arc<Jobs>,
    guarantees: Option<Guarantees>,
}

/// The encoder's version, which is part of every key of the cache, and the cache.
fn open_store(
    config: &NodeConfig,
    data: DataDir,
    located: Located,
    events: Events,
) -> impl FnOnce() -> Result<Opened, StartError> + Send + use<> {
    let (budget, mode) = (config.cache_bytes, config.sandbox);
    let (name, retention) = (config.name.clone(), config.job_retention);
    move || {
        let guarantees = try_sandbox(mode)?;
        let tools = located.ask_version()?;
        for warning in tools.warnings() {
            tracing::warn!("{warning}");
        }
        let store = Store::open(data, budget, &tools.version.to_string(), events.clone())?;
        let jobs = Arc::new(Jobs::new(name, store.clone(), events, retention));
        Ok(Opened { tools, store, jobs, guarantees })
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
