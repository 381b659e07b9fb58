//! Who stands where: names, zones, addresses, seeds.

use std::net::Ipv4Addr;

use starling_netem::Zones;

use super::{LabError, zones};

/// The most nodes of one lab, those added later included. Each has the last byte of its address in its zone's /24 for itself, a
/// port of the host, and with the shaper in user space a thread and a dozen open files of the supervisor's.
pub const NODES_MAX: u8 = 200;

/// One node, before anything of it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// Counted from 1; the last byte of its address.
    pub number: u8,
    /// `node1` and so on.
    pub name: String,
    /// Name of its zone.
    pub zone: String,
    /// In its zone's /24.
    pub address: Ipv4Addr,
}

/// Plans node `number`: into `zone` if that is said, else into the next one in turn.
pub(super) fn node(number: u8, zone: Option<&str>, zones: &Zones) -> Result<NodePlan, LabError> {
    if number == 0 || number > NODES_MAX {
        return Err(LabError::TooManyNodes);
    }
    let in_turn = || zones.iter().nth((usize::from(number) - 1) % zones.iter().count().max(1));
    let zone = match zone {
        Some(name) => name,
        None => in_turn().map(|zone| zone.name.as_str()).unwrap_or_default(),
    };
    let address = zones::address(zones, zone, number)?;
    Ok(NodePlan { number, name: format!("node{number}"), zone: zone.to_owned(), address })
}

/// The nodes a lab starts with, spread over the zones in turn.
pub(super) fn nodes(count: u8, zones: &Zones) -> Result<Vec<NodePlan>, LabError> {
    (1..=count).map(|number| node(number, None, zones)).collect()
}

/// The one seed of each: the next node of the ring.
pub(super) fn seed_of(index: usize, nodes: &[NodePlan]) -> Option<Ipv4Addr> {
    let next = nodes.get((index + 1) % nodes.len().max(1))?;
    (nodes.len() > 1).then_some(next.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        Zones::builtin()
    }

    #[test]
    fn five_nodes_stand_as_in_the_paper() {
        let nodes = nodes(5, &zones()).unwrap();
        let shown: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, n)| format!("{} {} {} <- {}", n.name, n.zone, n.address, seed_of(i, &nodes).unwrap()))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        node1 FRA 10.77.1.1 <- 10.77.2.2
        node2 IAD 10.77.2.2 <- 10.77.3.3
        node3 BOM 10.77.3.3 <- 10.77.1.4
        node4 FRA 10.77.1.4 <- 10.77.2.5
        node5 IAD 10.77.2.5 <- 10.77.1.1
        ");
    }

    #[test]
    fn limits_are_errors() {
        assert!(nodes(NODES_MAX, &zones()).is_ok());
        assert!(matches!(nodes(NODES_MAX + 1, &zones()), Err(LabError::TooManyNodes)));
        assert!(
            matches!(node(1, Some("SYD"), &zones()), Err(LabError::Zones(text)) if text.contains("FRA, IAD, BOM"))
        );
        let tiny = "[zones.A]\nsubnet = \"10.0.0.0/30\"\n[default]\nrtt = \"1ms\"\n";
        let tiny = Zones::parse(tiny, "tiny").unwrap();
        assert!(
            matches!(node(9, None, &tiny), Err(LabError::Zones(text)) if text.contains("no IPv4 subnet"))
        );
        assert_eq!(node(9, Some("BOM"), &zones()).unwrap().address, Ipv4Addr::new(10, 77, 3, 9));
    }

    #[test]
    fn a_single_node_has_no_seed() {
        let nodes = nodes(1, &zones()).unwrap();
        assert_eq!(seed_of(0, &nodes), None);
    }
}
