//! The shaper of one namespace: a thread that holds each packet for as long as its link takes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::Timespec;

use super::duplicate::Duplicator;
use super::message::{Verdict, push_verdict};
use super::packet;
use super::socket::QueueSocket;
use crate::firewall::{Firewall, Rules, Target};
use crate::link::{Fate, Link};
use crate::netns::Netns;
use crate::{LinkProfile, Plan, Rule, ShapeError};

/// A queue per network that is shaped: each is worked off almost in order, which spares the kernel long searches.
const QUEUE_INBOUND: u16 = 0x5a10;
const QUEUE_INBOUND_COUNT_MAX: usize = 0xff;
/// Packets that leave, for losses in the direction that this end does not shape.
const QUEUE_OUTBOUND: u16 = QUEUE_INBOUND + 0xff;
/// Held by the kernel, per queue: 5 s of 20,000 packets a second.
const HELD_PACKETS_MAX: u32 = 100_000;
/// Both addresses of an IPv6 header.
const COPY_HEAD_BYTES: u32 = 40;
const COPY_ALL_BYTES: u32 = 0xffff;
/// Packets read before verdicts are given again.
const READ_BATCH: usize = 256;
const VERDICTS_BATCH_BYTES: usize = 16 << 10;
/// tc counts a packet with its Ethernet header; so do we.
const ETHERNET_BYTES: u32 = 14;
/// Above every node that transcodes: the shaper is the wire, and a wire is never late.
const NICE: i32 = -15;

/// A namespace that is shaped until this is dropped.
pub(crate) struct Shaper {
    /// `None` only while it starts and ends.
    firewall: Option<Firewall>,
    inbound: Vec<(IpNet, u16)>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is to do, and the bell that wakes it.
struct Orders {
    bell: OwnedFd,
    next: Mutex<Option<Order>>,
}

enum Order {
    Follow(Plan),
    Stop,
}

impl Shaper {
    /// Starts the thread; then the rules send packets to it.
    pub fn start(netns: &Netns, device: &str, plan: &Plan) -> Result<Self, ShapeError> {
        let subnets =
            plan.rules.iter().map(|rule| rule.net).filter(|net| net.prefix_len() < net.max_prefix_len());
        let inbound: Vec<(IpNet, u16)> = subnets.take(QUEUE_INBOUND_COUNT_MAX).zip(QUEUE_INBOUND..).collect();
        let queues: Vec<u16> = inbound.iter().map(|(_, queue)| *queue).chain([QUEUE_OUTBOUND]).collect();
        let (socket, duplicator) = netns.run(|| {
            let mut socket = QueueSocket::open()?;
            for queue in &queues {
                socket.bind(*queue, HELD_PACKETS_MAX, COPY_HEAD_BYTES)?;
            }
            Ok((socket, Duplicator::open()?))
        })?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?;
        let orders = Arc::new(Orders { bell, next: Mutex::new(None) });
        let mut worker = Worker::new(socket, duplicator, queues, Arc::clone(&orders));
        worker.follow(plan);
        let thread =
            std::thread::Builder::new().name("netem-shaper".to_owned()).spawn(move || worker.run())?;
        // Complete before the rules, so that a failure of theirs ends the thread by the drop.
        let mut shaper = Self { firewall: None, inbound, orders, thread: Some(thread) };
        let firewall = Firewall::install(netns, device, shaper.rules(plan))?;
        tracing::debug!(device, rules = firewall.tool(), "shaping in user space");
        shaper.firewall = Some(firewall);
        Ok(shaper)
    }

    /// Makes the namespace do what the plan says. Packets under way keep their times.
    pub fn update(&mut self, plan: &Plan) -> Result<(), ShapeError> {
        self.orders.give(Order::Follow(plan.clone()));
        let rules = self.rules(plan);
        self.firewall.as_mut().map_or(Ok(()), |firewall| firewall.set(rules))
    }

