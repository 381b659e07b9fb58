//! The protocol as a state machine: no I/O, no clock, no thread.
//!
//! Drive it like this, always in this order:
//!
//! 1. [`Swim::handle`] one [`Input`], with the time now;
//! 2. [`Swim::poll`] until it answers [`Output::Timeout`], doing what each output says;
//! 3. wait for the next input, at most until that time; when it has come, the input is [`Input::Timeout`].
//!
//! Hand over datagrams that have already arrived before a timeout: a node that was held up must look at the answers
//! that wait for it before it draws conclusions from their absence.

mod audit;
mod belief;
mod cluster;
mod converge;
mod flaps;
mod hosts;
mod identity;
mod io;
mod join;
mod learn;
mod load;
mod moves;
mod path;
mod probe;
mod receive;
mod relay;
mod send;
mod silence;
mod strangers;
mod suspect;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod timing;
mod told;
mod watch;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::belief::WallClock;
use self::cluster::Cluster;
use self::converge::Disturbance;
use self::flaps::Flaps;
use self::hosts::Hosts;
use self::identity::Conflict;
pub use self::io::{Input, Output};
use self::load::LoadDesk;
pub(crate) use self::path::Path;
use self::probe::Probe;
use self::relay::Relay;
use self::silence::RollCall;
use self::strangers::Strangers;
use self::suspect::Suspicion;
use self::timers::{Timer, Timers};
use self::watch::Watch;
use crate::config::Params;
use crate::event::Subject;
use crate::gossip::{GossipQueue, News};
use crate::health::{Backlog, LocalHealth, LossEstimate};
use crate::members::{Members, Slot};
use crate::pings::{Pings, Purpose};
use crate::wire::{Lists, Seal};
use crate::{
    BootEpoch, Config, Coordinate, DecodeError, Event, Identity, Incarnation, LoadSample, NodeKey, Parts,
    Stats, Time,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Leaving { rounds: u8 },
    Gone,
}

/// One node's part of the protocol.
pub struct Swim {
    now: Time,
    wall: WallClock,
    params: Params,
    parts: Parts,
    cluster: Box<str>,
    cluster_identity: Cluster,
    seal: Seal,
    /// Version of the datagram that is being answered.
    asked_in: Option<u8>,
    /// Where the datagram in hand came from, and how many bytes may still be sent there because of it.
    source: Option<(SocketAddr, usize)>,
    rng: ChaCha8Rng,

    me: Arc<Identity>,
    key: NodeKey,
    incarnation: Incarnation,
    load: Option<(LoadSample, Time)>,
    coordinate: Coordinate,
    /// Whose RTTs were measured last.
    measured: VecDeque<Slot>,
    phase: Phase,
    conflict: Option<Conflict>,
    conflict_told: Option<Time>,
    /// When a node that spoke with this node's name was last pinged for it.
    namesake_asked: Option<Time>,
    /// When a member with another protocol period was last told of.
    other_timing_told: Option<Time>,
    /// Where this node was before, in this boot: what is said of it there is old news.
    former: VecDeque<SocketAddr>,

    members: Members,
    gossip: GossipQueue,
    load_desk: LoadDesk,
    suspicions: BTreeMap<Slot, Suspicion>,

    flaps: Flaps,
    strangers: Strangers,
    hosts: Hosts,
    pings: Pings,
    /// This node's part in the digest of the live set, and the boot that it is for: it stands in each datagram.
    own_part: Cell<Option<(BootEpoch, u64)>>,
    probes: Vec<Probe>,
    relays: VecDeque<Relay>,
    /// Who last got an answer for this node that it did not get itself.
    relayed_by: Option<NodeKey>,
    watch: Watch,
    /// Newcomers whose RTT is to be measured soon.
    measure: VecDeque<Slot>,
    /// The round-robin and the next place in it.
    round: Vec<Slot>,
    round_next: usize,
    health: LocalHealth,
    backlog: Backlog,
    loss: LossEstimate,

    has_seeds: bool,
    join_tries: u32,
    /// Times that the seeds' addresses were tried.
    knocks: u32,
    disturbance: Disturbance,
    /// Who has shown since the last change to hold the same live set.
    witnesses: BTreeSet<Slot>,
    /// Where among the seeds' addresses the next look at them begins, if they are too many for one.
    seeds_from: usize,
    /// Where members were that died and are forgotten.
    lost: VecDeque<SocketAddr>,
    /// Which member was last seen at a seed's address.
    seen_at: BTreeMap<SocketAddr, NodeKey>,

