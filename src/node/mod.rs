//! One node: what it is made of, and the two paths through it.
//!
//! - an upload: [`Node::ingest`] -> [`Node::transcode`], the journey of [`starling_placement::journey`] over this node's
//!   `ports` -> the result as a cached object;
//! - a job from a peer: [`Node::consider`] (a place in the queue, or no) -> [`Node::work_for_peer`].

mod bound;
mod clients;
mod dashboard;
mod error;
mod events;
mod for_peers;
mod incoming;
mod job;
mod jobs;
mod keepers;
mod listeners;
mod load;
mod policy;
mod ports;
mod quotas;
mod several;
mod start;
mod transcode;
mod uploads;
mod webhooks;
mod work;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_overlay::{Identity, LoadPublisher, MemberState, Overlay, View};
use starling_placement::error::WorkError;
use starling_placement::journey::{Journeys, Progress};
use starling_placement::policy::Router;
use tokio::sync::watch;

pub use bound::listener_at;
pub use clients::{ClientSlot, Clients};
pub use error::{NotAll, PeersJobError, ProfileError, RefusedOffer};
pub use events::tell_of_membership;
pub use job::{Facts, Input, Job, Served};
pub use keepers::KeeperError;
pub use listeners::{ListenError, ListenSlot, Listeners};
pub use start::{LEAVE_TIMEOUT, StartError, Started, bind_hint, peer_tls, start};

use crate::auth::{Authority, ResultTokens};
use crate::config::NodeConfig;
use crate::content::ContentId;
use crate::dashboard::{Board, Journal};
use crate::entrance::Entrance;
use crate::events::Events;
use crate::jobs::Jobs;
use crate::load::{MachineLoad, Sampler};
use crate::metrics::{Format, Host, Metrics, Reading};
use crate::offload::{Offers, PeerClient};
use crate::profile::{Profile, ProfileName, ProfileSet};
use crate::store::{Budget, Key, Object, Store};
use crate::uploads::Uploads;
use crate::workers::sandbox::Guarantees;
use crate::workers::{Pool, Queued, Reservation};

/// Longest that jobs are handed over when a node stops.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);

/// A running node.
pub struct Node {
    config: NodeConfig,
    identity: Arc<Identity>,
    load_out: LoadPublisher,
    view: watch::Receiver<Arc<View>>,
    machine: watch::Receiver<MachineLoad>,
    /// Held for its thread.
    _sampler: Sampler,
    incoming: Arc<Budget>,
    /// Bytes free on the data folder's disk, and in all, as they were when it was last looked at.
    disk: Mutex<Option<(u64, u64)>>,
    store: Store,
    pool: Pool,
    guarantees: Option<Guarantees>,
    profiles: ProfileSet,
    clients: Clients,
    entrance: Entrance,
    result_tokens: Option<ResultTokens>,
    router: Router,
    authority: Arc<Authority>,
    peers: PeerClient,
    offers: Offers<Reservation>,
    journeys: Journeys<Object>,
    jobs: Arc<Jobs>,
    keepers: keepers::Keepers,
    uploads: Uploads,
    metrics: Arc<Metrics>,
    events: Events,
    /// Its jobs and decisions, and its figures of the last minutes.
    journal: Arc<Journal>,
    board: Board,
    /// Who listens to events.
    listeners: Listeners,
    joined: AtomicBool,
    draining: AtomicBool,
    mode: work::Mode,
    started: Instant,
    sample_seq: AtomicU16,
    /// How many pixels of work a second most others did when this node told its load last.
    others_speed: Mutex<Option<f64>>,
}

/// Whether a balancer should send requests here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Seeds were given and none of them has answered yet.
    Joining,
    /// Members are believed alive, and nothing was heard of any of them for ten protocol periods: this node is cut off, or
    /// they are gone, and it does not know yet which.
    CutOff,
    /// Leaving.
    Draining,
    /// An operator has it take no work.
    Resting,
}

/// What a built-in profile says.
fn builtin_recipe(name: &ProfileName) -> Option<ContentId> {
    static BUILTIN: LazyLock<ProfileSet> = LazyLock::new(ProfileSet::builtin);
    BUILTIN.get(name).map(|profile| profile.recipe_id())
}

/// Whether nobody is heard of those that are believed alive.
fn is_cut_off(view: &View) -> bool {
    let live = view.peers.iter().filter(|peer| peer.state.is_live());
    view.stats.unheard_members > 0 && live.count() as u64 <= view.stats.unheard_members
}

impl Node {
    /// Who is let in on the routes between nodes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What ffmpeg's sandbox was found to hold; None: that could not be found out.
    pub fn guarantees(&self) -> Option<&Guarantees> {
        self.guarantees.as_ref()
    }

    /// What it runs with.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Who it is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The newest picture of the membership.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// How its port is asked.
    pub fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// What whoever asks for a result by its content's digest needs beside it, if anything.
    pub fn result_tokens(&self) -> Option<&ResultTokens> {
        self.result_tokens.as_ref()
    }

    /// Whether a member of the cluster that is not known to be gone has this address.
    pub fn is_member(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.view
            .borrow()
            .peers
            .iter()
            .any(|peer| peer.state.is_live() && peer.identity.gossip.ip().to_canonical() == address)
    }

    /// Whose uploads are under way.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Since when it runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What can be asked for.
    pub fn profiles(&self) -> &ProfileSet {
        &self.profiles
    }