    fn rules(&self, plan: &Plan) -> Rules {
        let lossy = plan.rules.iter().filter(|rule| rule.loss_back > 0.0);
        Rules {
            inbound: self.inbound.iter().map(|(net, queue)| (*net, Target::Queue(*queue))).collect(),
            // Not Drop: where packets leave, that is an error to the sender, and the network never tells.
            outbound: lossy.map(|rule| (rule.net, Target::Queue(QUEUE_OUTBOUND))).collect(),
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
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*next, Some(Order::Stop)) {
            *next = Some(order);
        }
        drop(next);
        // A full counter rings as well.
        rustix::io::write(&self.bell, &1u64.to_ne_bytes()).ok();
    }

    fn take(&self) -> Option<Order> {
        // Empty after a wake-up by packets.
        rustix::io::read(&self.bell, &mut [0; 8]).ok();
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether this kernel and its tools can do it, tried in the namespace that is about to be shaped, on addresses that
/// nobody has (RFC 5737).
pub(crate) fn probe(netns: &Netns, device: &str) -> Result<(), String> {
    let net = IpNet::from(Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24));
    let plan = Plan { rules: vec![Rule { net, profile: LinkProfile::PERFECT, loss_back: 0.0 }] };
    Shaper::start(netns, device, &plan).map(drop).map_err(|error| error.to_string())
}

/// A packet that is under way, ordered so that a heap has the first to arrive on top, and of two at once the one that came
/// first.
#[derive(PartialEq, Eq)]
struct Held {
    at: Duration,
    sequence: u64,
    queue: u16,
    id: u32,
    /// Deliver this too.
    copy: Option<Box<[u8]>>,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The thread's own state.
struct Worker {
    socket: QueueSocket,
    duplicator: Duplicator,
    queues: Vec<u16>,
    copy_bytes: u32,
    orders: Arc<Orders>,
    /// By network, first match counts.
    links: Vec<(IpNet, Link)>,
    losses_back: Vec<(IpNet, f64)>,
    origin: Instant,
    held: BinaryHeap<Held>,
    sequence: u64,
    verdicts: Vec<u8>,
    rng: SmallRng,
}

impl Worker {
    fn new(socket: QueueSocket, duplicator: Duplicator, queues: Vec<u16>, orders: Arc<Orders>) -> Self {
        Self {
            socket,
            duplicator,
            queues,
            copy_bytes: COPY_HEAD_BYTES,
            orders,
            links: Vec::new(),
            losses_back: Vec::new(),
            origin: Instant::now(),
            held: BinaryHeap::new(),
            sequence: 0,
            verdicts: Vec::with_capacity(VERDICTS_BATCH_BYTES + 64),
            rng: SmallRng::from_os_rng(),
        }
    }

    fn run(mut self) {
        // Without the privilege it stays as it is: late by some tenths of a millisecond under load.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the shaper runs at normal priority");
        }
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            tracing::debug!(%error, "timers keep their slack");
        }
        loop {
            if let Some(order) = self.orders.take() {
                match order {
                    Order::Follow(plan) => self.follow(&plan),
                    Order::Stop => break,
                }
            }
            if let Err(error) = self.turn() {
                tracing::error!(%error, "the shaper stops; packets pass unshaped");
                return;
            }
        }
        if let Err(error) = self.release(Duration::MAX) {
            tracing::debug!(%error, "packets under way were lost");
        }
    }

    /// Waits for packets, for the next one that is due, or for an order; then reads and gives verdicts.
    fn turn(&mut self) -> io::Result<()> {
        let now = self.origin.elapsed();
        let timeout = self.held.peek().map(|first| {
            let wait = first.at.saturating_sub(now);
            Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() }
        });
        let mut fds = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::new(&self.orders.bell, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if !fds[0].revents().is_empty() {
            self.read()?;
        }
        self.release(self.origin.elapsed())
    }

