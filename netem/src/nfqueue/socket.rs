//! The netlink socket that queued packets come from and verdicts go to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::message::{self, Answer, Packet, Received};

/// A packet's announcement takes about 1 KB of it: 100 ms of 100,000 packets a second.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// One announcement: headers, attributes and a packet, which is at most 64 KB.
const DATAGRAM_BYTES_MAX: usize = (64 << 10) + 1024;
const ANSWER_MS_MAX: i64 = 2000;

/// Bound to the network namespace that its thread was in when it was opened.
pub(super) struct QueueSocket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl QueueSocket {
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        // Only the machine's own root may go beyond the system's limit; a smaller buffer drops packets earlier.
        if set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER_BYTES).is_err() {
            set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER_BYTES)?;
        }
        Ok(Self { fd, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Takes a queue: packets that the rules send to it wait for verdicts of this socket.
    pub fn bind(&mut self, queue: u16, packets_max: u32, copy_bytes: u32) -> io::Result<()> {
        let taken = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::BUSY | Errno::PERM) => io::Error::new(
                error.kind(),
                format!(
                    "NFQUEUE {queue}: {error} (another netem shapes this namespace, or CAP_NET_ADMIN is missing)"
                ),
            ),
            _ => io::Error::new(error.kind(), format!("NFQUEUE {queue}: {error}")),
        };
        self.request(&message::bind(queue)).map_err(taken)?;
        self.request(&message::queue_packets(queue, packets_max))?;
        self.request(&message::copy_range(queue, copy_bytes, Answer::Wanted))
    }

    /// How much of each packet this socket gets to see from now on.
    pub fn set_copy_range(&self, queue: u16, bytes: u32) -> io::Result<()> {
        send(&self.fd, &message::copy_range(queue, bytes, Answer::Unwanted), SendFlags::empty())?;
        Ok(())
    }

    /// Sends a request and waits for its answer. Packets that come before it are passed over, so this is for the time
    /// before rules send any here.
    fn request(&mut self, request: &[u8]) -> io::Result<()> {
        send(&self.fd, request, SendFlags::empty())?;
        loop {
            match self.receive() {
                Ok(Some(Received::Answer(0))) => return Ok(()),
                Ok(Some(Received::Answer(errno))) => return Err(io::Error::from_raw_os_error(errno)),
                Ok(Some(Received::Packet(_) | Received::Other)) => {}
                Ok(None) => {
                    let timeout = rustix::fs::Timespec { tv_sec: ANSWER_MS_MAX / 1000, tv_nsec: 0 };
                    if poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout))? == 0 {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer"));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> io::Result<Option<Received<'_>>> {
        match recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
            Ok((_, length)) => Ok(Some(message::parse(&self.buffer[..length]).unwrap_or(Received::Other))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next packet that waits, without waiting for one. `Err` with `ENOBUFS` once after packets were dropped for want
    /// of buffer.
    pub fn next_packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        match self.receive()? {
            Some(Received::Packet(packet)) => Ok(Some(packet)),
            Some(Received::Answer(_) | Received::Other) | None => Ok(None),
        }
    }

    /// Hands a batch of verdicts to the kernel, which works them off before this returns.
    pub fn send_verdicts(&self, batch: &[u8]) -> io::Result<()> {
        send(&self.fd, batch, SendFlags::empty())?;
        Ok(())
    }
}

impl AsFd for QueueSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
