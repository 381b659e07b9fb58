//! The one task of an overlay: socket, clock and channels on one side, the state machine on the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::TryRngCore;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::alone::Alone;
use super::contacts::Contacts;
use super::log::Log;
use super::resolve::Seeds;
use super::snapshot::Snapshot;
use super::wall::Wall;
use super::{StartError, address, errors, snapshot};
use crate::wire::DATAGRAM_BYTES_MAX;
use crate::{Config, Event, Input, Keyring, LoadSample, Output, Swim, Time, View, Viewer};

/// Datagrams taken in before anything else gets a turn.
const BURST_MAX: usize = 256;
/// Changes of load and RTT are published together at this interval; changes of membership at once.
const DETAIL_INTERVAL: Duration = Duration::from_millis(50);
/// Times before the start can be told: others' samples are older than this node.
const BEFORE: Duration = Duration::from_secs(60);
/// How often the machine's own addresses are looked at.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(2);
/// A node with seeds that is alone after so many periods says so.
const ALONE_PERIODS: u32 = 5;

/// What the handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Leave, and say when it is done.
    Leave(oneshot::Sender<()>),
    /// Use these keys from now on.
    Keys(Keyring),
}

/// What woke the task.
enum Wake {
    Readable(io::Result<tokio::io::Ready>),
    Timeout,
    Publish,
    Snapshot,
    Resolved(Vec<SocketAddr>),
    Address,
    Load,
    Command(Option<Command>),
}

pub(super) struct Task {
    swim: Swim,
    socket: UdpSocket,
    seeds: Seeds,
    contacts: Contacts,
    snapshot: Option<Snapshot>,
    /// When to look at the machine's addresses; none if its address was given.
    address_at: Option<Instant>,
    origin: Instant,
    events: broadcast::Sender<Event>,
    load: watch::Receiver<Option<LoadSample>>,
    commands: mpsc::Receiver<Command>,
    wall: Wall,
    alone: Alone,
    log: Log,
    view: watch::Sender<Arc<View>>,
    viewer: Viewer,
    published: (u64, u64),
    publish_at: Option<Instant>,
    leaving: Option<oneshot::Sender<()>>,
    gone: bool,
}

