//! From one node to all members: their names, and addresses at which they can be reached from here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use futures_util::future::join_all;

use super::http::Reached;
use super::{Client, ClientError, Endpoint, Members};

/// A node to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is to be.
    pub endpoint: Endpoint,
    /// Which node is to answer there; none for any, as long as it stays the same one.
    pub name: Option<String>,
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, name: None }
    }
}

/// The options of a command line that asks for members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names nodes.
    pub each: &'static str,
    /// Asks for all that those know of.
    pub all: &'static str,
}

/// Why members are not known or not sent to.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// None of the nodes named answers.
    #[error(transparent)]
    NoAnswer(#[from] ClientError),
    /// No node was named.
    #[error("no node was named: give {0}")]
    NoNode(&'static str),
    /// What members advertise is no address for this machine.
    #[error(
        "{} was asked at {entry}, and what it knows of others is no address for this machine: {}. So it is with nodes in \
         a lab or behind published ports. Name every node by {}, at an address at which it is reached from here, or \
         leave {} out",
        .entry_name,
        .members.join(", "),
        .options.each,
        .options.all
    )]
    OutOfReach {
        /// Who was asked.
        entry_name: String,
        /// Where it answered.
        entry: SocketAddr,
        /// Names and addresses of the members.
        members: Vec<String>,
        /// How the command line says it.
        options: Options,
    },
}

/// How far an address reaches, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Machine,
    Link,
    Site,
    World,
}

impl Scope {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            // To connect to the unspecified address is to connect to this machine.
            ip if ip.is_loopback() || ip.is_unspecified() => Self::Machine,
            IpAddr::V4(ip) if ip.is_link_local() => Self::Link,
            IpAddr::V4(ip) if ip.is_private() || is_shared(ip.octets()) => Self::Site,
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Self::Link,
            IpAddr::V6(ip) if is_unique_local(ip) => Self::Site,
            _ => Self::World,
        }
    }

    /// Whether an address of this scope means the same to whom a node was reached by one of the other.
    fn holds_for(self, entry: Self) -> bool {
        match (entry, self) {
            (Self::Machine, member) => member == Self::Machine,
            (_, Self::Machine) => false,
            (entry, member) => member >= entry,
        }
    }
}

/// RFC 6598: behind a provider's address translation.
fn is_shared([a, b, ..]: [u8; 4]) -> bool {
    a == 100 && b & 0xc0 == 64
}

/// RFC 4193.
fn is_unique_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xfe00 == 0xfc00
}

/// All live members that the first answering one of `seeds` knows of. One that is a seed is reached as that was named,
/// the others where they say. Nothing is sent to these, and nothing at all comes of it where one can't be reached so.
pub async fn discover(
    client: &Client,
    seeds: &[Endpoint],
    options: Options,
) -> Result<Vec<Target>, DiscoverError> {
    let met = join_all(seeds.iter().map(|seed| client.identify(seed, super::SIGN_OF_LIFE))).await;
    let mut known = Vec::new();
    let mut last = None;
    for (seed, reached) in seeds.iter().zip(met) {
        match reached {
            Ok(reached) => known.push((seed, reached)),
            Err(error) => last = Some(error),
        }
    }
    let Some((seed, entry)) = known.first() else {
        return Err(last.map_or(DiscoverError::NoNode(options.each), DiscoverError::NoAnswer));
    };
    let (_, members) = Members::fetch(client, seed).await?;
    let seeds: Vec<_> = known.iter().map(|(seed, reached)| (*seed, reached.name.as_str())).collect();
    targets(&members, (seed, entry), &seeds, options)
}

fn targets(
    members: &Members,
    (by, entry): (&Endpoint, &Reached),
    seeds: &[(&Endpoint, &str)],
    options: Options,
) -> Result<Vec<Target>, DiscoverError> {
    let (mut targets, mut strays) = (Vec::new(), Vec::new());
    for member in members.members.iter().filter(|member| member.state == "alive" && !member.observer) {
        let seed = seeds.iter().find(|(_, name)| *name == member.name).map(|(seed, _)| (*seed).clone());
        if let Some(endpoint) = seed.or_else(|| advertised(by, member.http.as_deref()?, entry.address)) {
            targets.push(Target { endpoint, name: Some(member.name.clone()) });
        } else {
            let address = member.http.as_deref().unwrap_or("an unknown address");
            strays.push(format!("{} at {address}", member.name));
        }
    }
    if strays.is_empty() {
        return Ok(targets);
    }
    let (entry_name, entry) = (entry.name.clone(), entry.address);
    Err(DiscoverError::OutOfReach { entry_name, entry, members: strays, options })
}

