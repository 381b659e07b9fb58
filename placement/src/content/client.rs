use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ContentId;

/// Whose a request is: clients with one IPv4 address, or in one IPv6 /64, are one client. Travels with a job that is handed
/// to a peer, so that the peer is fair among clients, too.
///
/// It is a hash: the address itself is not told. Whoever has an address in mind can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientTag(pub u64);

impl ClientTag {
    /// The client at this address. The cluster's name goes in, so that each cluster has tags of its own.
    pub fn of_address(cluster: &str, address: IpAddr) -> Self {
        Self::of(&format!("client {cluster} {}", network_of(address)))
    }

    /// The client with the token of this name, wherever it is.
    pub fn of_token(cluster: &str, name: &str) -> Self {
        Self::of(&format!("token {cluster} {name}"))
    }

    /// A peer that does not say for which client it asks.
    pub fn of_peer(name: &str) -> Self {
        Self::of(&format!("peer {name}"))
    }

    fn of(text: &str) -> Self {
        let digest = ContentId::of(text.as_bytes()).0;
        let (front, _) = digest.split_first_chunk().expect("a digest has more than eight bytes");
        Self(u64::from_be_bytes(*front))
    }
}

/// The addresses that are one client's: an IPv4 address, or an IPv6 /64, since a client that has one address of that usually
/// has all of it.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

crate::hex_id!(ClientTag(u64), 16, ClientTagError, "a client's tag is 16 hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(address: &str) -> ClientTag {
        ClientTag::of_address("starling", address.parse().unwrap())
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(tag("192.0.2.1"), tag("::ffff:192.0.2.1"));
        assert_ne!(tag("192.0.2.1"), tag("192.0.2.2"));
        assert_eq!(tag("2001:db8::1"), tag("2001:db8::2"));
        assert_ne!(tag("2001:db8::1"), tag("2001:db8:0:1::1"));
        assert_ne!(ClientTag::of_peer("node1"), ClientTag::of_peer("node2"));
        assert_ne!(ClientTag::of_token("starling", "ci"), ClientTag::of_token("starling", "web"));
        let elsewhere = ClientTag::of_address("other", "192.0.2.1".parse().unwrap());
        assert_ne!(elsewhere, tag("192.0.2.1"));
    }

    #[test]
    fn tags_go_there_and_back() {
        let tag = ClientTag(0x1234);
        assert_eq!(tag.to_string().parse(), Ok(tag));
        for bad in ["", "12", "+000000000000001", "000000000000000g"] {
            assert_eq!(bad.parse::<ClientTag>(), Err(ClientTagError), "{bad}");
        }
    }
}
