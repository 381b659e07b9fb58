//! Finds out which node this machine or container is: the device with an address in a zone.

use std::error::Error;
use std::net::IpAddr;
use std::process::Command;

use serde::Deserialize;
use starling_netem::{End, Node};
use starling_netem::{Netns, Zones};

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
}

/// This node, by what the user said and what the devices say.
pub fn find(
    zones: &Zones,
    name: Option<String>,
    zone: Option<String>,
    device: Option<&str>,
) -> Result<End, Box<dyn Error>> {
    let interfaces = interfaces()?;
    let in_zone = |interface: &Interface| -> Vec<(IpAddr, String)> {
        let addresses = interface.addr_info.iter().filter_map(|address| address.local);
        addresses.filter_map(|address| Some((address, zones.zone_of(address)?.name.clone()))).collect()
    };
    let named = |interface: &&Interface| device.is_none_or(|device| device == interface.ifname);
    let found = interfaces
        .iter()
        .filter(named)
        .find(|interface| device.is_some() || !in_zone(interface).is_empty())
        .ok_or_else(|| match device {
            Some(device) => format!("no device {device}: expected one that `ip link` lists"),
            None => format!(
                "no device has an address in a zone ({}): expected --device and --zone",
                zones.names()
            ),
        })?;
    let mut addresses = in_zone(found);
    let zone = zone.or_else(|| addresses.first().map(|(_, zone)| zone.clone())).ok_or_else(|| {
        format!("{} has no address in a zone: expected --zone, one of {}", found.ifname, zones.names())
    })?;
    addresses.retain(|(_, other)| *other == zone);
    let node = Node {
        name: name.map_or_else(host_name, Ok)?,
        zone,
        addresses: addresses.into_iter().map(|(address, _)| address).collect(),
    };
    Ok(End { node, netns: Netns::Current, device: found.ifname.clone() })
}

fn interfaces() -> Result<Vec<Interface>, Box<dyn Error>> {
    let output = Command::new("ip")
        .args(["-json", "address", "show"])
        .output()
        .map_err(|error| format!("ip could not be run: {error} (install the package iproute2)"))?;
    if !output.status.success() {
        return Err(format!("ip: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn host_name() -> Result<String, Box<dyn Error>> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|error| format!("host name: {error}"))?;
    Ok(name.trim().to_owned())
}
