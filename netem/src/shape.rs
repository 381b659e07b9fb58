//! Holds a set of nodes shaped until it is dropped.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::command::CommandError;
use crate::fault::{Fault, LinkChange, Links, SelectError, Selector};
use crate::netns::Netns;
use crate::{Hook, Node, Plan, Scope, Zones};
use crate::{firewall, nfqueue, tc};

/// One node's end of the shaped network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Who it is.
    pub node: Node,
    /// Where its device is.
    pub netns: Netns,
    /// The device that carries the addresses of the node, such as `eth0`.
    pub device: String,
}

/// How links are made real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Kernel netem.
    Tc,
    /// A shaper in user space, on NFQUEUE.
    Nfqueue,
}

impl Backend {
    /// `tc` or `nfqueue`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Nfqueue => "nfqueue",
        }
    }
}

/// Why links could not be shaped.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// Someone's qdisc is on the device. It was not touched.
    #[error(
        "{device} has a qdisc of its own ({qdisc}), which is left alone: remove it, or use --backend nfqueue"
    )]
    ForeignQdisc {
        /// The device.
        device: String,
        /// Kind and handle.
        qdisc: String,
    },
    /// A tool refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A node is of a zone that the zone file doesn't have.
    #[error("node {node} is in zone {zone:?}: expected one of {expected}")]
    UnknownZone {
        /// The node.
        node: String,
        /// Its zone.
        zone: String,
        /// All zones.
        expected: String,
    },
    /// No backend works here.
    #[error("links can't be shaped here. tc: {tc}. nfqueue: {nfqueue}")]
    NoBackend {
        /// Why not tc.
        tc: String,
        /// Why not nfqueue.
        nfqueue: String,
    },
    /// A fault that selects no links.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// A fault that no link can have.
    #[error("{0}")]
    Change(String),
    /// `heal` of a fault that is not in force.
    #[error("no fault {0} is in force: `netem show` lists those that are")]
    NoFault(u32),
}

/// One end, shaped.
enum Device {
    Tc(tc::Device),
    Nfqueue(nfqueue::Shaper),
}

impl Device {
    fn shape(backend: Backend, end: &End, plan: &Plan) -> Result<Self, ShapeError> {
        match backend {
            Backend::Tc => {
                let mut device = tc::Device::create(&end.netns, &end.device)?;
                device.update(plan)?;
                Ok(Self::Tc(device))
            }
            Backend::Nfqueue => nfqueue::Shaper::start(&end.netns, &end.device, plan).map(Self::Nfqueue),
        }
    }

    fn update(&mut self, plan: &Plan) -> Result<(), ShapeError> {
        match self {
            Self::Tc(device) => device.update(plan),
            Self::Nfqueue(shaper) => shaper.update(plan),
        }
    }
}

/// Restores an end that a killed run has left shaped. Says whether it was.
pub fn restore(netns: &Netns, device: &str) -> Result<bool, ShapeError> {
    let rules = firewall::remove_leftover(netns)?;
    let tree = tc::remove_leftover(netns, device)?;
    Ok(rules || tree)
}

/// Shapes the links of some nodes. Dropping it restores every device.
pub struct Shaping {
    zones: Zones,
    scope: Scope,
    backend: Backend,
    ends: BTreeMap<String, (End, Device)>,
    faults: Vec<Fault>,
    fault_id_next: u32,
}

impl Shaping {
    /// Chooses a backend by trying it on `sample`'s device (or takes the one that is forced). Nothing is shaped until
    /// [`Self::add`].
    pub fn new(
        zones: Zones,
        scope: Scope,
        forced: Option<Backend>,
        sample: &End,
    ) -> Result<Self, ShapeError> {
        let backend = match forced {
            Some(backend) => backend,
            None => Self::probe(sample)?,
        };
        tracing::info!(backend = backend.name(), forced = forced.is_some(), "links are shaped");
        Ok(Self { zones, scope, backend, ends: BTreeMap::new(), faults: Vec::new(), fault_id_next: 1 })
    }

