//! Holds a set of nodes shaped until it is dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::command::CommandError;
use crate::control::{FaultState, LinkState, NodeState, State};
use crate::fault::{Fault, LinkChange, Links, SelectError, Selector};
use crate::netns::Netns;
use crate::plan::Plans;
use crate::{Hook, Node, Plan, Scope, Zones};
use crate::{LinkProfile, firewall, nfqueue, plan, tc};

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
    fn shape(backend: Backend, end: &End, plans: &Plans) -> Result<Self, ShapeError> {
        match backend {
            Backend::Tc => {
                let mut device = tc::Device::create(&end.netns, &end.device)?;
                device.update(&plans.egress)?;
                Ok(Self::Tc(device))
            }
            Backend::Nfqueue => nfqueue::Shaper::start(&end.netns, &end.device, plans).map(Self::Nfqueue),
        }
    }

    fn update(&mut self, plans: &Plans) -> Result<(), ShapeError> {
        match self {
            Self::Tc(device) => device.update(&plans.egress),
            Self::Nfqueue(shaper) => shaper.update(plans),
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
    /// Why not kernel netem.
    why_not_tc: Option<String>,
    faults: Vec<Fault>,
    /// When faults end by themselves.
    ends_at: BTreeMap<u32, Instant>,
    fault_id_next: u32,
    /// Nodes that are not shaped here, but that faults here name ([`Scope::Own`]).
    others: Vec<Node>,
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
        let (backend, why_not_tc) = match forced {
            Some(backend) => (backend, (backend != Backend::Tc).then(|| "--backend".to_owned())),
            None => Self::probe(sample)?,
        };
        tracing::info!(backend = backend.name(), forced = forced.is_some(), "links are shaped");
        Ok(Self {
            zones,
            scope,
            backend,
            why_not_tc,
            ends: BTreeMap::new(),
            faults: Vec::new(),
            ends_at: BTreeMap::new(),
            fault_id_next: 1,
            others: Vec::new(),
        })
    }

    /// Kernel netem where the kernel has it and the device is free; else the shaper in user space.
    fn probe(sample: &End) -> Result<(Backend, Option<String>), ShapeError> {
        let Err(tc) = tc::probe(&sample.netns, &sample.device) else { return Ok((Backend::Tc, None)) };
        tracing::info!(why = tc, "backend tc does not work here");
        match nfqueue::probe(&sample.netns, &sample.device) {
            Ok(()) => Ok((Backend::Nfqueue, Some(tc))),
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
        let plans = self.plans(&end.node, &nodes);
        let device = Device::shape(self.backend, &end, &plans)?;
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

    /// Puts a fault in force, for good or for some time: then [`Self::expire`] ends it.
    pub fn fault(
        &mut self,
        links: Links,
        change: LinkChange,
        lasting: Option<Duration>,
    ) -> Result<FaultState, ShapeError> {
        let strikes = |link: &LinkProfile| {
            let mut link = *link;
            change.apply(&mut link);
            link.check().map_err(ShapeError::Change)
        };
        if change.is_empty() {
            return Err(ShapeError::Change(
                "a fault that changes nothing: expected --loss, --delay, …".to_owned(),
            ));
        }
        self.zones.links().try_for_each(|(_, _, link)| strikes(link))?;
        let id = self.fault_id_next;
        self.faults.push(Fault { id, links, change });
        if let Err(error) = self.update() {
            self.faults.pop();
            self.update()?;
            return Err(error);
        }
        self.fault_id_next += 1;
        self.ends_at.extend(lasting.map(|lasting| (id, Instant::now() + lasting)));
        let state = self.fault_states().pop();
        let state = state.ok_or(ShapeError::NoFault(id))?;
        tracing::info!(fault = id, links = state.links, change = state.change, "fault");
        Ok(state)
    }

    /// Ends one fault, or all. Says how many.
    pub fn heal(&mut self, id: Option<u32>) -> Result<usize, ShapeError> {
        let ends = |fault: &Fault| id.is_none_or(|id| fault.id == id);
        let count = self.faults.iter().filter(|fault| ends(fault)).count();
        if let Some(id) = id
            && count == 0
        {
            return Err(ShapeError::NoFault(id));
        }
        self.faults.retain(|fault| !ends(fault));
        self.ends_at.retain(|other, _| id.is_some_and(|id| *other != id));
        if count > 0 {
            tracing::info!(count, "healed");
        }
        self.update()?;
        Ok(count)
    }

    /// Ends the faults whose time is over. Says when the next one is.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        let over: Vec<u32> = self.ends_at.iter().filter(|(_, end)| **end <= now).map(|(id, _)| *id).collect();
        for id in over {
            if let Err(error) = self.heal(Some(id)) {
                tracing::warn!(fault = id, %error, "a fault whose time is over could not be ended everywhere");
            }
        }
        self.ends_at.values().min().copied()
    }

    /// How things are.
    pub fn state(&self) -> State {
        let nodes = self.ends.values().map(|(end, _)| NodeState {
            name: end.node.name.clone(),
            zone: end.node.zone.clone(),
            device: end.device.clone(),
            addresses: end.node.addresses.clone(),
        });
        let links = self.zones.links().map(|(from, to, _)| {
            let link = plan::between_zones(&self.zones, &self.faults, from, to);
            LinkState::new(from, to, &link)
        });
        State {
            backend: self.backend,
            why_not_tc: self.why_not_tc.clone(),
            scope: self.scope,
            pid: std::process::id(),
            nodes: nodes.collect(),
            links: links.collect(),
            faults: self.fault_states(),
        }
    }

    fn fault_states(&self) -> Vec<FaultState> {
        let now = Instant::now();
        let remaining =
            |id| self.ends_at.get(&id).map(|end| end.saturating_duration_since(now).as_millis() as u64);
        self.faults
            .iter()
            .map(|fault| FaultState {
                id: fault.id,
                links: fault.links.to_string(),
                change: fault.change.to_string(),
                remaining_ms: remaining(fault.id),
            })
            .collect()
    }

    /// `FRA-BOM`, `node1-FRA`, `node3`, `all`: zones, and nodes that are known here.
    pub fn parse_links(&mut self, text: &str, one_way: bool) -> Result<Links, SelectError> {
        let found = RefCell::new(Vec::new());
        let links = Links::parse(text, one_way, &|name| self.resolve(name, &found))?;
        self.others.extend(found.into_inner());
        Ok(links)
    }

    /// `FRA,IAD / BOM`, `node3`.
    pub fn parse_groups(&mut self, text: &str) -> Result<Links, SelectError> {
        let found = RefCell::new(Vec::new());
        let links = Links::parse_groups(text, &|name| self.resolve(name, &found))?;
        self.others.extend(found.into_inner());
        Ok(links)
    }

    /// A holder of one node asks the resolver for others: in a container, names of nodes are host names.
    fn resolve(&self, name: &str, found: &RefCell<Vec<Node>>) -> Result<Selector, SelectError> {
        if name == "all" {
            return Ok(Selector::All);
        }
        if self.zones.get(name).is_some() {
            return Ok(Selector::Zone(name.to_owned()));
        }
        if self.nodes().any(|node| node.name == name) {
            return Ok(Selector::Node(name.to_owned()));
        }
        if self.scope == Scope::Own
            && let Some(node) = self.look_up(name)
        {
            found.borrow_mut().push(node);
            return Ok(Selector::Node(name.to_owned()));
        }
        let nodes: Vec<String> = self.nodes().map(|node| node.name).collect();
        let expected = format!("one of {}, {}", self.zones.names(), nodes.join(", "));
        Err(SelectError::Unknown { name: name.to_owned(), expected })
    }

    fn look_up(&self, name: &str) -> Option<Node> {
        let addresses: Vec<IpAddr> = (name, 0).to_socket_addrs().ok()?.map(|address| address.ip()).collect();
        let zone = addresses.iter().find_map(|address| self.zones.zone_of(*address))?;
        let addresses =
            addresses.iter().copied().filter(|address| self.zones.zone_of(*address) == Some(zone));
        Some(Node { name: name.to_owned(), zone: zone.name.clone(), addresses: addresses.collect() })
    }

    fn nodes(&self) -> impl Iterator<Item = Node> {
        self.ends.values().map(|(end, _)| &end.node).chain(&self.others).cloned()
    }

    fn plans(&self, node: &Node, nodes: &[Node]) -> Plans {
        let plan = |hook| Plan::new(&self.zones, &self.faults, node, nodes, hook, self.scope);
        Plans { egress: plan(Hook::Egress), ingress: plan(Hook::Ingress) }
    }

    fn update(&mut self) -> Result<(), ShapeError> {
        let nodes: Vec<Node> = self.nodes().collect();
        let plans: Vec<Plans> = self.ends.values().map(|(end, _)| self.plans(&end.node, &nodes)).collect();
        // All of them, whatever becomes of one: its namespace may just have gone.
        let results: Vec<_> =
            self.ends.values_mut().zip(&plans).map(|((_, device), plans)| device.update(plans)).collect();
        results.into_iter().collect()
    }
}
