//! The thread that takes orders: it waits for all connections at once, and for the next fault that ends by itself.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;

use super::holder::Shared;
use super::{Reply, Request};
use crate::ShapeError;
use crate::fault::LinkChange;

/// More connections wait in the backlog.
const CLIENTS_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 16 << 10;
const REPLY_TIME_MAX: Duration = Duration::from_secs(5);

pub(super) struct Server {
    listener: UnixListener,
    shared: Arc<Shared>,
    clients: Vec<Connection>,
}

struct Connection {
    stream: UnixStream,
    /// What has come of a line that is not whole yet.
    line: Vec<u8>,
    /// Faults that end with this connection.
    leases: Vec<u32>,
}

impl Server {
    pub fn new(listener: UnixListener, shared: Arc<Shared>) -> Self {
        Self { listener, shared, clients: Vec::new() }
    }

    /// Runs until the holder has let go of its shaping.
    pub fn run(mut self) {
        loop {
            let next_end = match self.shared.lock().as_mut() {
                Some(shaping) => shaping.expire(Instant::now()),
                None => return,
            };
            if let Err(error) = self.turn(next_end) {
                tracing::error!(%error, "no more orders are taken");
                return;
            }
        }
    }

    fn turn(&mut self, next_end: Option<Instant>) -> io::Result<()> {
        let timeout = next_end.map(|end| {
            let wait = end.saturating_duration_since(Instant::now());
            Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() }
        });
        let full = self.clients.len() >= CLIENTS_MAX;
        let listens = if full { PollFlags::empty() } else { PollFlags::IN };
        let mut fds =
            vec![PollFd::new(&self.shared.bell, PollFlags::IN), PollFd::new(&self.listener, listens)];
        fds.extend(
            self.clients.iter().map(|client| PollFd::from_borrowed_fd(client.stream.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            rustix::io::read(&self.shared.bell, &mut [0; 8]).ok();
        }
        // From the back, so that places stay right while some go.
        for place in (0..self.clients.len()).rev().filter(|place| ready[place + 2]) {
            if !self.clients[place].serve(&self.shared) {
                let gone = self.clients.remove(place);
                end_leases(&self.shared, &gone.leases);
            }
        }
        if ready[1] {
            self.accept();
        }
        Ok(())
    }

    fn accept(&mut self) {
        let accepted = self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(Connection { stream, line: Vec::new(), leases: Vec::new() })
        });
        match accepted {
            Ok(client) => self.clients.push(client),
            Err(error) => tracing::debug!(%error, "a connection was lost before it was taken"),
        }
    }
}

impl Connection {
    /// Reads what has come and answers every whole line. Says whether the connection goes on.
    fn serve(&mut self, shared: &Shared) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => self.line.extend_from_slice(&buffer[..length]),
            Err(error) => {
                return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            }
        }
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let reply = match serde_json::from_slice(&line) {
                Ok(request) => self.answer(shared, &request),
                Err(error) => Reply::Error(format!("not an order: {error}")),
            };
            if self.send(&reply).is_err() {
                return false;
            }
        }
        self.line.len() <= REQUEST_BYTES_MAX
    }

    fn answer(&mut self, shared: &Shared, request: &Request) -> Reply {
        let reply = answer(shared, request);
        let leased =
            matches!(request, Request::Fault { lease: true, .. } | Request::Partition { lease: true, .. });
        if let Reply::Fault(fault) = &reply
            && leased
        {
            self.leases.push(fault.id);
        }
        reply
    }

    fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(REPLY_TIME_MAX))?;
        self.stream.write_all(&line)?;
        self.stream.set_nonblocking(true)
    }
}

/// Carries an order out.
pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    match try_answer(shared, request) {
        Ok(reply) => reply,
        Err(error) => Reply::Error(error.to_string()),
    }
}

fn try_answer(shared: &Shared, request: &Request) -> Result<Reply, ShapeError> {
    let mut guard = shared.lock();
    let Some(shaping) = guard.as_mut() else {
        return Ok(Reply::Error("the links are being restored".to_owned()));
    };
    let lasting = |ms: &Option<u64>| ms.map(Duration::from_millis);
    match request {
        Request::Fault { links, change, one_way, for_ms, .. } => {
            let links = shaping.parse_links(links, *one_way)?;
            shaping.fault(links, *change, lasting(for_ms)).map(Reply::Fault)
        }
        Request::Partition { groups, for_ms, .. } => {
            let links = shaping.parse_groups(groups)?;
            shaping.fault(links, LinkChange::CUT, lasting(for_ms)).map(Reply::Fault)
        }
        Request::Heal { id } => shaping.heal(*id).map(Reply::Healed),
        Request::Show => Ok(Reply::State(Box::new(shaping.state()))),
        Request::Clear => Ok(match &shared.on_clear {
            Some(on_clear) => {
                on_clear();
                Reply::Clearing
            }
            None => {
                Reply::Error("a lab holds these links: stop the lab, or `netem heal` what you did".to_owned())
            }
        }),
    }
}

fn end_leases(shared: &Shared, leases: &[u32]) {
    let mut guard = shared.lock();
    let Some(shaping) = guard.as_mut() else { return };
    for id in leases {
        match shaping.heal(Some(*id)) {
            // Healed or expired before.
            Ok(_) | Err(ShapeError::NoFault(_)) => {}
            Err(error) => {
                tracing::warn!(fault = id, %error, "a fault whose holder is gone could not be ended");
            }
        }
    }
}
