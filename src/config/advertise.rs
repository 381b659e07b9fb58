//! Where the others reach this node.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `--advertise`: an IP address, and a port where the others use another one than this node binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Of the node, as the others see it.
    pub ip: IpAddr,
    /// Of its gossip, as the others see it; that of its HTTP, too, where the node binds both to one number.
    pub port: Option<u16>,
}

/// Why a text is no address to advertise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address of this node that the others can reach: give one such as 203.0.113.7, 203.0.113.7:6000, \
     2001:db8::7 or [2001:db8::7]:6000"
)]
pub struct AdvertiseError(String);

impl FromStr for Advertise {
    type Err = AdvertiseError;

    fn from_str(text: &str) -> Result<Self, AdvertiseError> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let bare = bracketed.unwrap_or(text).parse::<IpAddr>().map(|ip| Self { ip, port: None });
        let parsed = bare.or_else(|_| {
            text.parse::<SocketAddr>().map(|address| Self { ip: address.ip(), port: Some(address.port()) })
        });
        parsed
            .ok()
            .filter(|Self { ip, port }| !ip.is_unspecified() && !ip.is_multicast() && *port != Some(0))
            .ok_or_else(|| AdvertiseError(text.chars().take(80).collect()))
    }
}

impl Advertise {
    /// The ports that the others use, of gossip and of HTTP, where the node has bound these.
    pub fn ports(advertise: Option<Self>, advertise_http: Option<u16>, gossip: u16, http: u16) -> (u16, u16) {
        let given = advertise.and_then(|advertise| advertise.port);
        let http_given = advertise_http.or(given.filter(|_| gossip == http));
        (given.unwrap_or(gossip), http_given.unwrap_or(http))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_none() {
        let parse = |text: &str| text.parse::<Advertise>().map(|found| (found.ip.to_string(), found.port));
        assert_eq!(parse("203.0.113.7"), Ok(("203.0.113.7".into(), None)));
        assert_eq!(parse("203.0.113.7:6000"), Ok(("203.0.113.7".into(), Some(6000))));
        assert_eq!(parse("2001:db8::7"), Ok(("2001:db8::7".into(), None)));
        assert_eq!(parse("[2001:db8::7]"), Ok(("2001:db8::7".into(), None)));
        assert_eq!(parse("[2001:db8::7]:6000"), Ok(("2001:db8::7".into(), Some(6000))));
        for bad in [
            "",
            "node1",
            "node1:5000",
            "0.0.0.0",
            "[::]:5000",
            "224.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:",
            "10.0.0.1:99999",
        ] {
            assert_eq!(parse(bad), Err(AdvertiseError(bad.into())), "{bad}");
        }
    }

    #[test]
    fn a_port_is_that_of_both_where_both_have_one_number() {
        let mapped = Some("203.0.113.7:6000".parse().unwrap());
        let bare = Some("203.0.113.7".parse().unwrap());
        assert_eq!(Advertise::ports(None, None, 5000, 5000), (5000, 5000));
        assert_eq!(Advertise::ports(bare, None, 5000, 5001), (5000, 5001));
        assert_eq!(Advertise::ports(mapped, None, 5000, 5000), (6000, 6000));
        assert_eq!(
            Advertise::ports(mapped, None, 5000, 5001),
            (6000, 5001),
            "two numbers: HTTP's is left alone"
        );
        assert_eq!(Advertise::ports(mapped, Some(6001), 5000, 5001), (6000, 6001));
        assert_eq!(Advertise::ports(bare, Some(6001), 5000, 5000), (5000, 6001));
    }
}
