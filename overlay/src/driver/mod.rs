//! Runs the state machine over one UDP socket, inside a tokio runtime.

mod address;
mod alone;
mod contacts;
mod errors;
mod lines;
mod log;
mod pace;
mod resolve;
mod snapshot;
mod socket;
mod task;
mod wall;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRngCore;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::task::{Command, Task};
use crate::config::CLUSTER_NAME_BYTES_MAX;
use crate::{ClusterId, ClusterIdentity, Config, Event, Keyring, LoadSample, View};

/// Events kept for a subscriber that is slow; beyond it, it is told how many it missed.
const EVENTS_KEPT: usize = 1_024;
/// Commands waiting for the driver.
const COMMANDS_MAX: usize = 8;

/// A node's membership in its cluster. Dropping it stops the node without a farewell: to the others it fails.
#[derive(Debug)]
pub struct Overlay {
    view: watch::Receiver<Arc<View>>,
    events: broadcast::Sender<Event>,
    /// All events since the start, until it is asked for.
    from_start: Option<broadcast::Receiver<Event>>,
    load: watch::Sender<Option<LoadSample>>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

/// Takes a node's load samples, to ride on its pings and acks.
#[derive(Clone, Debug)]
pub struct LoadPublisher(watch::Sender<Option<LoadSample>>);

impl LoadPublisher {
    /// Takes the newest sample. Never blocks; the newest one wins, also when the overlay has stopped.
    pub fn publish(&self, sample: LoadSample) {
        self.0.send_replace(Some(sample));
    }
}

/// Why an overlay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Other nodes could not reach this one.
    #[error("{0} is not an address that other nodes can send to: give the address to advertise")]
    Unreachable(SocketAddr),
    /// The cluster's name is empty or too long.
    #[error("a cluster's name has 1 to {CLUSTER_NAME_BYTES_MAX} bytes, not {0}")]
    ClusterName(usize),
    /// The socket can't be used.
    #[error("cannot use the gossip socket: {0}")]
    Socket(#[from] io::Error),
}

impl Config {
    /// Sets where the last known members and the id of their cluster are kept, and reads what they were. Where there is no id, or
    /// it can't be read, a fresh one is made. Reads a file: not for a runtime's threads.
    pub fn read_snapshot(&mut self, path: PathBuf) -> io::Result<()> {
        let read = snapshot::read(&path);
        let file = path.display().to_string();
        self.snapshot = Some(path);
        let known = read.as_ref().ok().and_then(|kept| kept.cluster);
        self.cluster_identity = Some(match known {
            Some(known) => known,
            None => {
                ClusterIdentity::fresh(ClusterId(rand::rngs::OsRng.try_next_u64().map_err(io::Error::other)?))
            }
        });
        let kept = read?;
        if let Some(line) = kept.damaged {
            tracing::warn!(
                target: "starling::overlay",
                file,
                line,
                new_cluster_id = known.is_none(),
                "the file of the members last known is damaged, and what can be read of it is used; a cluster's id that \
                 can't be read is made anew"
            );
        }
        self.contacts = kept.contacts;
        Ok(())
    }
}

impl Overlay {
    /// A UDP socket for gossip, with buffers large enough for a burst. Port 0 takes any free one.
    pub fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
        socket::bind(address)
    }

    /// The address of this machine that the nodes at `targets` best reach a socket bound to `bound` at, where that is no
    /// address in particular: one that is not loopback, of their family. None if the machine has loopback alone. Sends
    /// nothing.
    pub fn find_address(bound: IpAddr, targets: &[IpAddr]) -> Option<IpAddr> {
        address::find(bound, targets)
    }

    /// Starts a node on a socket made by [`Self::bind`]. Must be called inside a tokio runtime; the task that it
    /// spawns ends with [`Self::leave`] or when the overlay is dropped.
    pub fn start(config: Config, socket: std::net::UdpSocket) -> Result<Self, StartError> {
        let gossip = config.identity.gossip;
        if gossip.port() == 0 || gossip.ip().is_unspecified() || gossip.ip().is_multicast() {
            return Err(StartError::Unreachable(gossip));
        }
        if !(1..=CLUSTER_NAME_BYTES_MAX).contains(&config.cluster.len()) {
            return Err(StartError::ClusterName(config.cluster.len()));
        }
        if config.keys.is_none() && !gossip.ip().is_loopback() {
            tracing::warn!(
                target: "starling::overlay",
                %gossip,
                "no key: anyone who can send datagrams to this address can join the cluster and mislead it; \
                 make a key with `starling key new` and give it to every node with --key-file"
            );
        }
        let (events, from_start) = broadcast::channel(EVENTS_KEPT);
        let (load, load_receiver) = watch::channel(None);
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let task = Task::new(config, socket, events.clone(), load_receiver, command_receiver)?;
        let view = task.view();
        let task = tokio::spawn(task.run());
        Ok(Self { view, events, from_start: Some(from_start), load, commands, task })
    }

    /// The membership as this node sees it; changes are published within some tens of milliseconds.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Where this node's load samples go in.
    pub fn load_publisher(&self) -> LoadPublisher {
        LoadPublisher(self.load.clone())
    }

    /// Changes the keys of a running node; it must have been started with some.
    pub async fn set_keys(&self, keys: Keyring) {
        if self.commands.send(Command::Keys(keys)).await.is_err() {
            tracing::warn!(target: "starling::overlay", "the overlay has stopped: its keys stay as they were");
        }
    }

    /// Events since the start, the first time that this is called; then those from now on.
    pub fn events_from_start(&mut self) -> broadcast::Receiver<Event> {
        self.from_start.take().unwrap_or_else(|| self.events.subscribe())
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells several members that this node leaves, then stops; gives up telling after `timeout`.
    pub async fn leave(mut self, timeout: Duration) {
        let (done, told) = oneshot::channel();
        if self.commands.send(Command::Leave(done)).await.is_ok() {
            // Either it was told, or the time is up, or the driver is gone: in each case the node stops now.
            if tokio::time::timeout(timeout, told).await.is_err() {
                tracing::warn!(target: "starling::overlay", ?timeout, "left without having told the others");
            }
        }
        self.task.abort();
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            tracing::error!(target: "starling::overlay", %error, "overlay task panicked");
        }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