    timers: Timers,
    /// The next timeout, as it was last told; none once anything has come in since.
    due: Option<Time>,
    gossiped: Time,
    /// No reconciliation is begun before this.
    sync_next: Time,
    /// When this node last woke from being held up; RTTs of pings sent before are meaningless.
    thawed: Time,
    /// When any member was last heard of.
    heard: Time,
    /// Who was heard last, the last one first; at most [`silence::HEARD_LAST_MAX`].
    heard_last: VecDeque<Slot>,
    roll_call: RollCall,
    outputs: VecDeque<Output>,
    spare: Vec<Vec<u8>>,
    /// Kept for their allocations: what goes into a datagram, and lists decoded from one.
    told: Vec<News>,
    lists: Lists<'static>,
    stats: Stats,
    /// Why the last datagram was ignored, if it was.
    rejected: Option<DecodeError>,
    membership_version: u64,
    detail_version: u64,
}

/// Buffers kept for reuse.
const SPARE_MAX: usize = 64;

impl Swim {
    /// A node that starts now. `seed` makes all its random choices.
    pub fn new(config: &Config, seed: u64, now: Time) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let params = Params::new(config.timing);
        let mut timers = Timers::default();
        // Nodes that start together must not ping in step for ever.
        timers.set(Timer::Period, now + params.period.mul_f64(rng.random_range(0.0..1.0)));
        timers.set(Timer::Forget, now + params.forget() / 10);
        timers.set(Timer::Converge, now + params.rest());
        let has_seeds = !config.seeds.is_empty() || !config.contacts.is_empty();
        if has_seeds {
            timers.set(Timer::Join, now);
        }
        // Of two numbers, so that the seeds of older simulations make the same choices still.
        let (pings_key, _): (u64, u64) = rng.random();
        Self {
            now,
            wall: WallClock::new(config.identity.boot, now),
            params,
            parts: config.parts,
            seal: Seal::new(&config.cluster, config.keys.as_ref(), config.identity.versions),
            asked_in: None,
            source: None,
            cluster: config.cluster.clone().into(),
            cluster_identity: Cluster::new(config.cluster_identity, now),
            me: Arc::new(config.identity.clone()),
            key: NodeKey::of(&config.identity.name),
            incarnation: Incarnation(0),
            load: None,
            coordinate: Coordinate::default(),
            measured: VecDeque::new(),
            phase: Phase::Running,
            conflict: None,
            conflict_told: None,
            namesake_asked: None,
            other_timing_told: None,
            former: VecDeque::new(),
            members: Members::new(config.identity.zone.clone()),
            gossip: GossipQueue::default(),
            load_desk: LoadDesk::default(),
            suspicions: BTreeMap::new(),
            flaps: Flaps::default(),
            strangers: Strangers::default(),
            hosts: Hosts::default(),
            pings: Pings::new(pings_key),
            own_part: Cell::default(),
            probes: Vec::new(),
            relays: VecDeque::new(),
            relayed_by: None,
            watch: Watch::default(),
            measure: VecDeque::new(),
            round: Vec::new(),
            round_next: 0,
            health: LocalHealth::default(),
            backlog: Backlog::default(),
            loss: LossEstimate::default(),
            has_seeds,
            join_tries: 0,
            knocks: 0,
            disturbance: Disturbance::begun(now),
            witnesses: BTreeSet::new(),
            seeds_from: 0,
            lost: VecDeque::new(),
            seen_at: BTreeMap::new(),
            timers,
            due: None,
            gossiped: now,
            sync_next: now,
            thawed: now,
            heard: now,
            heard_last: VecDeque::new(),
            roll_call: RollCall::default(),
            outputs: VecDeque::new(),
            spare: Vec::new(),
            told: Vec::new(),
            lists: Lists::default(),
            stats: Stats::default(),
            rejected: None,
            membership_version: 0,
            detail_version: 0,
            rng,
        }
    }

    /// Takes in one input.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        let due = self.due.take().unwrap_or_else(|| self.next_timeout());
        if matches!(input, Input::Timeout) {
            self.backlog.observe(self.now.since(due), self.params.period);
        }
        self.thaw(due);
        match input {
            Input::Timeout => self.run_timers(),
            Input::Datagram { from, bytes } => self.on_datagram(from, bytes),
            Input::Refused(to) => self.on_refused(to),
            Input::Seeds(addresses) => self.on_seeds(addresses, Purpose::Join),
            Input::Contacts(addresses) => self.on_seeds(addresses, Purpose::Return),
            Input::Address(gossip) => self.move_to(gossip),
            Input::Load(sample) => {
                self.load = Some((sample, self.now));
                self.detail_version += 1;
            }
            Input::WallClock(told) => self.wall = WallClock::new(told, self.now),
            Input::Keys(keyring) => {
                self.seal = Seal::new(&self.cluster, Some(keyring), self.me.versions);
            }
            Input::Leave => self.leave(),
        }
    }

    /// What is to be done next. Never empty: the last answer is always [`Output::Timeout`].
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| {
            let due = self.next_timeout();
            self.due = Some(due);
            Output::Timeout(due)
        })
    }

    /// Takes a sent buffer back, to be used again.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(bytes);
        }
    }

    /// Swaps the buffers that wait to be used again with those of `pool`: many nodes in one thread share one pool.
    pub(crate) fn swap_spare(&mut self, pool: &mut Vec<Vec<u8>>) {
        std::mem::swap(&mut self.spare, pool);
    }

    fn next_timeout(&self) -> Time {
        let mut next = self.timers.next().min(self.watch.next());
        for probe in &self.probes {
            next = next.min(probe.next_at);
        }
        for suspicion in self.suspicions.values() {
            next = next.min(suspicion.deadline);
        }
        if let Some(relay) = self.relays.front() {
            next = next.min(relay.nack_at);
        }
        next
    }

    fn run_timers(&mut self) {
        self.run_relays();
        self.run_watch();
        self.run_probes();
        self.run_suspicions();
        while let Some(timer) = self.timers.due(self.now) {
            match timer {
                Timer::Period => self.on_period(),
                Timer::Gossip => self.on_gossip_round(),
                Timer::Join => self.on_join_retry(),
                Timer::Seeds => self.on_look_at_seeds(),
                Timer::Measure => self.on_measure(),
                Timer::Converge => self.on_converge_check(),
                Timer::Conflict => self.on_conflict_check(),
                Timer::Forget => self.on_forget(),
                Timer::Leave => self.on_leave_round(),
                Timer::Revive => self.on_revive(),
                Timer::RollCall => self.on_roll_call(),
                Timer::Settle => self.on_settle(),
            }
        }
    }

    /// Notices that this node was held up (stopped, starved, its machine asleep) and moves its deadlines on by as
    /// much: the silence it sees is its own. Once for each time: what is overdue stays so until the timers run, which is after
    /// the datagrams that have come in meanwhile. `due`: the next timeout.
    fn thaw(&mut self, due: Time) {
        let late = self.now.since(due.max(self.thawed));
        if late <= self.params.period / 2 || !self.parts.own_silence {
            return;
        }
        for probe in &mut self.probes {
            probe.next_at = probe.next_at + late;
            probe.started = probe.started + late;
        }
        for suspicion in self.suspicions.values_mut() {
            suspicion.postpone(suspicion.deadline + late);
        }
        self.watch.put_off(late);
        self.heard = self.heard + late;
        self.relays.clear();
        self.health.worse(1);
        self.thawed = self.now;
        self.event(Event::Thawed { late });
    }

    fn event(&mut self, event: Event) {
        self.stats.happened(&event);
        self.outputs.push_back(Output::Event(event));
    }

    fn subject(&self, slot: Slot) -> Option<Subject> {
        let peer = self.members.get(slot)?;
        Some(Subject { identity: peer.identity.clone(), incarnation: peer.incarnation, rtt: peer.rtt() })
    }

    /// How long to wait for an answer of this member: its measured RTT decides, or the estimated one.
    fn timeout_of(&self, slot: Slot) -> Duration {
        if !self.parts.rtt_timeouts {
            return self.params.period / 2;
        }
        let known = self.members.get(slot).and_then(|peer| self.rtt_to(peer)).map(|rtt| rtt.timeout());
        let (least, most) = self.params.timeout_bounds();
        known.unwrap_or(self.params.timeout_unmeasured()).clamp(least, most)
    }
}
