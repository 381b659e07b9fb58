//! The socket that HTTP is listened at.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait until they are accepted, where the kernel allows as many (net.core.somaxconn). Where more come at once
/// than fit, the kernel drops the last step of their making: such a client believes that it is connected, and nobody answers it.
const BACKLOG_CONNECTIONS: i32 = 1024;

/// A socket that listens at this address.
pub fn listener_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_CONNECTIONS)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
