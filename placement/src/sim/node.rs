//! A simulated node: the real desk, leases, router, standings and journeys of a node, and a model of what lies around them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::{Identity, LoadSample, View};
use tokio::sync::Notify;

use super::bench::{Bench, Place};
use super::cluster::Cluster;
use super::decider::Decider;
use super::offers::Offers;
use super::process::Process;
use super::setup::Plant;
use crate::content::Key;
use crate::desk::{Ready, ReservationId};
use crate::journey::{self, Event, Facts, Fault, Host, Journeys, Things, clock};
use crate::offers::offers_per_peer_max;
use crate::policy::{Avoided, Candidate, Policy, PolicyKind, Question, Router, usual_speed};
use crate::standing::Standings;

/// How often a node says how much it has to do when nothing happens.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Memory of a node, as it says.
const MEMORY_PERMILLE: u16 = 300;

/// A video, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Video {
    /// What a look at it finds.
    pub pixels: u64,
    /// What the work takes a usual worker, in truth.
    pub seconds: f64,
    /// Length of the result.
    pub result_bytes: u64,
    /// The node whose request it is.
    pub requester: usize,
}

/// What a look at a video finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels(pub u64);

impl Facts for Pixels {
    fn work_pixels(&self) -> u64 {
        self.0
    }
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub key: Key,
    pub bytes: u64,
}

/// A peer's yes to an offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yes {
    pub id: u64,
    pub ready: Ready,
}

impl journey::Accepted for Yes {
    fn ready(&self) -> Ready {
        self.ready
    }
}

/// The head of a result on its way.
pub(super) struct Delivery {
    pub from: usize,
    pub object: Object,
    /// Whether it was there before it was asked for.
    pub was_held: bool,
}

/// One boot of a node.
pub(super) struct SimNode {
    me: Weak<Self>,
    pub index: usize,
    pub cluster: Arc<Cluster>,
    pub process: Arc<Process>,
    pub identity: Arc<Identity>,
    pub journeys: Journeys<Object>,
    pub standings: Standings,
    pub offers: Offers,
    /// The last offer's.
    pub offer_ids: AtomicU64,
    router: Router,
    bench: Mutex<Bench>,
    cache: Mutex<BTreeMap<Key, Object>>,
    /// Places of the queue that are held, and for what.
    pub held_places: Mutex<BTreeMap<ReservationId, Key>>,
    /// A member came or went.
    pub changed: Notify,
    pub draining: AtomicBool,
    samples: AtomicU16,
    /// How fast most others were when it told its load last.
    others_speed: Mutex<Option<f64>>,
}

impl fmt::Debug for SimNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.identity.name)
    }
}

