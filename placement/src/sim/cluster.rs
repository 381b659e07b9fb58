//! All nodes of a run, and what lies between them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use starling_overlay::sim::Fault;
use starling_overlay::{LoadSample, NodeName, View};

use super::bench::Task;
use super::gossip::Gossip;
use super::network::Network;
use super::node::SimNode;
use super::record::Record;
use super::setup::{Setup, Trouble};
use crate::content::{ContentId, Key};
use crate::journey::clock;
use crate::policy::{Policy, PolicyKind, Router};

/// One run's world.
pub(super) struct Cluster {
    pub setup: Setup,
    pub network: Network,
    origin: Instant,
    gossip: Mutex<Gossip>,
    /// By number; none is down.
    nodes: Mutex<Vec<Option<Arc<SimNode>>>>,
    /// Machines that are down and say nothing.
    silent: Mutex<Vec<bool>>,
    /// Until when what runs at each node stands still.
    hung: Mutex<Vec<Option<Instant>>>,
    /// Lengths of results.
    results: Mutex<BTreeMap<ContentId, u64>>,
    /// Jobs that have a worker anywhere.
    running: AtomicUsize,
    record: Mutex<Record>,
    /// The one that decides for all nodes, under [`Decider::Central`](super::Decider::Central).
    router: Router,
}

/// Which node a name stands for.
pub(super) fn index_of(name: &NodeName) -> usize {
    let number: usize = name.as_str()["node".len()..].parse().expect("the overlay's names");
    number - 1
}