    /// The profile of this name, or the default one.
    pub fn profile(&self, name: Option<&str>) -> Result<Arc<Profile>, ProfileError> {
        let found = match name {
            None => self.profiles.get(self.profiles.default_name()),
            Some(name) => name.parse().ok().and_then(|name| self.profiles.get(&name)),
        };
        found.ok_or_else(|| ProfileError::Unknown {
            name: name.unwrap_or_default().chars().take(80).collect(),
            known: self.profiles.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The profile of this name, if it says here what it says at the peer that asks for it. None from a peer of an older version,
    /// which has the built-in profiles alone.
    pub fn profile_by_recipe(
        &self,
        name: &ProfileName,
        recipe: Option<ContentId>,
    ) -> Result<Arc<Profile>, ProfileError> {
        let wanted = recipe.or_else(|| builtin_recipe(name));
        self.profiles
            .get(name)
            .filter(|profile| Some(profile.recipe_id()) == wanted)
            .ok_or_else(|| ProfileError::OtherRecipe { name: name.to_string() })
    }

    /// What a peer speaks of that names a recipe, known here or not; see [`Self::profile_by_recipe`].
    pub fn key_of(&self, content: ContentId, profile: ProfileName, recipe: Option<ContentId>) -> Key {
        // A name that no older node has: nothing else has this key.
        let recipe = recipe.or_else(|| builtin_recipe(&profile)).unwrap_or(ContentId([0; 32]));
        Key { content, profile, recipe }
    }

    /// What this node's ffmpeg lacks to make results of this profile, and what to do; none where it can.
    pub fn lack(&self, profile: &Profile) -> Option<String> {
        self.pool.tools().features.lack(profile)
    }

    /// Whether it can.
    pub fn can_make(&self, profile: &Profile) -> Result<(), WorkError> {
        match self.lack(profile) {
            None => Ok(()),
            Some(lack) => Err(WorkError::Unavailable { profile: profile.name.clone(), lack }),
        }
    }

    /// A result that is held here.
    pub async fn cached(&self, key: &Key) -> Option<Object> {
        self.store.get(key).await
    }

    /// How far the work on this has come here, if there is any.
    pub fn progress(&self, key: &Key) -> Option<Progress> {
        self.journeys.lives.progress(key)
    }

    /// From now on it takes nothing new. Which jobs it runs then.
    pub fn begin_to_leave(&self) -> usize {
        self.draining.store(true, Ordering::Relaxed);
        self.uploads.interrupt();
        self.pool.stats().running
    }

    /// Lets what runs finish, until `bound`; what waits is finished, too, or answered for its owners to give it to a peer.
    /// Whether no work was cut off.
    pub async fn drain(self: &Arc<Self>, bound: Duration, queued: Queued) -> bool {
        let in_time = self.pool.drain(bound, queued).await;
        self.jobs.leave().await;
        self.hand_over_jobs(false, HAND_OVER_MAX).await;
        in_time
    }

    /// Gives the jobs that wait here to other nodes, before this one leaves.
    pub async fn hand_over_before_leaving(self: &Arc<Self>, bound: Duration) {
        self.hand_over_jobs(true, HAND_OVER_MAX.min(bound / 2)).await;
    }

    /// Takes the key file's new content; one that can't be used changes nothing.
    pub async fn reload_keys(&self, overlay: &Overlay) {
        let Some(file) = &self.config.keys else {
            tracing::warn!("nothing to read again: the node was started without --key-file");
            return;
        };
        match file.again() {
            Ok(file) => {
                self.authority.set_keys(&file.keys);
                self.entrance.set_keys(&file.keys);
                if let Some(tokens) = &self.result_tokens {
                    tokens.set_keys(&file.keys);
                }
                file.tell_in_use();
                overlay.set_keys(file.keys).await;
            }
            Err(error) => tracing::error!(%error, "the keys stay as they were"),
        }
    }

    /// Whether it takes new requests.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether it ever saw another live member; it stays ready when the others die.
    fn has_joined(&self) -> bool {
        if self.view.borrow().peers.iter().any(|peer| peer.state == MemberState::Alive) {
            self.joined.store(true, Ordering::Relaxed);
        }
        self.joined.load(Ordering::Relaxed)
    }

    /// Whether it should be sent requests.
    pub fn readiness(&self) -> Readiness {
        if self.is_draining() {
            Readiness::Draining
        } else if self.rests() {
            Readiness::Resting
        } else if is_cut_off(&self.view()) {
            Readiness::CutOff
        } else if self.config.join.is_empty() || self.has_joined() {
            Readiness::Ready
        } else {
            Readiness::Joining
        }
    }

    /// All metrics, in a format that Prometheus reads.
    pub fn metrics_text(&self, format: Format) -> Result<String, std::fmt::Error> {
        let machine = *self.machine.borrow();
        self.metrics.text(
            &Reading {
                pool: &self.pool.stats(),
                cache: &self.store.stats(),
                standings: &self.peers.standings().stats(Instant::now()),
                view: &self.view(),
                uploads: self.uploads.unfinished(),
                jobs: self.jobs.unfinished(),
                host: Host {
                    cpu_permille: machine.cpu_permille,
                    memory_permille: machine.memory_permille,
                    disk: *self.disk.lock(),
                },
            },
            format,
        )
    }
}
