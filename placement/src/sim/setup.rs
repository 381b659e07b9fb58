//! What a run is made of.

use std::sync::Arc;
use std::time::Duration;

use starling_overlay::sim::Topology;

use super::decider::Decider;
use super::replay::Recorded;
use super::workload::Workload;

/// Something that goes wrong, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mishap {
    pub at: Duration,
    pub what: Trouble,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(not(test), expect(dead_code, reason = "workloads have deaths alone; tests have all"))]
pub(super) enum Trouble {
    /// A node is gone; whether its machine says nothing either.
    Death { node: usize, silent: bool },
    /// It starts again.
    Restart { node: usize },
    /// A node's process is stopped for so long.
    Freeze { node: usize, time: Duration },
    /// These nodes and the others can't reach each other for so long.
    Partition { side: Vec<usize>, time: Duration },
    /// So much of all packets is lost for so long.
    Loss { part: f64, time: Duration },
    /// What runs at a node stands still for so long; the node itself is well.
    Hang { node: usize, time: Duration },
    /// A node is told to leave: it takes nothing more, hands on what waits, and is gone after so long.
    Leave { node: usize, time: Duration },
}

/// A mistake that is made on purpose, to see whether its checker finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests make mistakes on purpose"))]
pub(super) enum Plant {
    /// A home gives every claim a lease.
    LeaseToAll,
    /// An answer is lost on its way to the client.
    LostAnswer,
    /// An answer is given after its deadline.
    LateAnswer,
    /// A booking is forgotten as soon as it is told.
    ForgottenBooking,
    /// A refusal takes its time.
    SlowRefusal,
    /// A desk takes more jobs than it says.
    WideQueue,
    /// A place that is not used is kept.
    KeptPlace,
}

/// A run: who does what, with which seed.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) workload: Workload,
    pub(super) decider: Decider,
    pub(super) nodes: usize,
    pub(super) jobs: usize,
    pub(super) load: f64,
    pub(super) seed: u64,
    pub(super) workers: usize,
    pub(super) queue: usize,
    /// Cores of one machine that all nodes share; none: each worker has one of its own.
    pub(super) cores: Option<f64>,
    /// How many contents there are, all of which are wanted again and again; none: as the workload says.
    pub(super) contents: Option<usize>,
    /// All requests come at once, and each that is answered is followed by another one, until this time.
    pub(super) closed_loop: Option<(usize, Duration)>,
    /// Whether a refused client comes back when it was told to, and whether some clients tell the digest of their video first.
    pub(super) comes_back: bool,
    pub(super) announces: bool,
    pub(super) mishaps: Vec<Mishap>,
    pub(super) plant: Option<Plant>,
    /// Requests as they were recorded, in place of drawn ones.
    pub(super) recorded: Option<Arc<Vec<Recorded>>>,
    pub(super) keeps_trace: bool,
    /// Nodes know each other before the first request.
    pub(super) settle: Duration,
}

/// Ring time before the first request: loads and round-trip times are known then.
const SETTLE: Duration = Duration::from_secs(10);

impl Setup {
    /// So many nodes in the paper's zones, with two workers each, and so many requests at 0.7 of what the cluster can do.
    pub fn new(workload: Workload, decider: Decider, nodes: usize, jobs: usize, seed: u64) -> Self {
        Self {
            workload,
            decider,
            nodes,
            jobs,
            load: 0.7,
            seed,
            workers: 2,
            queue: 16,
            cores: None,
            contents: None,
            closed_loop: None,
            comes_back: false,
            announces: false,
            mishaps: Vec::new(),
            plant: None,
            recorded: None,
            keeps_trace: false,
            settle: SETTLE,
        }
    }

    /// Requests come so often that this part of what all workers can do is asked for.
    #[must_use]
    pub fn load(mut self, load: f64) -> Self {
        self.load = load;
        self
    }

    /// So many jobs at once on each node.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// How far jobs take another time than their pixels say: sigma of a log-normal factor, in place of the workload's own.
    #[must_use]
    pub fn estimate_sigma(mut self, sigma: f64) -> Self {
        self.workload.estimate_sigma = sigma;
        self
    }

    /// A mean job takes a usual node so long; where that is longer than before, deadlines are later by as many times.
    #[must_use]
    pub fn service(mut self, service: Duration) -> Self {
        let times = service.as_secs_f64() / self.workload.service.as_secs_f64();
        self.workload.deadline = self.workload.deadline.mul_f64(times.max(1.0));
        self.workload.service = service;
        self
    }

    pub(super) fn topology(&self) -> Topology {
        let mut topology = Topology::paper();
        if let Some((rate, loss)) = self.workload.thin {
            for (from, links) in topology.links.iter_mut().enumerate() {
                for (_, link) in links.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                    (link.rate, link.loss) = (Some(rate), loss);
                }
            }
        }
        topology
    }

    /// Requests a second, on average.
    pub(super) fn rate(&self) -> f64 {
        let speed: f64 = (0..self.nodes).map(|node| self.workload.speed(node)).sum();
        self.load * speed * self.workers as f64 / self.workload.service.as_secs_f64()
    }

    /// For how long requests come.
    pub(super) fn span(&self) -> Duration {
        Duration::from_secs_f64(self.jobs as f64 / self.rate())
    }
}

/// Zones of the paper; node by node in turn.
pub(super) const ZONES: usize = 3;
