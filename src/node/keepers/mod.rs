//! The second keeper of each job: chosen, told of every change, and the holder's heir.
//!
//! - The holder tells its second node what has changed ([`tell`](Node::tell_second)); that fetches what it lacks before it says yes (`copy.rs`).
//! - The second one asks the holder now and then whether it has missed anything, and takes the job over when the membership says that the
//!   holder is gone (`watch.rs`).
//! - A node that comes back asks its second ones first, and begins no job that another node holds by now.

mod away;
mod copy;
mod hand_over;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_overlay::{Identity, MemberState, NodeName};
use starling_placement::journey::{Host, PeerError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use copy::KeeperError;

use self::away::Away;
use super::Node;
use crate::api::{CopyAnswer, CopyQuestion};
use crate::content::ContentId;
use crate::jobs::{JobError, JobNumber, Record};

/// Longest that a copy may take to be made: as long as an upload may.
const COPY_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest that a client waits for the answer 202 because of the copy of its job.
pub const COPY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Nodes that are asked to keep a job before it is tried again later.
const ASKED_MAX: usize = 3;
/// How often a job that changes while it is told of is told of at once.
const TOLD_AT_ONCE_MAX: usize = 3;
/// How long a node that refused to keep a job is not asked to keep another one.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);
/// How often it is looked what is to be done.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Copies on their way from here at once.
const TELLING_MAX: usize = 8;

/// What is known of nodes that keep, or could keep, a job.
#[derive(Debug)]
pub(super) struct Keepers {
    /// Those that refused a moment ago.
    refused: Mutex<BTreeMap<NodeName, Instant>>,
    /// Those that hold jobs of which there are copies here.
    holders: Mutex<Away>,
    /// Those that have copies of jobs that are held here.
    seconds: Mutex<Away>,
    telling: Semaphore,
    /// One word on a job after the other.
    turns: Mutex<BTreeMap<JobNumber, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Keepers {
    fn default() -> Self {
        let telling = Semaphore::new(TELLING_MAX);
        let (holders, seconds) = (Mutex::default(), Mutex::default());
        Self { refused: Mutex::default(), holders, seconds, telling, turns: Mutex::default() }
    }
}

/// What became of telling a job's second node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It knows, or another node is the holder, or the job is forgotten.
    Settled,
    /// The job has changed meanwhile: what was said of it is old.
    Changed,
    /// It can't be reached now, or nobody takes a copy now.
    Later,
}

/// Begins what keeps jobs at two nodes.
pub(super) fn begin(node: &Arc<Node>, tasks: &mut JoinSet<()>) {
    tasks.spawn(tell_of_changes(Arc::clone(node)));
    tasks.spawn(watch::watch(Arc::clone(node)));
    tasks.spawn(super::webhooks::send(Arc::clone(node)));
}

/// Tells second nodes what changes, for as long as the node lives; aborted when it stops.
async fn tell_of_changes(node: Arc<Node>) {
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    let (mut told, mut later) = (JoinSet::new(), Vec::new());
    loop {
        tokio::select! {
            _ = tick.tick() => later.drain(..).for_each(|number| node.jobs.still_untold(number)),
            () = node.jobs.untold() => {}
        }
        while let Some(number) = told.try_join_next() {
            later.extend(number.ok().flatten());
        }
        for number in node.jobs.take_untold() {
            let node = Arc::clone(&node);
            told.spawn(async move { (node.tell_second(number).await != Told::Settled).then_some(number) });
        }
    }
}

impl Node {
    /// Keeps a job at a second node as well, and waits for that, but not for long. It goes on if the caller has waited enough.
    pub async fn copy_job(self: &Arc<Self>, number: JobNumber) {
        let node = Arc::clone(self);
        let told = tokio::spawn(async move {
            if node.tell_second(number).await != Told::Settled {
                node.jobs.still_untold(number);
            }
        });
        if tokio::time::timeout(COPY_WAIT_MAX, told).await.is_err() {
            tracing::info!("the copy of a job takes its time: the client is answered without it");
        }
    }

    /// Tells the second node of a job what has changed; where there is none, or it is gone, another one becomes it.
    async fn tell_second(self: &Arc<Self>, number: JobNumber) -> Told {
        let turn = Arc::clone(self.keepers.turns.lock().entry(number).or_default());
        let told = {
            let _turn = turn.lock().await;
            let Ok(_place) = self.keepers.telling.acquire().await else { return Told::Settled };
            let mut told = self.told_second(number).await;
            for _ in 1..TOLD_AT_ONCE_MAX {
                if !matches!(told, Ok(Told::Changed)) {
                    break;
                }
                told = self.told_second(number).await;
            }
            told
        };
        drop(turn);
        self.keepers.turns.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        told.unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not written down who keeps a job: tried again");
            Told::Later
        })
    }

    async fn told_second(self: &Arc<Self>, number: JobNumber) -> Result<Told, JobError> {
        let Some(record) = self.jobs.held(number).await? else { return Ok(Told::Settled) };
        let (over, second) = (record.stage.state().is_over(), record.keeping.second.clone());
        let rank = record.rank();
        let mut asked = self.could_keep(&record);
        if let Some(peer) = second.as_ref().and_then(|name| self.live(name)) {
            match self.tell_keeper(&peer, &record).await? {
                Ok(()) => return Ok(Told::Settled),
                // It is asked again as long as it lives: it may hold the job by now.
                Err(
                    PeerError::Unreachable(_)
                    | PeerError::Avoided(_)
                    | PeerError::Refused { retry_after: Some(_), .. },
                ) => return Ok(Told::Later),
                Err(_) => asked.retain(|other| other.name != peer.name),
            }
        }
        if self.jobs.is_unsure(number) {
            // No other one can say whether that node holds it by now.
            return Ok(Told::Later);
        }
        for peer in asked.iter().take(ASKED_MAX) {
            let mut record = record.clone();
            record.keeping.second = Some(peer.name.clone());
            record.keeping.version += 1;
            match self.tell_keeper(peer, &record).await? {
                Ok(()) => return Ok(Told::Settled),
                // Done meanwhile, it has no video to give any more.
                Err(_) if self.jobs.held(number).await?.is_none_or(|now| now.rank() != rank) => {
                    return Ok(Told::Changed);
                }
                Err(error) => {
                    tracing::debug!(job = %record.id(), peer = %peer.name, %error, "a node does not keep a job");
                    self.keepers.refused.lock().insert(peer.name.clone(), Instant::now());
                }
            }
        }
        let is_away = second.as_ref().is_some_and(|name| self.live(name).is_none());
        if is_away && !over {
            self.jobs
                .change_keepers(number, |record| {
                    if record.keeping.second == second {
                        (record.keeping.second, record.keeping.version) = (None, record.keeping.version + 1);
                    }
                })
                .await?;
        }
        // What has come to its end is not sought a second node for, for ever.
        Ok(if over { Told::Settled } else { Told::Later })
    }

    /// Tells one node how a job is, which it is to keep. The outer error is this node's own.
    async fn tell_keeper(
        self: &Arc<Self>,
        peer: &Arc<Identity>,
        record: &Record,
    ) -> Result<Result<(), PeerError>, JobError> {
        match self.say_keep(peer, record).await {
            Ok(CopyAnswer { newer, .. }) if newer.is_empty() => {
                self.kept_by(record).await?;
                self.jobs.is_own(record.number).await;
                Ok(Ok(()))
            }
            Ok(CopyAnswer { newer, .. }) => {
                for record in newer {
                    if let Err(error) = self.keep_copy(&peer.name, record).await {
                        tracing::debug!(peer = %peer.name, %error, "a newer word on a job is not taken: asked again");
                        return Ok(Err(PeerError::Unreachable(error.to_string())));
                    }
                }
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) async fn say_keep(&self, peer: &Identity, record: &Record) -> Result<CopyAnswer, PeerError> {
        let (from, record) = (self.identity.name.clone(), Box::new(record.clone()));
        let question = CopyQuestion::Keep { from, record };
        tokio::select! {
            answer = self.peers.ask_keeper(peer, &question, COPY_TIMEOUT) => answer,
            () = self.lost(peer) => Err(PeerError::Unreachable("it is gone".to_owned())),
        }
    }

    /// A node has a copy of a job, as this record has it.
    async fn kept_by(&self, told: &Record) -> Result<(), JobError> {
        let keeping = &told.keeping;
        let known = self.jobs.held(told.number).await?;
        if known.is_none_or(|known| known.keeping.second == keeping.second) {
            return Ok(());
        }
        let changed = self.jobs.change_keepers(told.number, |record| {
            let untouched = record.keeping.version + 1 == keeping.version;
            record.keeping.second.clone_from(&keeping.second);
            // Where something else has changed meanwhile, that is told next.
            let more = u64::from(!untouched);
            record.keeping.version = record.keeping.version.max(keeping.version) + more;
        });
        changed.await
    }

    /// Tells the second node of a job that is forgotten here.
    pub async fn forget_copy(&self, record: &Record) {
        let keeping = &record.keeping;
        let Some(peer) = keeping.second.as_ref().and_then(|name| self.live(name)) else { return };
        let question = CopyQuestion::Forget { from: self.identity.name.clone(), number: record.number };
        if let Err(error) = self.peers.ask_keeper(&peer, &question, COPY_WAIT_MAX).await {
            tracing::debug!(job = %record.id(), %error, "a copy stays until it is old enough");
        }
    }

    /// The live member of this name.
    pub fn live(&self, name: &NodeName) -> Option<Arc<Identity>> {
        let view = self.view();
        let member = view.peer(name).filter(|member| member.state.is_live());
        member.map(|member| Arc::clone(&member.identity))
    }

    /// Members that could have a copy of a job, the best one first: of this node's zone, and each job's own order among those.
    fn could_keep(&self, record: &Record) -> Vec<Arc<Identity>> {
        let (view, now) = (self.view(), Instant::now());
        let mut refused = self.keepers.refused.lock();
        refused.retain(|_, at| now.duration_since(*at) < REFUSAL_PAUSE);
        let could = |identity: &Identity| {
            !identity.is_observer()
                && identity.name != self.identity.name
                && record.keeping.second.as_ref() != Some(&identity.name)
                && !refused.contains_key(&identity.name)
        };
        let rests = |member: &&starling_overlay::Member| {
            member.load.is_some_and(|load| load.sample.queue_capacity_jobs == 0)
        };
        let alive = view.peers.iter().filter(|peer| peer.state == MemberState::Alive && !rests(peer));
        let mut found: Vec<_> =
            alive.map(|peer| &peer.identity).filter(|peer| could(peer)).cloned().collect();
        let order = |name: &NodeName| ContentId::of(format!("{} {name}", record.number).as_bytes()).0;
        found.sort_by_cached_key(|peer| (peer.zone != self.identity.zone, order(&peer.name)));
        found
    }
}
