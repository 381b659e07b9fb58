//! The monitor: a member that watches. It joins the overlay as an observer, which no job, no content and no lease goes to; asks every
//! other member for its metrics; and remembers, for a while in memory and for longer in a file. It holds nothing that the cluster needs:
//! it may come and go, and so may all that it watches.
//!
//! - `scrape.rs` asks the members, side by side, each within a bound;
//! - `reports.rs` keeps what load generators report (`POST /update_metrics`);
//! - `history.rs` keeps the series in a file.

mod history;
mod reports;
mod scrape;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use starling_overlay::{BootEpoch, Identity, LoadSample, NodeName, Overlay, Versions, View};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use history::{History, HistoryError};
pub use reports::{LoadReport, ReportError};
#[doc(hidden)]
pub use scrape::ask_once;

use crate::config::{Advertise, KeyFile, NodeConfig};
use crate::dashboard::{self, About, Board, ClientState, EVENTS_MAX, Source, Work};
use crate::entrance::Entrance;
use crate::events::{Entry, EventId, Events, Kind, NodeEvent, Observer};
use crate::node::{
    ListenError, ListenSlot, Listeners, StartError, listener_at, peer_tls, tell_of_membership,
};
use crate::tls::PeerTls;
use reports::Reports;

/// Jobs and decisions of all nodes that are shown.
const JOBS_SHOWN_MAX: usize = 100;
const DECISIONS_SHOWN_MAX: usize = 20;

/// Why a monitor did not start. It left nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// Its sockets or its membership.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its file.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// A running monitor.
pub struct Monitor {
    identity: Arc<Identity>,
    view: watch::Receiver<Arc<View>>,
    events: Events,
    board: Board,
    entrance: Entrance,
    /// By what it asks members, where the cluster has a key.
    peer_tls: Option<Arc<PeerTls>>,
    listeners: Listeners,
    reports: Reports,
    scraped: Mutex<scrape::Scraped>,
    history: Option<Arc<History>>,
    started: Instant,
}

/// A monitor that is a member, and whose HTTP service is still to be given its listener.
pub struct StartedMonitor {
    /// The monitor.
    pub monitor: Arc<Monitor>,
    /// Its membership.
    pub overlay: Overlay,
    /// Where its HTTP service listens.
    pub listener: TcpListener,
    /// What it does by itself, until this is shut down.
    pub tasks: JoinSet<()>,
}

/// Nobody counts what happens at a monitor.
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &NodeEvent<'_>) {}
}

/// Starts a monitor: of a node's configuration it takes what makes a member.
pub async fn start(config: &NodeConfig, history: Option<PathBuf>) -> Result<StartedMonitor, MonitorError> {
    let history = match history {
        Some(path) => Some(
            tokio::task::spawn_blocking(move || History::open(&path))
                .await
                .map_err(|error| StartError::Threads(std::io::Error::other(error)))??,
        ),
        None => None,
    };
    let bind = |what, address| move |source| StartError::Bind { what, address, source };
    let listener = listener_at(config.http).and_then(TcpListener::from_std);
    let listener = listener.map_err(bind("HTTP (TCP)", config.http))?;
    let gossip = Overlay::bind(config.gossip).map_err(bind("gossip (UDP)", config.gossip))?;
    let gossip_port = gossip.local_addr().map_err(bind("gossip (UDP)", config.gossip))?.port();
    let http_port = listener.local_addr().map_err(bind("HTTP (TCP)", config.http))?.port();
    let identity = identity(config, (gossip_port, http_port));
    let mut overlay_config = starling_overlay::Config::new(identity.clone());
    overlay_config.cluster.clone_from(&config.cluster);
    overlay_config.seeds.clone_from(&config.join);
    overlay_config.follow_address = config.follows_address();
    overlay_config.timing = config.timing;
    overlay_config.keys = config.keys.as_ref().map(|file| file.keys.clone());
    let mut overlay = Overlay::start(overlay_config, gossip).map_err(StartError::from)?;
    let events = Events::new(config.name.clone(), identity.boot, Arc::new(Nobody));
    let tls = peer_tls(config)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_of_membership(events.clone(), overlay.events_from_start()));
    let monitor = Arc::new(Monitor {
        identity: Arc::new(identity),
        view: overlay.view(),
        events,
        board: Board::default(),
        entrance: Entrance::new(config, tls.clone()),
        peer_tls: tls.filter(|_| !config.plain_peers),
        listeners: Listeners::default(),
        reports: Reports::default(),
        scraped: Mutex::default(),
        history: history.map(Arc::new),
        started: Instant::now(),
    });
    if let Some(history) = &monitor.history {
        history.restore(&monitor.board).await;
        tasks.spawn(history::keep_regularly(Arc::clone(&monitor)));
    }
    tasks.spawn(scrape::regularly(Arc::clone(&monitor)));
    tasks.spawn(dashboard::publish_regularly(Arc::clone(&monitor) as _));
    Ok(StartedMonitor { monitor, overlay, listener, tasks })
}