    /// Kernel netem where the kernel has it and the device is free; else the shaper in user space.
    fn probe(sample: &End) -> Result<Backend, ShapeError> {
        let Err(tc) = tc::probe(&sample.netns, &sample.device) else { return Ok(Backend::Tc) };
        tracing::info!(why = tc, "backend tc does not work here");
        match nfqueue::probe(&sample.netns, &sample.device) {
            Ok(()) => Ok(Backend::Nfqueue),
            Err(nfqueue) => Err(ShapeError::NoBackend { tc, nfqueue }),
        }
    }

    /// The backend in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Shapes one more node's end. A node that is already shaped is shaped anew.
    pub fn add(&mut self, end: End) -> Result<(), ShapeError> {
        if self.zones.get(&end.node.zone).is_none() {
            return Err(ShapeError::UnknownZone {
                node: end.node.name.clone(),
                zone: end.node.zone.clone(),
                expected: self.zones.names(),
            });
        }
        self.ends.remove(&end.node.name);
        // Others may have rules for this node by its name, and it for them.
        let nodes: Vec<Node> = self.nodes().chain([end.node.clone()]).collect();
        let plan = self.plan(&end.node, &nodes);
        let device = Device::shape(self.backend, &end, &plan)?;
        self.ends.insert(end.node.name.clone(), (end, device));
        self.update()
    }

    /// Restores one node's device.
    pub fn remove(&mut self, node: &str) {
        self.ends.remove(node);
    }

    /// Faults in force.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Puts a fault in force.
    pub fn fault(&mut self, links: Links, change: LinkChange) -> Result<u32, ShapeError> {
        let id = self.fault_id_next;
        self.faults.push(Fault { id, links, change });
        if let Err(error) = self.update() {
            self.faults.pop();
            self.update()?;
            return Err(error);
        }
        self.fault_id_next += 1;
        Ok(id)
    }

    /// Ends one fault, or all.
    pub fn heal(&mut self, id: Option<u32>) -> Result<(), ShapeError> {
        if let Some(id) = id
            && !self.faults.iter().any(|fault| fault.id == id)
        {
            return Err(ShapeError::NoFault(id));
        }
        self.faults.retain(|fault| id.is_some_and(|id| fault.id != id));
        self.update()
    }

    /// Turns a name into a selector.
    pub fn resolve(&self, name: &str) -> Result<Selector, SelectError> {
        if name == "all" {
            Ok(Selector::All)
        } else if self.zones.get(name).is_some() {
            Ok(Selector::Zone(name.to_owned()))
        } else if self.ends.contains_key(name) {
            Ok(Selector::Node(name.to_owned()))
        } else {
            let nodes: Vec<&str> = self.ends.keys().map(String::as_str).collect();
            Err(SelectError::Unknown {
                name: name.to_owned(),
                expected: format!("one of {}, {}", self.zones.names(), nodes.join(", ")),
            })
        }
    }

    fn nodes(&self) -> impl Iterator<Item = Node> {
        self.ends.values().map(|(end, _)| end.node.clone())
    }

    fn plan(&self, node: &Node, nodes: &[Node]) -> Plan {
        let hook = match self.backend {
            Backend::Tc => Hook::Egress,
            Backend::Nfqueue => Hook::Ingress,
        };
        Plan::new(&self.zones, &self.faults, node, nodes, hook, self.scope)
    }

    fn update(&mut self) -> Result<(), ShapeError> {
        let nodes: Vec<Node> = self.nodes().collect();
        let plans: Vec<Plan> = nodes.iter().map(|node| self.plan(node, &nodes)).collect();
        // All of them, whatever becomes of one: its namespace may just have gone.
        let results: Vec<_> =
            self.ends.values_mut().zip(&plans).map(|((_, device), plan)| device.update(plan)).collect();
        results.into_iter().collect()
    }
}