/// A member's own word for where it is, if that is an address, and one that holds for this machine.
fn advertised(by: &Endpoint, http: &str, entry: SocketAddr) -> Option<Endpoint> {
    let address: SocketAddr = http.parse().ok()?;
    Scope::of(address.ip()).holds_for(Scope::of(entry.ip())).then(|| by.at(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { each: "--to", all: "--discover" };

    #[test]
    fn an_address_is_taken_where_it_means_the_same() {
        let at = |entry: &str, http: &str| {
            let entry: SocketAddr = entry.parse().unwrap();
            advertised(&Endpoint::from(entry), http, entry).map(|endpoint| endpoint.to_string())
        };
        for (entry, http) in [
            ("127.0.0.1:5001", "127.64.1.2:5000"),
            ("[::1]:5001", "127.0.0.1:5000"),
            ("192.168.1.5:5000", "192.168.1.6:5000"),
            ("10.0.0.1:5000", "203.0.113.9:5000"),
            ("169.254.1.1:5000", "10.0.0.2:5000"),
            ("203.0.113.9:5000", "[2001:db8::1]:5000"),
        ] {
            assert_eq!(at(entry, http), Some(format!("http://{http}")), "{entry} {http}");
        }
        for (entry, http) in [
            // A lab's nodes, and containers' behind published ports.
            ("127.0.0.1:5001", "10.77.2.2:5000"),
            ("[::ffff:127.0.0.1]:5001", "10.77.2.2:5000"),
            ("127.0.0.1:5001", "203.0.113.9:5000"),
            // This machine itself, for a node that is elsewhere.
            ("192.168.1.5:5000", "127.0.0.1:5000"),
            ("192.168.1.5:5000", "0.0.0.0:5000"),
            ("192.168.1.5:5000", "[::ffff:127.0.0.1]:5000"),
            // Somebody else's machine here.
            ("203.0.113.9:5000", "10.0.0.2:5000"),
            ("203.0.113.9:5000", "100.64.0.1:5000"),
            ("[2001:db8::1]:5000", "[fd00::2]:5000"),
            ("10.0.0.1:5000", "169.254.1.1:5000"),
            // No address.
            ("127.0.0.1:5001", "localhost:5000"),
            ("203.0.113.9:5000", "evil.example:80"),
        ] {
            assert_eq!(at(entry, http), None, "{entry} {http}");
        }
    }

    #[test]
    fn members_that_were_named_are_reached_as_they_were_named() {
        let members: Members = serde_json::from_str(
            r#"{"members":[
                {"name":"node1","zone":"FRA","state":"alive","incarnation":0,"http":"10.77.1.1:5000"},
                {"name":"node2","zone":"IAD","state":"alive","incarnation":0,"http":"10.77.2.2:5000"},
                {"name":"node3","zone":"BOM","state":"dead","incarnation":0,"http":"10.77.3.3:5000"},
                {"name":"monitor","zone":"FRA","state":"alive","incarnation":0,"http":"10.77.1.9:8005","observer":true}]}"#,
        )
        .unwrap();
        let entry = Reached { name: "node1".into(), address: "127.0.0.1:5001".parse().unwrap() };
        let ports: [Endpoint; 2] = ["127.0.0.1:5001", "127.0.0.1:5002"].map(|text| text.parse().unwrap());
        let all =
            targets(&members, (&ports[0], &entry), &[(&ports[0], "node1"), (&ports[1], "node2")], OPTIONS)
                .unwrap();
        let target =
            |index: usize, name: &str| Target { endpoint: ports[index].clone(), name: Some(name.into()) };
        assert_eq!(all, [target(0, "node1"), target(1, "node2")]);
        let error = targets(&members, (&ports[0], &entry), &[(&ports[0], "node1")], OPTIONS);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("node2 at 10.77.2.2:5000") && error.contains("--to"), "{error}");
        assert!(!error.contains("node3"), "{error}");
    }
}
