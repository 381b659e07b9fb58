//! The socket's error queue: which destinations refused a datagram (`IP_RECVERR`, ip(7)).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Asks the kernel to report what routers and hosts say of our datagrams.
pub(super) fn enable(socket: &socket2::Socket, v6: bool) -> io::Result<()> {
    // A socket for both families gets the reports of both.
    setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(())
}

/// The next destination that nobody listens at or that can't be reached; `WouldBlock` when there is none.
pub(super) fn next_refused(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    socket.try_io(Interest::ERROR, || read(socket))
}

fn read(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    let mut control = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
    // Some bytes of the datagram come back; nothing in them is needed.
    let mut bytes = [0; 16];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let refused = message.cmsgs()?.any(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            [Errno::ECONNREFUSED, Errno::EHOSTUNREACH]
                .contains(&Errno::from_raw(error.ee_errno.cast_signed()))
        }
        _ => false,
    });
    Ok(message.address.filter(|_| refused).as_ref().and_then(address))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let (ip, port) = if let Some(v4) = storage.as_sockaddr_in() {
        (IpAddr::V4(v4.ip()), v4.port())
    } else {
        let v6 = storage.as_sockaddr_in6()?;
        (IpAddr::V6(v6.ip()), v6.port())
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}
