//! Who knows what the dashboard shows, and the state made of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use starling_overlay::{LoadSample, Member, MemberState, NodeName, View};

use super::board::{Board, rounded};
use super::figures::Figures;
use super::links;
use super::state::{About, ClientState, NodeState, State, Work, ZoneState};
use super::verdict::{Evidence, verdict};
use crate::events::{Entry, EventId};
use crate::node::{ListenError, ListenSlot};
use crate::profile::VideoCodec;

/// Events of the membership that the state has.
pub const EVENTS_MAX: usize = 60;
/// How often those who watch are sent the state.
pub const TICK: Duration = Duration::from_secs(1);

/// Who knows what the dashboard shows: a node, of its own view, or a monitor, of all.
pub trait Source: Send + Sync + 'static {
    /// Who it is.
    fn about(&self) -> About;
    /// The membership as it sees it.
    fn view(&self) -> Arc<View>;
    /// Its own load, read now; none of one that does no work.
    fn own_load(&self) -> Option<LoadSample>;
    /// What happened to the membership lately, oldest first: [`EVENTS_MAX`] at the most.
    fn recent_events(&self) -> Vec<Arc<Entry>>;
    /// The newest of its events.
    fn newest_event(&self) -> Option<EventId>;
    /// Jobs and decisions.
    fn work(&self) -> Work;
    /// What load generators have reported: to a monitor alone.
    fn clients(&self) -> Vec<ClientState> {
        Vec::new()
    }
    /// Why members could not be asked for their figures: a monitor alone asks.
    fn scrape_errors(&self) -> BTreeMap<NodeName, String> {
        BTreeMap::new()
    }
    /// What it remembers.
    fn board(&self) -> &Board;
    /// A place for one more who watches.
    fn watch_slot(&self, client: IpAddr) -> Result<ListenSlot, ListenError>;
}

/// The state at this moment.
pub fn state(source: &dyn Source) -> State {
    let (view, board) = (source.view(), source.board());
    let (now, ages, errors) = (Instant::now(), board.ages(&view), source.scrape_errors());
    let mut nodes = Vec::with_capacity(view.peers.len() + 1);
    let mut figures = Vec::new();
    for member in view.members() {
        let name = &member.identity.name;
        let mut node = node_state(member, now);
        node.state_ms = ages.get(name).map(|age| age.as_millis() as u64);
        if let Some((told, read)) = board.figures(name) {
            node.figures = Some(told);
            figures.push((member.identity.zone.as_str().to_owned(), read));
        }
        if member.state.is_live() {
            node.scrape_error = errors.get(name).cloned();
        }
        nodes.push(node);
    }
    // The first one is who tells it.
    if let Some(own) = nodes.first_mut() {
        own.rtt_ms = Some(0.0);
        if let Some(load) = source.own_load() {
            own.load_age_ms = Some(0);
            own.take_load(&load);
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    assemble(source, &view, nodes, &figures)
}

fn assemble(source: &dyn Source, view: &View, nodes: Vec<NodeState>, figures: &[(String, Figures)]) -> State {
    let zones = zones(&nodes);
    let links = links::links(&zones, figures, view);
    let about = source.about();
    let lately = source.board().lately();
    let peers = view.peers.iter().filter(|peer| peer.state.is_live()).count();
    let verdict = verdict(&Evidence {
        nodes: &nodes,
        zones: &zones,
        links: &links,
        teller: &about.name,
        alone: view.stats.unheard_members > 0 && peers as u64 <= view.stats.unheard_members,
        uploads: (lately.ok, lately.ok + lately.refused + lately.failed),
    });
    let parsed = |entry: &Arc<Entry>| serde_json::from_str::<Value>(&entry.data).ok();
    State {
        at_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        source: about,
        verdict,
        nodes,
        zones,
        links,
        events: source.recent_events().iter().filter_map(parsed).collect(),
        work: source.work(),
        clients: source.clients(),
    }
}

fn node_state(member: &Member, now: Instant) -> NodeState {
    let identity = &member.identity;
    let damped = member.damping.and_then(|damping| damping.until.checked_duration_since(now));
    let mut node = NodeState {
        name: identity.name.to_string(),
        zone: identity.zone.to_string(),
        state: member.state.to_string(),
        observer: identity.is_observer(),
        http: identity.http().to_string(),
        rtt_ms: member.rtt.map(|rtt| rounded(rtt.mean.as_secs_f64() * 1e3, 100.0)),
        damped_ms: damped.map(|left| left.as_millis() as u64),
        heard_at: member.heard_at.map(|address| address.to_string()),
        ..NodeState::default()
    };
    if let Some(load) = member.load {
        node.load_age_ms = Some(load.age(now).as_millis() as u64);
        // What a member that is gone said last is no load.
        if member.state.is_live() {
            node.take_load(&load.sample);
        }
    }
    node
}

impl NodeState {
    fn take_load(&mut self, load: &LoadSample) {
        if self.observer {
            return;
        }
        self.cpu = Some(f64::from(load.cpu_permille) / 1000.0);
        self.memory = Some(f64::from(load.memory_permille) / 1000.0);
        self.queued = Some(load.queued_jobs.into());
        self.queue_capacity = Some(load.queue_capacity_jobs.into());
        self.running = Some(load.running_jobs.into());
        self.workers = Some(load.workers.into());
        self.backlog_ms = Some(load.backlog_ms.into());
        self.service_ms = Some(load.service_ms.into());
        self.hardware =
            VideoCodec::of_bits(load.hardware).into_iter().map(|codec| codec.as_str().to_owned()).collect();
    }
}

/// The zones of those that work and have not left.
fn zones(nodes: &[NodeState]) -> Vec<ZoneState> {
    let mut zones = BTreeMap::<&str, ZoneState>::new();
    for node in nodes.iter().filter(|node| node.state != MemberState::Left.to_string() && !node.observer) {
        let zone = zones.entry(&node.zone).or_default();
        zone.members += 1;
        zone.alive += usize::from(node.state == "alive");
        zone.suspect += usize::from(node.state == "suspect");
        zone.queued += node.queued.unwrap_or_default();
        zone.running += node.running.unwrap_or_default();
    }
    zones.into_iter().map(|(name, zone)| ZoneState { name: name.to_owned(), ..zone }).collect()
}

/// Sends those who watch the state each [`TICK`], for as long as this is polled. While nobody watches it does nothing.
pub async fn publish_regularly(source: Arc<dyn Source>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !source.board().is_watched() {
            continue;
        }
        match serde_json::to_vec(&state(&*source)) {
            Ok(json) => source.board().published.send_modify(|published| {
                published.tick += 1;
                published.state = json.into();
            }),
            Err(error) => tracing::error!(%error, "the dashboard's state can't be written"),
        }
    }
}
