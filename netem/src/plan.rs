//! From zones and faults to what one node's device does to the packets of each network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Place};
use crate::{LinkProfile, Zones};

/// A node on a shaped network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name; unique.
    pub name: String,
    /// Its zone; one of the zone file's.
    pub zone: String,
    /// Its addresses on the shaped network.
    pub addresses: Vec<IpAddr>,
}

/// Where a backend gets at packets, and so which direction of a link it shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What the node sends (`tc`).
    Egress,
    /// What the node receives (`nfqueue`).
    Ingress,
}

/// Whose ends of the links are shaped by one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of all nodes (the lab): each direction of a fault goes where that direction is shaped.
    All,
    /// Those of one node (a container): it stands in for both directions of the links that a fault strikes. Delay and
    /// rate go where packets are shaped; loss goes each way.
    Own,
}

/// What a node does to packets in both directions: a backend shapes in one, and may need the other for some packets.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plans {
    pub egress: Plan,
    pub ingress: Plan,
}

/// What a node's device does to the packets to or from one network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// A zone's subnet, or a node's own address.
    pub net: IpNet,
    /// At the backend's hook.
    pub profile: LinkProfile,
    /// Share of the packets lost in the other direction; only in [`Scope::Own`].
    pub loss_back: f64,
}

/// Rules for one device; single addresses before the subnets that hold them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order in which the first match counts.
    pub rules: Vec<Rule>,
}

impl Plan {
    /// What the device of node `me` does under these faults. `peers` are nodes whose addresses are known; only those that a
    /// fault names get rules of their own.
    pub fn new(zones: &Zones, faults: &[Fault], me: &Node, peers: &[Node], hook: Hook, scope: Scope) -> Self {
        let here = Place { node: Some(&me.name), zone: &me.zone };
        let rule = |net: IpNet, there: Place<'_>| {
            let (near, far) = match hook {
                Hook::Egress => ((here, there), (there, here)),
                Hook::Ingress => ((there, here), (here, there)),
            };
            let mut profile = under_faults(zones, faults, near);
            let mut loss_back = 0.0;
            if scope == Scope::Own {
                let base = under_faults(zones, &[], far);
                let other = under_faults(zones, faults, far);
                fold_back(&mut profile, &base, &other);
                if other.loss > base.loss {
                    loss_back = other.loss;
                }
            }
            Rule { net, profile, loss_back }
        };
        let named: Vec<&str> = faults.iter().flat_map(|fault| fault.links.nodes()).collect();
        let mut rules = Vec::new();
        for peer in peers.iter().filter(|peer| peer.name != me.name && named.contains(&peer.name.as_str())) {
            let there = Place { node: Some(&peer.name), zone: &peer.zone };
            rules.extend(peer.addresses.iter().map(|address| rule(IpNet::from(*address), there)));
        }
        for zone in zones.iter() {
            let there = Place { node: None, zone: &zone.name };
            rules.extend(zone.subnets.iter().map(|subnet| rule(*subnet, there)));
        }
        Self { rules }
    }
}

/// The link between unnamed nodes of two zones.
pub(crate) fn between_zones(zones: &Zones, faults: &[Fault], from: &str, to: &str) -> LinkProfile {
    under_faults(zones, faults, (Place { node: None, zone: from }, Place { node: None, zone: to }))
}

/// One directed link as the zone file says, changed by the faults that strike it, in their order.
fn under_faults(zones: &Zones, faults: &[Fault], (from, to): (Place<'_>, Place<'_>)) -> LinkProfile {
    let mut link = zones.link(from.zone, to.zone).copied().unwrap_or_default();
    let striking = faults.iter().filter(|fault| fault.links.contains(from, to));
    let mut cut = false;
    for fault in striking {
        fault.change.apply(&mut link);
        cut |= fault.change.cut;
    }
    if cut {
        link.loss = 1.0;
    }
    link
}

/// Puts what faults did to the other direction on this one, so that a round trip feels both.
fn fold_back(link: &mut LinkProfile, base: &LinkProfile, faulty: &LinkProfile) {
    link.delay = (link.delay + faulty.delay).saturating_sub(base.delay);
    if faulty.jitter != base.jitter {
        link.jitter = (link.jitter + faulty.jitter).saturating_sub(base.jitter);
        link.distribution = faulty.distribution;
    }
    if faulty.rate != base.rate {
        link.rate = [link.rate, faulty.rate].into_iter().flatten().min();
    }
    // Only what grew is what a fault did.
    if faulty.duplicate > base.duplicate {
        link.duplicate = link.duplicate.max(faulty.duplicate);
    }
    if faulty.reorder > base.reorder {
        link.reorder = link.reorder.max(faulty.reorder);
    }
}
