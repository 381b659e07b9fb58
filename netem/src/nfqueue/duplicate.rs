//! Second copies of packets. A verdict can't make one, so it is sent to ourselves over a raw socket: it comes in by `lo`,
//! which no rule of ours touches.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};

use super::packet;

/// Raw sockets of the namespace that they were opened in.
pub(super) struct Duplicator {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
}

impl Duplicator {
    pub fn open() -> io::Result<Self> {
        let open = |family| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))
        };
        Ok(Self { v4: open(AddressFamily::INET)?, v6: open(AddressFamily::INET6).ok() })
    }

    /// Delivers a whole packet to the address that it was for.
    pub fn deliver(&self, datagram: &[u8]) -> io::Result<()> {
        let Some((_, destination)) = packet::addresses(datagram) else { return Ok(()) };
        let socket = match (destination, &self.v6) {
            (IpAddr::V4(_), _) => &self.v4,
            (IpAddr::V6(_), Some(v6)) => v6,
            (IpAddr::V6(_), None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        sendto(socket, datagram, SendFlags::empty(), &SocketAddr::new(destination, 0))?;
        Ok(())
    }
}
