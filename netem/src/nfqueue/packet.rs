//! The few bytes of a packet that say where it belongs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Source and destination of an IP packet. `None` if it is not one.
pub(super) fn addresses(head: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match head.first()? >> 4 {
        4 => {
            let source: [u8; 4] = head.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = head.get(16..20)?.try_into().ok()?;
            Some((Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into()))
        }
        6 => {
            let source: [u8; 16] = head.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = head.get(24..40)?.try_into().ok()?;
            Some((Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let mut v4 = vec![0x45; 20];
        v4[12..20].copy_from_slice(&[10, 77, 1, 1, 10, 77, 2, 2]);
        assert_eq!(addresses(&v4), Some(("10.77.1.1".parse().unwrap(), "10.77.2.2".parse().unwrap())));
        let mut v6 = vec![0x60; 40];
        v6[8..24].copy_from_slice(&"fd77:0:0:1::1".parse::<Ipv6Addr>().unwrap().octets());
        v6[24..40].copy_from_slice(&"fd77:0:0:2::2".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(
            addresses(&v6),
            Some(("fd77:0:0:1::1".parse().unwrap(), "fd77:0:0:2::2".parse().unwrap()))
        );
        assert_eq!(addresses(&v4[..19]), None);
        assert_eq!(addresses(&[]), None);
    }
}