impl SimNode {
    /// A node that starts now.
    pub fn start(cluster: &Arc<Cluster>, index: usize, identity: Arc<Identity>) -> Arc<Self> {
        let setup = &cluster.setup;
        let policy = match setup.decider {
            Decider::Policy(policy) => policy,
            Decider::Told(_) | Decider::Central => Policy { kind: PolicyKind::Eta, ..Policy::default() },
            // It ranks by itself; one node is asked after the other.
            Decider::Omniscient => Policy { kind: PolicyKind::Score, ..Policy::default() },
        };
        let queue = if setup.plant == Some(Plant::WideQueue) { 2 * setup.queue } else { setup.queue };
        let seed =
            setup.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ identity.boot.0.rotate_left(32) ^ index as u64;
        let node = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            index,
            cluster: Arc::clone(cluster),
            process: Arc::default(),
            identity,
            journeys: Journeys::default(),
            standings: Standings::default(),
            offers: Offers::new(offers_per_peer_max(setup.queue as u32, setup.workers as u32)),
            offer_ids: AtomicU64::new(0),
            router: match setup.decider {
                Decider::Central => cluster.router(),
                _ => Router::new(policy, StdRng::seed_from_u64(seed)),
            },
            bench: Mutex::new(Bench::new(setup.workers, queue)),
            cache: Mutex::default(),
            held_places: Mutex::default(),
            changed: Notify::new(),
            draining: AtomicBool::new(false),
            samples: AtomicU16::new(0),
            others_speed: Mutex::default(),
        });
        let sampler = Arc::clone(&node);
        node.process.spawn(Box::pin(async move {
            loop {
                sampler.publish_load();
                tokio::time::sleep(SAMPLE_INTERVAL).await;
            }
        }));
        node
    }

    pub fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("it is borrowed from one that lives")
    }

    pub fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock()
    }

    /// Whether places that are not used are kept: a mistake that is made on purpose.
    pub fn keeps_places(&self) -> bool {
        self.cluster.setup.plant == Some(Plant::KeptPlace)
    }

    /// Tells the others how much there is to do.
    pub fn publish_load(&self) {
        self.samples.fetch_add(1, Ordering::Relaxed);
        *self.others_speed.lock() = usual_speed(&self.cluster.view(self.index), clock::now());
        let sample = self.load();
        self.cluster.tell_load(self.index, sample);
    }

    pub fn load(&self) -> LoadSample {
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let others_speed = *self.others_speed.lock();
        let bench = self.bench();
        let stats = bench.desk.stats(clock::now());
        let (workers, queue) = (bench.desk.workers(), bench.desk.queue_capacity_jobs());
        drop(bench);
        let own = (1.0 - self.cluster.foreign_share(self.index)).max(0.0);
        let cpu = own + (1.0 - own) * (stats.running as f64 / workers as f64).min(1.0);
        LoadSample {
            seq: self.samples.load(Ordering::Relaxed),
            cpu_permille: (cpu * 1000.0) as u16,
            memory_permille: MEMORY_PERMILLE,
            queued_jobs: small(stats.queued + stats.reserved),
            queue_capacity_jobs: small(queue),
            running_jobs: small(stats.running),
            workers: small(workers),
            service_ms: stats.service.map_or(0, millis),
            kilopixels_per_s: stats.speed.map_or(0, |speed| (speed.beside(others_speed) / 1000.0) as u32),
            backlog_ms: millis(stats.wait),
            hardware: 0,
        }
    }

    pub fn cached(&self, key: &Key) -> Option<Object> {
        self.cache.lock().get(key).cloned()
    }

    /// A result is here from now on.
    pub fn keeps(&self, key: &Key) {
        let object = Object { key: key.clone(), bytes: self.cluster.result_bytes(key) };
        self.cache.lock().insert(key.clone(), object);
        self.bench().desk.unbook(key.content, &key.profile);
    }

    /// How many jobs it was given by others and knows of, for the bounds.
    pub fn handoffs(&self) -> usize {
        self.router.handoffs()
    }
}

impl Things for SimNode {
    type Input = Video;
    type Facts = Pixels;
    type Reservation = Place;
    type Object = Object;
    type Accepted = Yes;
    type Delivery = Delivery;
}

impl Host for SimNode {
    fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    fn view(&self) -> Arc<View> {
        self.cluster.view(self.index)
    }

    async fn lost(&self, peer: &Identity) {
        let lives = |view: &View| {
            view.peer(&peer.name)
                .is_some_and(|member| member.identity.boot == peer.boot && member.state.is_live())
        };
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !lives(&self.cluster.members(self.index)) {
                return;
            }
            changed.await;
        }
    }

    fn journeys(&self) -> &Journeys<Object> {
        &self.journeys
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.process.spawn(task);
    }

    fn tell(&self, event: Event) {
        self.cluster.heard(self.index, &event);
    }

    fn router(&self) -> &Router {
        &self.router
    }

    fn rank(&self, question: &Question<'_>, count_max: usize) -> Vec<Candidate> {
        match self.cluster.setup.decider {
            Decider::Told(truth) if truth.has_loads() => {
                let view = self.with_true_loads(question.view);
                self.router.rank(clock::now(), &Question { view: &view, ..*question }, count_max)
            }
            Decider::Policy(_) | Decider::Told(_) | Decider::Central => {
                self.router.rank(clock::now(), question, count_max)
            }
            Decider::Omniscient => self.rank_by_truth(question, count_max),
        }
    }

    fn avoided(&self) -> Vec<Avoided> {
        self.standings.concerns(clock::now())
    }

    fn is_distrusted(&self, peer: &Identity) -> bool {
        self.standings.is_distrusted(clock::now(), peer)
    }

    fn hold_against(&self, peer: &Identity, fault: Fault, _: &str) {
        // What a node would log of it is no part of a run.
        self.standings.report(clock::now(), peer, fault);
    }
}
