//! The shaper's thread: holds each packet for as long as its link takes, and sleeps until the next one comes or is due.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;

use super::duplicate::Duplicator;
use super::message::{Verdict, push_verdict};
use super::packet;
use super::shaper::{COPY_HEAD_BYTES, Order, Orders, QUEUE_ECHO, QUEUE_OUTBOUND};
use super::socket::QueueSocket;
use crate::command::Tool;
use crate::link::{Fate, Link};
use crate::plan::Plans;
use crate::{LinkProfile, Plan};

const COPY_ALL_BYTES: u32 = 0xffff;
const CHRT: Tool = Tool { name: "chrt", package: "util-linux" };
/// Packets read before verdicts are given again.
const READ_BATCH: usize = 256;
const VERDICTS_BATCH_BYTES: usize = 16 << 10;
/// tc counts a packet with its Ethernet header; so do we.
const ETHERNET_BYTES: u32 = 14;
/// Where real-time priority can't be had.
const NICE: i32 = -15;

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
pub(super) struct Worker {
    socket: QueueSocket,
    duplicator: Option<Duplicator>,
    queues: Vec<u16>,
    copy_bytes: u32,
    orders: Arc<Orders>,
    /// By source; first match counts.
    links: Vec<(IpNet, Link)>,
    /// By destination, for pings.
    echo_links: Vec<(IpNet, Link)>,
    losses_back: Vec<(IpNet, f64)>,
    origin: Instant,
    held: BinaryHeap<Held>,
    sequence: u64,
    verdicts: Vec<u8>,
    rng: SmallRng,
}

impl Worker {
    pub fn new(
        socket: QueueSocket,
        duplicator: Option<Duplicator>,
        queues: Vec<u16>,
        orders: Arc<Orders>,
    ) -> Self {
        Self {
            socket,
            duplicator,
            queues,
            copy_bytes: COPY_HEAD_BYTES,
            orders,
            links: Vec::new(),
            echo_links: Vec::new(),
            losses_back: Vec::new(),
            origin: Instant::now(),
            held: BinaryHeap::new(),
            sequence: 0,
            verdicts: Vec::with_capacity(VERDICTS_BATCH_BYTES + 64),
            rng: SmallRng::from_os_rng(),
        }
    }

    pub fn run(mut self) {
        be_punctual();
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            tracing::debug!(%error, "timers keep their slack");
        }
        loop {
            if let Some(order) = self.orders.take() {
                match order {
                    Order::Follow(plans, followed) => {
                        self.follow(&plans);
                        // Nobody waits any more, if this fails.
                        followed.send(()).ok();
                    }
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
            let fate = match packet::addresses(arrived.head) {
                // Not an IP packet: no rule sends such.
                None => Fate::Arrives { at: now, twice: false },
                Some((_, destination)) if queue == QUEUE_OUTBOUND => {
                    leave(&self.losses_back, destination, now, &mut self.rng)
                }
                Some((source, destination)) => {
                    let (links, other) = match queue {
                        QUEUE_ECHO => (&mut self.echo_links, destination),
                        _ => (&mut self.links, source),
                    };
                    travel(links, other, arrived.bytes, now, &mut self.rng)
                }
            };
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
            if let (Some(copy), Some(duplicator)) = (copy, &self.duplicator)
                && let Err(error) = duplicator.deliver(&copy)
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

    pub fn follow(&mut self, plans: &Plans) {
        renew(&mut self.links, &plans.ingress, |rule| rule.profile);
        // Pings are shaped on one way only, so they feel the losses of both there.
        renew(&mut self.echo_links, &plans.egress, |rule| LinkProfile {
            loss: 1.0 - (1.0 - rule.profile.loss) * (1.0 - rule.loss_back),
            ..rule.profile
        });
        self.losses_back = plans.ingress.rules.iter().map(|rule| (rule.net, rule.loss_back)).collect();
        let duplicates = plans.ingress.rules.iter().any(|rule| rule.profile.duplicate > 0.0);
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

/// A link whose network stays keeps its state: what is under way, its burst of losses.
fn renew(links: &mut Vec<(IpNet, Link)>, plan: &Plan, profile: impl Fn(&crate::Rule) -> LinkProfile) {
    let mut old: BTreeMap<IpNet, Link> = std::mem::take(links).into_iter().collect();
    links.extend(plan.rules.iter().map(|rule| {
        let mut link = old.remove(&rule.net).unwrap_or_else(|| Link::new(profile(rule)));
        link.set_profile(profile(rule));
        (rule.net, link)
    }));
}

/// The shaper is the wire, and a wire is never late: it goes before everything that transcodes. By `chrt`, since that takes no
/// unsafe code, and the limit `RLIMIT_RTPRIO` lets it where this process has no privilege of its own.
fn be_punctual() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let Err(error) = CHRT.run(&["--rr", "--pid", "1", &thread], "") else { return };
    tracing::debug!(%error, "the shaper has no real-time priority: it is late when the machine is busy");
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "the shaper has normal priority");
    }
}

fn travel(links: &mut [(IpNet, Link)], other: IpAddr, bytes: u32, now: Duration, rng: &mut SmallRng) -> Fate {
    match links.iter_mut().find(|(net, _)| net.contains(&other)) {
        Some((_, link)) => link.send(now, bytes + ETHERNET_BYTES, rng),
        None => Fate::Arrives { at: now, twice: false },
    }
}

fn leave(losses: &[(IpNet, f64)], destination: IpAddr, now: Duration, rng: &mut SmallRng) -> Fate {
    let loss = losses.iter().find(|(net, _)| net.contains(&destination)).map_or(0.0, |(_, loss)| *loss);
    if rng.random::<f64>() < loss { Fate::Lost } else { Fate::Arrives { at: now, twice: false } }
}
