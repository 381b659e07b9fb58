//! Links for what goes over HTTP: delay, rate, and losses as TCP makes of them: time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use starling_overlay::sim::Topology;

use super::process::Process;
use crate::journey::clock;

/// A node's own card, where a link has no rate.
pub(super) const CARD_BITS_PER_S: u64 = 1_000_000_000;
/// Least of a body that is sent at a time, and in how many pieces it goes at the most.
const PIECE_BYTES_MIN: u64 = 256 * 1024;
const PIECES_MAX: u64 = 8;
/// TCP sends again what is lost after at least so long (RFC 6298 as Linux has it), each time after twice the time, up to this here.
const RETRANSMITTED_AFTER: Duration = Duration::from_millis(200);
const RETRANSMITTED_AFTER_MAX: Duration = Duration::from_secs(3);
/// A connection at rest for so long is closed, and the next question opens another one: a round trip more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct State {
    topology: Topology,
    rng: StdRng,
    /// When the line from one node to another is free.
    free: BTreeMap<(usize, usize), Instant>,
    /// When the last question went from one node to another.
    asked: BTreeMap<(usize, usize), Instant>,
    /// Which part of a divided network each node is in.
    islands: Vec<u32>,
    /// Part of the packets that is lost, beyond what links lose.
    loss: f64,
}

/// The network. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<Mutex<State>>);

impl Network {
    pub fn new(topology: Topology, nodes: usize, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            topology,
            rng: StdRng::seed_from_u64(seed),
            free: BTreeMap::new(),
            asked: BTreeMap::new(),
            islands: vec![0; nodes],
            loss: 0.0,
        })))
    }

    /// Cuts the network in two: these nodes, and the others.
    pub fn divide(&self, side: &[usize]) {
        let mut state = self.0.lock();
        state.islands.fill(0);
        for node in side {
            state.islands[*node] = 1;
        }
    }

    /// Every link loses this part more than it does by itself.
    pub fn lose(&self, loss: f64) {
        self.0.lock().loss = loss;
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        let state = self.0.lock();
        state.islands[from] != state.islands[to]
    }

    /// There and back, without anything on the way.
    pub fn rtt(&self, a: usize, b: usize) -> Duration {
        let state = self.0.lock();
        state.link(a, b).delay + state.link(b, a).delay
    }

    /// Seconds that so many bytes keep the line from one node to another.
    pub fn seconds(&self, from: usize, to: usize, bytes: u64) -> f64 {
        self.0.lock().on_line(from, to, bytes).as_secs_f64()
    }

    /// A small message goes from one node to another; ends when it is there. While there is no way it is sent again and again.
    pub async fn message(&self, from: usize, to: usize) {
        let mut again = RETRANSMITTED_AFTER;
        while self.loses(from, to) {
            tokio::time::sleep(again).await;
            again = (again * 2).min(RETRANSMITTED_AFTER_MAX);
        }
        let delay = self.0.lock().link(from, to).delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// A question is going to go from one node to another: opens a connection, if none is open.
    pub async fn connect(&self, from: usize, to: usize) {
        let now = clock::now();
        let before = self.0.lock().asked.insert((from, to), now);
        if before.is_none_or(|before| now.saturating_duration_since(before) > IDLE_TIMEOUT) {
            self.message(from, to).await;
            self.message(to, from).await;
        }
    }

    /// A body goes from one node to another, in pieces which share the line with others. `moves` is told of each that has come.
    /// Nothing comes while the process at the other end is stopped.
    pub async fn body(
        &self,
        (from, to): (usize, usize),
        bytes: u64,
        other: &Process,
        mut moves: impl FnMut(u64) + Send,
    ) {
        let piece = bytes.div_ceil(PIECES_MAX).max(PIECE_BYTES_MIN);
        let mut left = bytes;
        while left > 0 {
            other.runs().await;
            let now = piece.min(left);
            let at = self.0.lock().take_line(from, to, now, clock::now());
            clock::sleep_until(at).await;
            let mut again = RETRANSMITTED_AFTER;
            while self.loses(from, to) {
                tokio::time::sleep(again).await;
                again = (again * 2).min(RETRANSMITTED_AFTER_MAX);
            }
            moves(now);
            left -= now;
        }
        let delay = self.0.lock().link(from, to).delay;
        tokio::time::sleep(delay).await;
    }

    fn loses(&self, from: usize, to: usize) -> bool {
        let mut state = self.0.lock();
        let loss = state.link(from, to).loss.max(state.loss);
        state.islands[from] != state.islands[to] || (loss > 0.0 && state.rng.random_bool(loss.min(1.0)))
    }
}

impl State {
    fn link(&self, from: usize, to: usize) -> starling_overlay::sim::LinkProfile {
        let zones = self.topology.zones.len();
        self.topology.links[from % zones][to % zones]
    }

    fn on_line(&self, from: usize, to: usize, bytes: u64) -> Duration {
        let rate = self.link(from, to).rate.unwrap_or(CARD_BITS_PER_S).max(1);
        Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64)
    }

    /// When the last bit of this has left.
    fn take_line(&mut self, from: usize, to: usize, bytes: u64, now: Instant) -> Instant {
        let takes = self.on_line(from, to, bytes);
        let free = self.free.entry((from, to)).or_insert(now);
        *free = now.max(*free) + takes;
        *free
    }
}