impl Task {
    pub fn new(
        config: Config,
        socket: std::net::UdpSocket,
        events: broadcast::Sender<Event>,
        load: watch::Receiver<Option<LoadSample>>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, StartError> {
        let seed = match config.rng_seed {
            Some(seed) => seed,
            None => rand::rngs::OsRng.try_next_u64().map_err(io::Error::other)?,
        };
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let start = Instant::now();
        let origin = start.checked_sub(BEFORE).unwrap_or(start);
        let swim = Swim::new(&config, seed, Time::ZERO + (start - origin));
        let mut viewer = Viewer::default();
        let view = watch::Sender::new(viewer.view(&swim, origin.into_std(), start.into_std()));
        Ok(Self {
            swim,
            socket,
            wall: Wall::default(),
            alone: Alone::new(config.timing.period() * ALONE_PERIODS),
            log: Log::default(),
            snapshot: config.snapshot.map(|path| Snapshot::new(path, config.contacts.clone(), start)),
            contacts: Contacts::new(config.contacts, config.seeds.is_empty(), config.timing.period()),
            seeds: Seeds::new(config.seeds),
            address_at: config.follow_address.then_some(start + ADDRESS_INTERVAL),
            origin,
            events,
            load,
            commands,
            view,
            viewer,
            published: (0, 0),
            publish_at: None,
            leaving: None,
            gone: false,
        })
    }

    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Runs until the node has left, or the handle is gone.
    pub async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1].into_boxed_slice();
        self.tell_wall_clock();
        self.swim.handle(self.now(), Input::Timeout);
        while let Some(timeout) = self.act() {
            // A clock that is late must not act before the answers that already wait in the socket are read.
            match self.wait(timeout).await {
                Wake::Readable(Ok(ready)) => {
                    self.receive(&mut buffer);
                    if ready.is_error() {
                        self.look_at_errors();
                    }
                }
                Wake::Readable(Err(error)) => {
                    tracing::warn!(target: "starling::overlay", %error, "gossip socket unusable");
                }
                Wake::Timeout => {
                    self.receive(&mut buffer);
                    self.log.flush(Instant::now());
                    self.tell_wall_clock();
                    self.swim.handle(self.now(), Input::Timeout);
                }
                Wake::Publish => self.publish(),
                Wake::Snapshot => self.write_snapshot(),
                Wake::Resolved(addresses) => self.on_resolved(&addresses),
                Wake::Address => self.look_at_address(),
                Wake::Load => {
                    let sample = *self.load.borrow_and_update();
                    if let Some(sample) = sample {
                        self.swim.handle(self.now(), Input::Load(sample));
                    }
                }
                Wake::Command(Some(Command::Leave(done))) => {
                    self.leaving = Some(done);
                    self.swim.handle(self.now(), Input::Leave);
                }
                Wake::Command(Some(Command::Keys(keys))) => self.swim.handle(self.now(), Input::Keys(&keys)),
                Wake::Command(None) => return,
            }
        }
        self.publish();
        if let Some(done) = self.leaving.take()
            && done.send(()).is_err()
        {
            tracing::debug!(target: "starling::overlay", "nobody waits for the farewell any more");
        }
    }

    async fn wait(&mut self, timeout: Time) -> Wake {
        let timeout = self.origin + timeout.since(Time::ZERO);
        tokio::select! {
            // The socket comes last and loses nothing by it: a timeout drains it first. The other way round, a flood
            // would keep the timers from running.
            biased;
            command = self.commands.recv() => Wake::Command(command),
            Ok(()) = self.load.changed() => Wake::Load,
            addresses = self.seeds.next() => Wake::Resolved(addresses),
            () = sleep_until(self.publish_at) => Wake::Publish,
            () = sleep_until(self.address_at) => Wake::Address,
            () = Snapshot::due(self.snapshot.as_mut()) => Wake::Snapshot,
            () = tokio::time::sleep_until(timeout) => Wake::Timeout,
            ready = self.socket.ready(Interest::READABLE | Interest::ERROR) => Wake::Readable(ready),
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn tell_wall_clock(&mut self) {
        if let Some(told) = self.wall.due(Instant::now()) {
            self.swim.handle(self.now(), Input::WallClock(told));
        }
    }

    /// Tells the state machine addresses of the seeds, and the log's reader if none of the seeds answers.
    fn on_resolved(&mut self, addresses: &[SocketAddr]) {
        // Before the seeds hear of it.
        self.look_at_address();
        self.swim.handle(self.now(), Input::Seeds(addresses));
        let now = Instant::now();
        let alone = self.swim.live() == 1;
        let at = self.now();
        let contacts = self.contacts.tried_now(now, alone);
        if !contacts.is_empty() {
            self.swim.handle(at, Input::Contacts(contacts));
        }
        let own = self.swim.identity().gossip;
        let others: Vec<_> = self.seeds.addresses().into_iter().filter(|address| *address != own).collect();
        let alone = alone && !self.seeds.is_empty();
        self.alone.tell(now, alone, &self.seeds.names(), &others, self.seeds.all_resolve());
    }

    /// Looks whether this node is still, or by what is known of the others now, best reached where it says.
    fn look_at_address(&mut self) {
        if self.address_at.is_none() {
            return;
        }
        self.address_at = Some(Instant::now() + ADDRESS_INTERVAL);
        let current = self.swim.identity().gossip;
        let live = self.swim.peers().filter(|peer| peer.is_live()).map(|peer| peer.identity.gossip.ip());
        let seeds = self.seeds.addresses();
        let targets: Vec<IpAddr> = seeds.iter().map(SocketAddr::ip).chain(live).collect();
        if address::is_good(current.ip(), &targets) {
            return;
        }
        let bound = self.socket.local_addr().map_or(current.ip(), |bound| bound.ip());
        // A machine that has lost its addresses gets another one soon; until then the old one is as good as any.
        let Some(found) = address::find(bound, &targets).filter(|found| *found != current.ip()) else {
            return;
        };
        let gossip = SocketAddr::new(found, current.port());
        tracing::warn!(
            target: "starling::overlay",
            from = %current,
            to = %gossip,
            "this node's address has changed, and the others are told; give --advertise if it should be another one"
        );
        self.swim.handle(self.now(), Input::Address(gossip));
    }

    /// Reads what has arrived, within reason.
    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BURST_MAX {
            match self.socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    let bytes = &mut buffer[..length];
                    self.swim.handle(self.now(), Input::Datagram { from, bytes });
                    if let Some(error) = self.swim.rejected() {
                        self.log.ignored(Instant::now(), from, error);
                    }
                    if self.act().is_none() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(target: "starling::overlay", %error, "receiving a datagram");
                }
            }
        }
    }

    /// Tells the state machine who refused its datagrams.
    fn look_at_errors(&mut self) {
        for _ in 0..BURST_MAX {
            match errors::next_refused(&self.socket) {
                Ok(Some(address)) => {
                    self.alone.refused(address);
                    self.swim.handle(self.now(), Input::Refused(address));
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(target: "starling::overlay", %error, "reading the socket's errors");
                    return;
                }
            }
        }
    }

    /// Does what the state machine asks for; its next timeout, or none once it is gone.
    fn act(&mut self) -> Option<Time> {
        loop {
            match self.swim.poll() {
                Output::Send { to, bytes } => self.send(to, bytes),
                Output::Event(event) => {
                    self.log.event(Instant::now(), &event);
                    // An error means that nobody has subscribed, which is fine.
                    drop(self.events.send(event));
                }
                Output::Resolve => self.seeds.begin(Instant::now()),
                Output::Gone => self.gone = true,
                Output::Timeout(at) => {
                    self.plan_publication();
                    return (!self.gone).then_some(at);
                }
            }
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        // A full buffer drops the datagram, as any router on the way may; the protocol repeats what matters.
        // The first error after a refusal is about an earlier datagram, and this one was not sent.
        let sent = match self.socket.try_send_to(&bytes, to) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.try_send_to(&bytes, to)
            }
            sent => sent,
        };
        if let Err(error) = sent {
            tracing::debug!(target: "starling::overlay", %to, %error, "sending a datagram");
        }
        self.swim.recycle(bytes);
    }

    fn plan_publication(&mut self) {
        let current = (self.swim.membership_version(), self.swim.detail_version());
        if current.0 != self.published.0 {
            self.publish();
        } else if current.1 != self.published.1 && self.publish_at.is_none() {
            self.publish_at = Some(Instant::now() + DETAIL_INTERVAL);
        }
    }

    /// Keeps the addresses of live members and the cluster's id, if they may have changed.
    fn write_snapshot(&mut self) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let version = self.swim.membership_version();
        let live = self.swim.peers().filter(|peer| peer.is_live());
        let contacts: Vec<_> = live.map(|peer| peer.identity.gossip).take(snapshot::CONTACTS_MAX).collect();
        snapshot.keep(version, self.swim.cluster(), contacts);
    }

    fn publish(&mut self) {
        self.publish_at = None;
        self.published = (self.swim.membership_version(), self.swim.detail_version());
        let view = self.viewer.view(&self.swim, self.origin.into_std(), Instant::now().into_std());
        self.view.send_replace(view);
    }
}

/// Ends at that time; never, if there is none.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
