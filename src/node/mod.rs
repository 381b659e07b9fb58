//! One node: what it is made of, and the two paths through it.
//!
//! - an upload: [`Node::ingest`] -> [`Node::transcode`] (cache, single flight, then [`dispatch`](self) over the
//!   candidates of [`crate::route`]) -> the result as a cached object;
//! - a job from a peer: [`Node::consider`] (a place in the queue, or no) -> [`Node::work_for_peer`].

mod attempts;
mod claim;
mod descriptors;
mod dispatch;
mod flights;
mod for_peers;
mod handover;
mod incoming;
mod job;
mod lease;
mod life;
mod load;
mod rank;
mod report;
mod run;
mod several;
mod trail;
mod transcode;
mod watched;
mod work;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use starling_overlay::{Identity, LoadPublisher, MemberState, View};
use tokio::sync::watch;

pub use job::{CacheState, Done, Job, Served};
pub use run::{StartError, run};
pub use trail::Trail;

use crate::auth::{Authority, ResultTokens};
use crate::config::NodeConfig;
use crate::content::ContentId;
use crate::gate::Gate;
use crate::http::{ApiError, ClientSlot, Clients};
use crate::lease::Leases;
use crate::load::{MachineLoad, Sampler};
use crate::metrics::Metrics;
use crate::offload::{Offers, PeerClient};
use crate::profile::{Profile, ProfileName, ProfileSet};
use crate::route::Router;
use crate::store::{Budget, Key, Object, Store};
use crate::workers::sandbox::Guarantees;
use crate::workers::{Place, Pool};

/// How a piece of work ended, for everyone who waited for it.
type Outcome = Result<Done, ApiError>;

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
    store: Store,
    pool: Pool,
    guarantees: Option<Guarantees>,
    profiles: ProfileSet,
    clients: Clients,
    gate: Gate,
    result_tokens: Option<ResultTokens>,
    router: Router,
    authority: Arc<Authority>,
    peers: PeerClient,
    offers: Offers<(Place, ClientSlot)>,
    /// Whose offers are held.
    offerers: Clients,
    leases: Leases,
    lives: life::Lives,
    flights: flights::Flights<(Key, transcode::Scope), transcode::Ended>,
    handovers: handover::Handovers,
    metrics: Metrics,
    joined: AtomicBool,
    draining: AtomicBool,
    started: Instant,
    sample_seq: AtomicU16,
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

    /// Under which names, and by which pages, it may be asked.
    pub fn gate(&self) -> &Gate {
        &self.gate
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
    pub fn profile(&self, name: Option<&str>) -> Result<Arc<Profile>, ApiError> {
        let found = match name {
            None => self.profiles.get(self.profiles.default_name()),
            Some(name) => name.parse().ok().and_then(|name| self.profiles.get(&name)),
        };
        found.ok_or_else(|| ApiError::UnknownProfile {
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
    ) -> Result<Arc<Profile>, ApiError> {
        let wanted = recipe.or_else(|| builtin_recipe(name));
        self.profiles
            .get(name)
            .filter(|profile| Some(profile.recipe_id()) == wanted)
            .ok_or_else(|| ApiError::UnknownRecipe { name: name.to_string() })
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
    pub fn can_make(&self, profile: &Profile) -> Result<(), ApiError> {
        match self.lack(profile) {
            None => Ok(()),
            Some(lack) => Err(ApiError::ProfileUnavailable { name: profile.name.to_string(), lack }),
        }
    }

    /// A result that is held here.
    pub async fn cached(&self, key: &Key) -> Option<Object> {
        self.store.get(key).await
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
        } else if is_cut_off(&self.view()) {
            Readiness::CutOff
        } else if self.config.join.is_empty() || self.has_joined() {
            Readiness::Ready
        } else {
            Readiness::Joining
        }
    }

    /// All metrics in the text format that Prometheus reads.
    pub fn metrics_text(&self) -> Result<String, std::fmt::Error> {
        let standings = self.peers.standings().stats();
        self.metrics.text(&self.pool.stats(), &self.store.stats(), &standings, &self.view())
    }
}
