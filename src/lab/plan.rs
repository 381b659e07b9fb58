//! Who stands where: names, zones, addresses, seeds.

use std::net::Ipv4Addr;

use super::LabError;

/// The most nodes of one lab, those added later included.
pub const NODES_MAX: u8 = 50;

/// A zone of the lab: its name and the first three bytes of its /24.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) subnet: [u8; 3],
}

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
pub(super) fn node(number: u8, zone: Option<&str>, zones: &[Zone]) -> Result<NodePlan, LabError> {
    let all = || zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", ");
    if number == 0 || number > NODES_MAX {
        return Err(LabError::TooManyNodes);
    }
    let zone = match zone {
        Some(name) => zones
            .iter()
            .find(|zone| zone.name == name)
            .ok_or_else(|| LabError::Zones(format!("no zone {name:?}; there are {}", all())))?,
        None => zones
            .get((usize::from(number) - 1) % zones.len().max(1))
            .ok_or_else(|| LabError::Zones("it names no zone".to_owned()))?,
    };
    let [a, b, c] = zone.subnet;
    Ok(NodePlan {
        number,
        name: format!("node{number}"),
        zone: zone.name.clone(),
        address: Ipv4Addr::new(a, b, c, number),
    })
}

/// The nodes a lab starts with, spread over the zones in turn.
pub(super) fn nodes(count: u8, zones: &[Zone]) -> Result<Vec<NodePlan>, LabError> {
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

    fn zones() -> Vec<Zone> {
        ["FRA", "IAD", "BOM"]
            .iter()
            .zip(1..)
            .map(|(name, z)| Zone { name: (*name).to_owned(), subnet: [10, 77, z] })
            .collect()
    }

    #[test]
    fn five_nodes_stand_as_in_the_paper() {
        let nodes = nodes(5, &zones()).unwrap();
        let shown: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(i, n)| format!("{} {} {} <- {}", n.name, n.zone, n.address, seed_of(i, &nodes).unwrap()))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @"");
    }

    #[test]
    fn limits_are_errors() {
        assert!(nodes(NODES_MAX, &zones()).is_ok());
        assert!(matches!(nodes(NODES_MAX + 1, &zones()), Err(LabError::TooManyNodes)));
        assert!(matches!(node(1, Some("SYD"), &zones()), Err(LabError::Zones(text)) if text.contains("FRA, IAD, BOM")));
        assert!(matches!(node(1, None, &[]), Err(LabError::Zones(_))));
        assert_eq!(node(9, Some("BOM"), &zones()).unwrap().address, Ipv4Addr::new(10, 77, 3, 9));
    }

    #[test]
    fn a_single_node_has_no_seed() {
        let nodes = nodes(1, &zones()).unwrap();
        assert_eq!(seed_of(0, &nodes), None);
    }
}
