//! Which of this machine's addresses the others reach it at.
//!
//! A socket that is bound to no address in particular does not tell. The routing table does: it has the address that
//! datagrams to a seed or a member leave from. Looking there sends nothing, since `connect` on a UDP socket only asks it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;

/// Most of the others whose routes are looked at.
const TARGETS_MAX: usize = 32;

/// The address of this machine that a socket bound to `bound`, which is no address in particular, is best reached at by
/// those at `targets`: one that is not loopback, of their family. None if the machine has loopback alone.
///
/// Where the routes lead nowhere, an address of any interface is better than none.
pub fn find(bound: IpAddr, targets: &[IpAddr]) -> Option<IpAddr> {
    let usable = |ip: &IpAddr| bound.is_ipv6() || ip.is_ipv4();
    // TEST-NET-1 and the documentation's prefix stand for "anywhere": they find the address on the default route.
    let anywhere =
        [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    let there = targets.iter().copied().filter(|ip| !ip.is_loopback()).take(TARGETS_MAX);
    let routed = there.chain(anywhere).filter(usable).filter_map(source_towards).find(is_for_others);
    routed.or_else(|| interfaces().into_iter().filter(usable).find(is_for_others))
}

/// Whether an address that was found once is still the one to tell. What works is kept, so that a machine with several
/// addresses does not change its mind.
pub(super) fn is_good(current: IpAddr, targets: &[IpAddr]) -> bool {
    let mut others = targets.iter().filter(|ip| !ip.is_loopback()).peekable();
    let family = others.peek().is_none() || others.any(|ip| ip.is_ipv4() == current.is_ipv4());
    !current.is_loopback() && family && is_own(current)
}

/// Whether the machine has this address now.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

fn is_for_others(ip: &IpAddr) -> bool {
    // A link-local IPv6 address means nothing without the link.
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_loopback() && !ip.is_unspecified() && !link_local
}

fn source_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(target, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Addresses of all interfaces, IPv4 first.
fn interfaces() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let ip = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let mut found: Vec<IpAddr> = interfaces.filter_map(|interface| ip(interface.address?)).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_nobodys_first_choice_and_what_works_is_kept() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        let elsewhere: IpAddr = Ipv4Addr::new(198, 51, 100, 7).into();
        assert!(!is_good(loopback, &[]));
        assert!(!is_good(elsewhere, &[]), "no address of this machine");
        // What Debian's /etc/hosts says of the host's own name leads to loopback.
        let debian: IpAddr = Ipv4Addr::new(127, 0, 1, 1).into();
        for bound in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            if let Some(found) = find(bound, &[debian]) {
                assert!(!found.is_loopback(), "{found}");
                assert!(is_good(found, &[debian, found]));
                let other: IpAddr = if found.is_ipv4() { Ipv6Addr::LOCALHOST.into() } else { debian };
                assert!(is_good(found, &[other]), "loopback addresses have no say in the family");
            }
        }
        assert_eq!(
            find(Ipv4Addr::UNSPECIFIED.into(), &[]).filter(IpAddr::is_ipv6),
            None,
            "of the socket's family"
        );
    }
}