    fn read(&mut self) -> io::Result<()> {
        for _ in 0..READ_BATCH {
            let now = self.origin.elapsed();
            let arrived = match self.socket.next_packet() {
                Ok(Some(arrived)) => arrived,
                Ok(None) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    tracing::debug!("more packets than the shaper can read: some were dropped");
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let (queue, id) = (arrived.queue, arrived.id);
            let fate = decide(&mut self.links, &self.losses_back, &arrived, now, &mut self.rng);
            match fate {
                Fate::Lost => push_verdict(&mut self.verdicts, queue, id, Verdict::Drop),
                Fate::Arrives { at, .. } if at <= now => {
                    push_verdict(&mut self.verdicts, queue, id, Verdict::Accept);
                }
                Fate::Arrives { at, twice } => {
                    let whole = arrived.head.len() == arrived.bytes as usize;
                    let copy = (twice && whole).then(|| arrived.head.into());
                    self.held.push(Held { at, sequence: self.sequence, queue, id, copy });
                    self.sequence += 1;
                }
            }
            self.flush(VERDICTS_BATCH_BYTES)?;
        }
        Ok(())
    }

    /// Lets go what is due by then.
    fn release(&mut self, until: Duration) -> io::Result<()> {
        while self.held.peek().is_some_and(|first| first.at <= until) {
            let Some(Held { queue, id, copy, .. }) = self.held.pop() else { break };
            push_verdict(&mut self.verdicts, queue, id, Verdict::Accept);
            self.flush(VERDICTS_BATCH_BYTES)?;
            if let Some(copy) = copy
                && let Err(error) = self.duplicator.deliver(&copy)
            {
                tracing::debug!(%error, "a duplicate was not delivered");
            }
        }
        self.flush(0)
    }

    /// Sends the verdicts, if there are more bytes of them than `above`.
    fn flush(&mut self, above: usize) -> io::Result<()> {
        if self.verdicts.len() > above {
            self.socket.send_verdicts(&self.verdicts)?;
            self.verdicts.clear();
        }
        Ok(())
    }

    /// A link whose network stays keeps its state: what is under way, its burst of losses.
    fn follow(&mut self, plan: &Plan) {
        let mut old: BTreeMap<IpNet, Link> = std::mem::take(&mut self.links).into_iter().collect();
        self.links = plan
            .rules
            .iter()
            .map(|rule| {
                let mut link = old.remove(&rule.net).unwrap_or_else(|| Link::new(rule.profile));
                link.set_profile(rule.profile);
                (rule.net, link)
            })
            .collect();
        self.losses_back = plan.rules.iter().map(|rule| (rule.net, rule.loss_back)).collect();
        let duplicates = plan.rules.iter().any(|rule| rule.profile.duplicate > 0.0);
        let copy_bytes = if duplicates { COPY_ALL_BYTES } else { COPY_HEAD_BYTES };
        if copy_bytes != self.copy_bytes {
            self.copy_bytes = copy_bytes;
            for queue in &self.queues {
                if let Err(error) = self.socket.set_copy_range(*queue, copy_bytes) {
                    tracing::warn!(queue, %error, "packets are not duplicated");
                }
            }
        }
    }
}

fn decide(
    links: &mut [(IpNet, Link)],
    losses_back: &[(IpNet, f64)],
    arrived: &super::message::Packet<'_>,
    now: Duration,
    rng: &mut SmallRng,
) -> Fate {
    let passes = Fate::Arrives { at: now, twice: false };
    let Some((source, destination)) = packet::addresses(arrived.head) else { return passes };
    if arrived.queue == QUEUE_OUTBOUND {
        let loss =
            losses_back.iter().find(|(net, _)| net.contains(&destination)).map_or(0.0, |(_, loss)| *loss);
        return if rand::Rng::random::<f64>(rng) < loss { Fate::Lost } else { passes };
    }
    match links.iter_mut().find(|(net, _)| net.contains(&source)) {
        Some((_, link)) => link.send(now, arrived.bytes + ETHERNET_BYTES, rng),
        None => passes,
    }
}
