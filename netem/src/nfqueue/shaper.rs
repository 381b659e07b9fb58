//! The shaper of one namespace: a thread (`worker`), and the rules that send packets to it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

use super::duplicate::Duplicator;
use super::socket::QueueSocket;
use super::worker::Worker;
use crate::firewall::{Firewall, Packets, Rule, Rules, Target};
use crate::netns::Netns;
use crate::plan::Plans;
use crate::{LinkProfile, Plan, ShapeError};

/// A queue per network that is shaped: each is worked off almost in order, which spares the kernel long searches.
const QUEUE_INBOUND: u16 = 0x5a10;
const QUEUE_INBOUND_COUNT_MAX: usize = 0xfe;
/// Pings that leave. `ping` goes by the kernel's time of arrival, which is taken before the INPUT hook, so it would not see
/// what is held there; and no sender of pings is throttled by what it has under way.
pub(super) const QUEUE_ECHO: u16 = QUEUE_INBOUND + 0xfe;
/// Other packets that leave, for losses in the direction that this end does not shape.
pub(super) const QUEUE_OUTBOUND: u16 = QUEUE_INBOUND + 0xff;
/// Held by the kernel, per queue: 5 s of 20,000 packets a second.
const HELD_PACKETS_MAX: u32 = 100_000;
/// The thread answers between two batches of packets.
const FOLLOW_TIME_MAX: Duration = Duration::from_secs(2);
/// Both addresses of an IPv6 header.
pub(super) const COPY_HEAD_BYTES: u32 = 40;

/// A namespace that is shaped until this is dropped.
pub(crate) struct Shaper {
    /// `None` only while it starts and ends.
    firewall: Option<Firewall>,
    inbound: Vec<(IpNet, u16)>,
    can_duplicate: bool,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is to do, and the bell that wakes it.
pub(super) struct Orders {
    pub bell: OwnedFd,
    next: Mutex<Option<Order>>,
}

pub(super) enum Order {
    /// And say when it is so.
    Follow(Plans, SyncSender<()>),
    Stop,
}

impl Shaper {
    /// Starts the thread; then the rules send packets to it.
    pub fn start(netns: &Netns, device: &str, plans: &Plans) -> Result<Self, ShapeError> {
        let subnets = plans
            .ingress
            .rules
            .iter()
            .map(|rule| rule.net)
            .filter(|net| net.prefix_len() < net.max_prefix_len());
        let inbound: Vec<(IpNet, u16)> = subnets.take(QUEUE_INBOUND_COUNT_MAX).zip(QUEUE_INBOUND..).collect();
        let queues: Vec<u16> =
            inbound.iter().map(|(_, queue)| *queue).chain([QUEUE_ECHO, QUEUE_OUTBOUND]).collect();
        let (socket, duplicator) = netns.run(|| {
            let mut socket = QueueSocket::open()?;
            for queue in &queues {
                socket.bind(*queue, HELD_PACKETS_MAX, COPY_HEAD_BYTES)?;
            }
            Ok((socket, Duplicator::open().ok()))
        })?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?;
        let orders = Arc::new(Orders { bell, next: Mutex::new(None) });
        let can_duplicate = duplicator.is_some();
        let mut worker = Worker::new(socket, duplicator, queues, Arc::clone(&orders));
        worker.follow(plans);
        let thread =
            std::thread::Builder::new().name("netem-shaper".to_owned()).spawn(move || worker.run())?;
        // Complete before the rules, so that a failure of theirs ends the thread by the drop.
        let mut shaper = Self { firewall: None, inbound, can_duplicate, orders, thread: Some(thread) };
        let firewall = Firewall::install(netns, device, shaper.rules(plans))?;
        tracing::debug!(device, rules = firewall.tool(), "shaping in user space");
        shaper.firewall = Some(firewall);
        Ok(shaper)
    }

    /// Makes the namespace do what the plan says. Packets under way keep their times.
    pub fn update(&mut self, plans: &Plans) -> Result<(), ShapeError> {
        if !self.can_duplicate && plans.ingress.rules.iter().any(|rule| rule.profile.duplicate > 0.0) {
            let message = "duplicates need the capability NET_RAW (Docker: cap_add)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message).into());
        }
        let (followed, done) = sync_channel(1);
        self.orders.give(Order::Follow(plans.clone(), followed));
        done.recv_timeout(FOLLOW_TIME_MAX).map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the shaper has stopped, and packets pass unshaped; see its log",
            )
        })?;
        let rules = self.rules(plans);
        self.firewall.as_mut().map_or(Ok(()), |firewall| firewall.set(rules))
    }

    fn rules(&self, plans: &Plans) -> Rules {
        // Neighbours are found on the wire itself, as by ARP: that is no zone's business.
        let pass = [IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())]
            .map(|any| Rule::new(any, Packets::EchoAndNeighbours, Target::Pass));
        let waits = |(net, queue): &(IpNet, u16)| Rule::new(*net, Packets::All, Target::Queue(*queue));
        let pings = |(net, _): &(IpNet, u16)| Rule::new(*net, Packets::Echo, Target::Queue(QUEUE_ECHO));
        // Not Drop: where packets leave, that is an error to the sender, and the network never tells.
        let lossy = plans.ingress.rules.iter().filter(|rule| rule.loss_back > 0.0);
        let lossy = lossy.map(|rule| Rule::new(rule.net, Packets::All, Target::Queue(QUEUE_OUTBOUND)));
        Rules {
            inbound: pass.into_iter().chain(self.inbound.iter().map(waits)).collect(),
            outbound: self.inbound.iter().map(pings).chain(lossy).collect(),
        }
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        // No new packets; then those that are held go on.
        self.firewall.take();
        self.orders.give(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the shaper's thread has panicked");
        }
    }
}

impl Orders {
    /// The newest plan wins; a stop stays.
    fn give(&self, order: Order) {
        let mut next = self.next.lock();
        if !matches!(*next, Some(Order::Stop)) {
            *next = Some(order);
        }
        drop(next);
        // A full counter rings as well.
        rustix::io::write(&self.bell, &1u64.to_ne_bytes()).ok();
    }

    pub fn take(&self) -> Option<Order> {
        // Empty after a wake-up by packets.
        rustix::io::read(&self.bell, &mut [0; 8]).ok();
        self.next.lock().take()
    }
}

/// Whether this kernel and its tools can do it, tried in the namespace that is about to be shaped, on addresses that
/// nobody has (RFC 5737).
pub(crate) fn probe(netns: &Netns, device: &str) -> Result<(), String> {
    let net = IpNet::from(Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24));
    let rule = crate::Rule { net, profile: LinkProfile::PERFECT, loss_back: 0.0 };
    let plans = Plans { ingress: Plan { rules: vec![rule] }, egress: Plan::default() };
    Shaper::start(netns, device, &plans).map(drop).map_err(|error| error.to_string())
}
