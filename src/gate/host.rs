//! Names that a node is known by.

use std::collections::HashSet;
use std::net::IpAddr;

/// Longest name of a host.
const HOST_BYTES_MAX: usize = 253;

/// Names that a node is known by. An IP address is no name, and always let in: no page can be loaded from the address
/// of a node but from the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    any: bool,
    names: HashSet<String>,
    /// Each with its dot in front: whatever ends in it, and what follows the dot.
    domains: Vec<String>,
}

/// Why a text is no list of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a host: give names as in transcode.example.com, .example.com for a domain and all in it, or *"
)]
pub struct HostPatternError(String);

impl Hosts {
    /// Reads `NAME`, `.DOMAIN` and `*`.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, HostPatternError> {
        let mut hosts = Self::default();
        for item in items {
            let name = item.strip_prefix('.').unwrap_or(item);
            if item == "*" {
                hosts.any = true;
            } else if !is_host_name(name) {
                return Err(HostPatternError(item.chars().take(80).collect()));
            } else if name == item {
                hosts.add(name);
            } else {
                hosts.domains.push(format!(".{}", normal(name)));
            }
        }
        Ok(hosts)
    }

    /// One more name.
    pub fn add(&mut self, name: &str) {
        self.names.insert(normal(name));
    }

    /// The names by which a machine is found in its own network: in full, its first part, and that by multicast DNS.
    pub fn add_machine(&mut self, name: &str) {
        let first = name.split('.').next().unwrap_or_default();
        if !first.is_empty() {
            self.add(name);
            self.add(first);
            self.add(&format!("{first}.local"));
        }
    }

    /// Whether a node is known by this name or address, which may have brackets and no port.
    pub(super) fn knows(&self, host: &str, is_member: impl Fn(&str) -> bool) -> bool {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if self.any || address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = normal(host);
        // RFC 6761: names in .localhost are this machine for every browser, whatever a name server says.
        name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
            || self.domains.iter().any(|domain| name.ends_with(domain.as_str()) || name == domain[1..])
            // Whoever joins a cluster without a key chooses a name: one with a dot may be of a stranger's domain.
            || (!name.contains('.') && is_member(&name))
    }
}

/// Names don't differ by case, nor by the dot of the root at their end.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_host_name(name: &str) -> bool {
    (1..=HOST_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
