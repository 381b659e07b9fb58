//! Whom a node sends to: an address that a client names must not make it ask what only it can reach (server-side request forgery).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};

/// Longest URL that is taken.
const URL_BYTES_MAX: usize = 2048;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    secure: bool,
}

/// A client's address can't be sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL that could be.
    #[error(
        "give an http:// or https:// URL of at most {URL_BYTES_MAX} bytes, without a user's name and a fragment"
    )]
    Bad,
    /// It is on a network of the node's own.
    #[error(
        "{0} is loopback, private, link-local or otherwise not public: this node sends no webhooks there (--webhook-allow-private)"
    )]
    Private(IpAddr),
    /// The name has no address.
    #[error("{host} has no address: {why}")]
    Unresolved {
        /// The name.
        host: String,
        /// What was said.
        why: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX || text.contains(['#', '@']) {
            return Err(TargetError::Bad);
        }
        let uri: Uri = text.parse().map_err(|_| TargetError::Bad)?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(TargetError::Bad),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(TargetError::Bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match uri.authority().map(|authority| (authority.port_u16(), authority.as_str())) {
            Some((Some(0), _)) | None => return Err(TargetError::Bad),
            Some((Some(port), _)) => port,
            Some((None, whole)) if whole.trim_end_matches(']').ends_with(&host) => {
                if secure {
                    443
                } else {
                    80
                }
            }
            Some((None, _)) => return Err(TargetError::Bad),
        };
        Ok(Self { uri, host, port, secure })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl Target {
    /// Host and, where it is not the usual one, port, as the header Host has them.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", Authority::as_str)
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// What can be seen before any name is looked up: an address that nothing is sent to.
    pub fn check(&self, allow_private: bool) -> Result<(), TargetError> {
        match self.host.parse() {
            Ok(address) if !allow_private && !is_public(address) => Err(TargetError::Private(address)),
            _ => Ok(()),
        }
    }

    /// Where it is now. One address that nothing is sent to is enough to refuse all: so no name leads to it by turns.
    pub(super) async fn resolve(&self, allow_private: bool) -> Result<Vec<SocketAddr>, TargetError> {
        let unresolved = |why: String| TargetError::Unresolved { host: self.host.clone(), why };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<_> = found.map_err(|error| unresolved(error.to_string()))?.collect();
        if found.is_empty() {
            return Err(unresolved("the name server gave none".to_owned()));
        }
        match found.iter().find(|address| !allow_private && !is_public(address.ip())) {
            Some(address) => Err(TargetError::Private(address.ip())),
            None => Ok(found),
        }
    }
}

/// Whether an address is one of the public internet, by the registries of special-purpose addresses (RFC 6890 and what came after it).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Between a provider's NAT and its customers.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        // The relays of 6to4.
        || (a, b, c) == (192, 88, 99)
        // Benchmarks.
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Addresses of IPv4 in the clothes of IPv6: mapped, of a NAT64, of 6to4.
    let [.., g, h] = parts;
    let last = Ipv4Addr::from_bits(u32::from(g) << 16 | u32::from(h));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => return is_public_v4(last),
        [0x2002, a, b, ..] => return is_public_v4(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b))),
        _ => {}
    }
    // Only 2000::/3 is given out; in it there are Teredo and other protocols' own, documentation, and segment routing.
    let given_out = parts[0] & 0xe000 == 0x2000;
    let special = match parts[0] {
        0x2001 => parts[1] < 0x200 || parts[1] == 0xdb8,
        0x3fff => parts[1] < 0x1000,
        _ => false,
    };
    given_out && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_public_is_sent_to() {
        for (address, public) in [
            ("93.184.215.14", true),
            ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", true),
            ("127.0.0.1", false),
            ("127.8.0.1", false),
            ("0.0.0.0", false),
            ("10.77.1.1", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("192.0.0.170", false),
            ("192.0.2.1", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:93.184.215.14", true),
            ("::127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("fc00::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn a_target_is_a_url_of_http_without_a_name_of_a_user() {
        let target: Target = "https://example.com/hooks?a=b".parse().unwrap();
        assert_eq!((target.host(), target.port, target.path()), ("example.com", 443, "/hooks?a=b"));
        let target: Target = "http://[2001:db8::7]:8080".parse().unwrap();
        assert_eq!((target.host(), target.port, target.is_secure()), ("2001:db8::7", 8080, false));
        assert_eq!((target.authority(), target.path()), ("[2001:db8::7]:8080", "/"));
        let long = format!("http://example.com/{}", "a".repeat(URL_BYTES_MAX));
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "http://",
            "http://a@b/",
            "http://a/#b",
            "http://a:0/",
            &long,
        ] {
            assert_eq!(bad.parse::<Target>(), Err(TargetError::Bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_checked() {
        let target: Target = "http://localhost:1/".parse().unwrap();
        assert_eq!(target.check(false), Ok(()), "a name is looked up when it is sent to");
        assert!(matches!(target.resolve(false).await, Err(TargetError::Private(_))));
        assert!(target.resolve(true).await.is_ok());
        // However an address is written.
        for text in
            ["http://127.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/"]
        {
            let target: Target = text.parse().unwrap();
            let refused = target.check(false).is_err()
                || !matches!(target.resolve(false).await, Ok(found) if !found.is_empty());
            assert!(refused, "{text}");
        }
    }
}