impl Cluster {
    pub fn new(setup: Setup, origin: Instant) -> Self {
        let (topology, nodes, seed) = (setup.topology(), setup.nodes, setup.seed);
        Self {
            network: Network::new(topology.clone(), nodes, seed ^ 0x0006_e657),
            gossip: Mutex::new(Gossip::new(topology, seed, nodes, origin)),
            origin,
            nodes: Mutex::new((0..nodes).map(|_| None).collect()),
            silent: Mutex::new(vec![false; nodes]),
            hung: Mutex::new(vec![None; nodes]),
            results: Mutex::default(),
            running: AtomicUsize::new(0),
            record: Mutex::new(Record::new(&setup)),
            router: Router::new(
                Policy { kind: PolicyKind::Eta, ..Policy::default() },
                StdRng::seed_from_u64(seed),
            ),
            setup,
        }
    }

    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Since the begin of the run.
    pub fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.origin)
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock()
    }

    /// Something happened at a node.
    pub fn note(&self, node: usize, what: fmt::Arguments<'_>) {
        self.record().note(self.elapsed(), node, what);
    }

    /// The node of this number, if one runs there.
    pub fn node(&self, index: usize) -> Option<Arc<SimNode>> {
        self.nodes.lock()[index].clone()
    }

    pub fn live(&self) -> Vec<Arc<SimNode>> {
        self.nodes.lock().iter().flatten().cloned().collect()
    }

    pub fn is_silent(&self, index: usize) -> bool {
        self.silent.lock()[index]
    }

    /// Starts a node that is down.
    pub fn start(self: &Arc<Self>, index: usize) {
        let identity = self.gossip.lock().identity(index).expect("the overlay's node runs");
        let node = SimNode::start(self, index, identity);
        self.silent.lock()[index] = false;
        self.nodes.lock()[index] = Some(node);
    }

    /// Lets gossip go on until now, and wakes those that wait for members to come or go.
    pub fn gossip(&self) {
        let changed = self.gossip.lock().run(clock::now());
        for index in changed {
            if let Some(node) = self.node(index) {
                node.changed.notify_waiters();
            }
        }
    }

    pub fn view(&self, index: usize) -> Arc<View> {
        self.gossip();
        self.gossip.lock().view(index, clock::now()).expect("a node that runs has a picture")
    }

    /// Who is there, as a node sees it.
    pub fn members(&self, index: usize) -> Arc<View> {
        self.gossip();
        self.gossip.lock().members(index, clock::now()).expect("a node that runs has a picture")
    }

    pub fn tell_load(&self, index: usize, sample: LoadSample) {
        self.gossip();
        self.gossip.lock().tell_load(index, sample);
    }

    /// What foreign work leaves of a node's cores.
    pub fn foreign_share(&self, index: usize) -> f64 {
        self.setup.workload.share(index, self.elapsed())
    }

    /// Whether what runs at a node stands still.
    pub fn is_hung(&self, index: usize) -> bool {
        self.hung.lock()[index].is_some_and(|until| clock::now() < until)
    }

    /// Seconds of work that one worker of a node does in a second, where so many of its jobs run.
    pub fn rate(&self, index: usize, running: usize) -> f64 {
        let own = (self.setup.workers as f64 / running.max(1) as f64).min(1.0);
        let shared = match self.setup.cores {
            Some(cores) => (cores / self.running.load(Ordering::Relaxed).max(1) as f64).min(1.0),
            None => own,
        };
        self.setup.workload.speed(index) * self.foreign_share(index) * shared.min(own)
    }

    /// A video is on its way: how long its result will be.
    pub fn knows(&self, content: ContentId, result_bytes: u64) {
        self.results.lock().insert(content, result_bytes);
    }

    pub fn result_bytes(&self, key: &Key) -> u64 {
        self.results.lock().get(&key.content).copied().unwrap_or_default()
    }

    /// A worker begins a job.
    pub fn begins(self: &Arc<Self>, node: usize, task: &Task) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        let at = self.elapsed();
        self.record().begins(at, node, task.requester, &task.key);
        Running { cluster: Arc::clone(self), node, key: task.key.clone() }
    }

    /// A worker is done with one.
    pub fn ends(&self, node: usize, task: &Task, is_done: bool, ran: Duration) {
        let at = self.elapsed();
        self.record().ends(at, node, &task.key, is_done, ran);
    }

    /// This node has something to do with such a job until this is dropped.
    pub fn owns(self: &Arc<Self>, node: usize, key: &Key) -> Owner {
        self.record().check.owns(node, key);
        Owner { cluster: Arc::clone(self), node, key: key.clone() }
    }

    /// Something goes wrong now.
    pub fn strike(self: &Arc<Self>, trouble: &Trouble) {
        let at = self.elapsed();
        self.gossip();
        self.record().strikes(at, trouble);
        match trouble {
            Trouble::Death { node, silent } => self.kill(*node, *silent),
            Trouble::Restart { node } => {
                if self.node(*node).is_none() {
                    self.gossip.lock().apply(&Fault::Start(*node));
                    self.start(*node);
                }
            }
            Trouble::Freeze { node, time } => {
                let Some(frozen) = self.node(*node) else { return };
                self.gossip.lock().apply(&Fault::Pause(*node, *time));
                frozen.process.stop();
                self.later(*time, move |_| frozen.process.go_on());
            }
            Trouble::Partition { side, time } => {
                self.gossip.lock().apply(&Fault::Partition(side.clone()));
                self.network.divide(side);
                self.later(*time, |cluster| {
                    cluster.gossip.lock().apply(&Fault::Heal);
                    cluster.network.divide(&[]);
                });
            }
            Trouble::Loss { part, time } => {
                self.gossip.lock().apply(&Fault::Loss(*part));
                self.network.lose(*part);
                self.later(*time, |cluster| {
                    cluster.gossip.lock().apply(&Fault::Heal);
                    cluster.network.lose(0.0);
                });
            }
            Trouble::Hang { node, time } => self.hung.lock()[*node] = Some(clock::now() + *time),
            Trouble::Leave { node, time } => {
                let Some(leaves) = self.node(*node) else { return };
                self.gossip.lock().apply(&Fault::Leave(*node));
                leaves.leave();
                let node = *node;
                self.later(*time, move |cluster| cluster.kill(node, false));
            }
        }
    }

    fn kill(&self, index: usize, silent: bool) {
        let Some(node) = self.nodes.lock()[index].take() else { return };
        self.silent.lock()[index] = silent;
        self.gossip.lock().apply(&Fault::Kill(index));
        node.process.kill(silent);
    }

    fn later(self: &Arc<Self>, after: Duration, what: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let (cluster, at) = (Arc::clone(self), clock::now() + after);
        // Ends by itself, or with the run.
        drop(tokio::runtime::Handle::current().spawn(async move {
            clock::sleep_until(at).await;
            cluster.gossip();
            what(&cluster);
            let at = cluster.elapsed();
            cluster.record().check.troubled(at);
        }));
    }

    /// The run is over: nodes hold the cluster, and the cluster holds nodes.
    pub fn close(&self) {
        let nodes: Vec<_> = self.nodes.lock().iter_mut().filter_map(Option::take).collect();
        for node in nodes {
            node.process.kill(false);
        }
    }
}

/// A job that has a worker; over when this is dropped.
pub(super) struct Running {
    cluster: Arc<Cluster>,
    node: usize,
    key: Key,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cluster.running.fetch_sub(1, Ordering::Relaxed);
        self.cluster.record().breaks_off(self.node, &self.key);
    }
}

/// What a place may be held for; see [`Cluster::owns`].
pub(super) struct Owner {
    cluster: Arc<Cluster>,
    node: usize,
    key: Key,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.cluster.record().check.disowns(self.node, &self.key);
    }
}