fn identity(config: &NodeConfig, (gossip_port, http_port): (u16, u16)) -> Identity {
    let (gossip_port, http_port) =
        Advertise::ports(config.advertise, config.advertise_http, gossip_port, http_port);
    Identity {
        name: config.name.clone(),
        boot: BootEpoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64),
        gossip: SocketAddr::new(config.advertised_ip(), gossip_port),
        http_port,
        zone: config.zone.clone(),
        capacity_jobs: Identity::OBSERVES,
        versions: Versions::SPOKEN,
    }
}

impl Monitor {
    /// Takes a key file's new content; one that can't be used changes nothing.
    pub async fn reload_keys(&self, before: Option<&KeyFile>, overlay: &Overlay) {
        match before.map(KeyFile::again) {
            Some(Ok(file)) => {
                self.entrance.set_keys(&file.keys);
                file.tell_in_use();
                overlay.set_keys(file.keys).await;
            }
            Some(Err(error)) => tracing::error!(%error, "the keys stay as they were"),
            None => tracing::warn!("no keys to read again: the monitor was started without --key-file"),
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// How its port is asked.
    pub fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// Since when it runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes a load generator's report.
    pub fn report(&self, report: &LoadReport) -> Result<(), ReportError> {
        self.reports.take(report)
    }

    /// Whether a member that is not known to be gone has this address.
    pub fn is_member(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let view = self.view.borrow();
        view.peers.iter().any(|p| p.state.is_live() && p.identity.gossip.ip().to_canonical() == address)
    }

    /// Writes what is not in its file yet.
    pub async fn keep(&self) {
        if let Some(history) = &self.history {
            history.keep(&self.board).await;
        }
    }

    /// Ends all that is streamed.
    pub fn close(&self) {
        self.events.close();
        self.board.close();
    }
}

impl Source for Monitor {
    fn about(&self) -> About {
        About {
            kind: "monitor".into(),
            name: self.identity.name.to_string(),
            zone: self.identity.zone.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.identity.boot.0,
            policy: None,
        }
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    fn own_load(&self) -> Option<LoadSample> {
        None
    }

    fn recent_events(&self) -> Vec<Arc<Entry>> {
        self.events.recent(Kind::Membership, EVENTS_MAX)
    }

    fn newest_event(&self) -> Option<EventId> {
        self.events.newest()
    }

    fn work(&self) -> Work {
        let scraped = self.scraped.lock();
        let mut all = Work::default();
        for work in scraped.work.values() {
            all.jobs.extend(work.jobs.iter().cloned());
            all.decisions.extend(work.decisions.iter().cloned());
        }
        // The newest last, of all nodes together.
        all.jobs.sort_by_key(|job| std::cmp::Reverse(job.age_ms));
        all.decisions.sort_by_key(|decision| std::cmp::Reverse(decision.age_ms));
        all.jobs.drain(..all.jobs.len().saturating_sub(JOBS_SHOWN_MAX));
        all.decisions.drain(..all.decisions.len().saturating_sub(DECISIONS_SHOWN_MAX));
        all
    }

    fn clients(&self) -> Vec<ClientState> {
        self.reports.told()
    }

    fn scrape_errors(&self) -> BTreeMap<NodeName, String> {
        self.scraped.lock().errors.clone()
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn watch_slot(&self, client: IpAddr) -> Result<ListenSlot, ListenError> {
        self.listeners.slot(client)
    }
}
