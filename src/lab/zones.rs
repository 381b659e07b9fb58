//! The zones of a zone file as the lab needs them: names, and room for addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use starling_netem::Zones;

use super::LabError;

/// Reads a zone file; the built-in zones if there is none.
pub(super) fn load(file: Option<&Path>) -> Result<Zones, LabError> {
    match file {
        Some(path) => Zones::load(path).map_err(|error| LabError::ZoneFile(error.to_string())),
        None => Ok(Zones::builtin()),
    }
}

/// All IPv4 subnets.
pub(super) fn subnets(zones: &Zones) -> Vec<String> {
    let all = zones.iter().flat_map(|zone| &zone.subnets);
    all.filter(|subnet| subnet.network().is_ipv4()).map(ToString::to_string).collect()
}

/// The address of node `number` in the IPv4 subnet of `zone`.
pub(super) fn address(zones: &Zones, zone: &str, number: u8) -> Result<Ipv4Addr, LabError> {
    let zone = zones
        .get(zone)
        .ok_or_else(|| LabError::Zones(format!("no zone {zone:?}: expected one of {}", zones.names())))?;
    let room = zone.subnets.iter().find_map(|subnet| {
        let IpAddr::V4(base) = subnet.network() else { return None };
        let address = Ipv4Addr::from_bits(base.to_bits() + u32::from(number));
        subnet.contains(&IpAddr::V4(address)).then_some(address)
    });
    room.ok_or_else(|| {
        LabError::Zones(format!("zone {} has no IPv4 subnet with room for node {number}", zone.name))
    })
}
