//! What a policy looks at.

use std::collections::btree_map;
use std::iter::Peekable;
use std::time::{Duration, Instant};

use starling_overlay::{BootEpoch, Identity, LoadSample, Member, MemberState, NodeName, View};

use super::ledger::Handed;
use super::{Candidate, Concern, Experience, Patience, RouteKind, wait};
use crate::desk::Backlog;
use crate::profile::ProfileName;

/// A load sample older than this says nothing about its node any more (the paper's limit).
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(10);

/// All that a decision may depend on, beside the seed of its generator.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The membership with its round-trip times and gossiped loads, and their ages.
    pub view: &'a View,
    /// What is to be done.
    pub job: Demand<'a>,
    /// This node's own figures, read now and not gossiped.
    pub own: OwnDesk,
    /// What this node knows by its own doing: hand-offs that gossip does not show yet, bandwidths, failures.
    pub experience: &'a Experience,
    /// Peers that did something wrong lately, by name.
    pub avoided: &'a [Avoided],
    /// How many decisions this node has made before.
    pub turn: u64,
    /// The moment of the decision.
    pub now: Instant,
}

/// A job, as far as a policy is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// What is made.
    pub profile: &'a ProfileName,
    /// Length of the input.
    pub bytes: u64,
    /// What it costs, in pixels of work; none where nobody has looked at it yet.
    pub work_pixels: Option<u64>,
    /// Until its deadline.
    pub left: Duration,
    /// The bit of [`LoadSample::hardware`] that stands for an encoder in hardware that may do it; 0: none may.
    pub hardware: u8,
}

/// What the deciding node's own desk says.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnDesk {
    /// Its load.
    pub load: LoadSample,
    /// What stands before the job here, without the place that it may hold already.
    pub backlog: Backlog,
    /// How long the job would keep a worker here, once enough like it was done to tell.
    pub service: Option<Duration>,
}

/// A peer that did something wrong lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Avoided {
    /// Its name.
    pub name: NodeName,
    /// Which boot of it; none: all of them.
    pub boot: Option<BootEpoch>,
    /// [`Concern::Unreachable`] or [`Concern::Distrusted`].
    pub concern: Concern,
}

/// One node that may be asked, as the policies see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub member: &'a Member,
    pub route: RouteKind,
    pub rtt: Option<Duration>,
    /// Its newest load sample, if that is fresh.
    pub load: Option<&'a LoadSample>,
    /// How old that is.
    pub age: Duration,
    /// What this node has given it that its sample does not show.
    pub handed: Handed,
    /// How many times as long a job takes there for the tries that fail: 1 where none did.
    pub tries: f64,
    /// The policy's figure; lower is better.
    pub score: f64,
    pub concern: Concern,
    pub patience: Patience,
}

impl<'a> Situation<'a> {
    /// This node, then the peers that may be asked at all in the order of their names: alive, not failing again and again, and at
    /// an address that can be theirs.
    pub(super) fn nodes(&'a self) -> Vec<Seen<'a>> {
        let (view, now) = (self.view, self.now);
        let mut nodes = Vec::with_capacity(view.peers.len() + 1);
        nodes.push(Seen {
            route: RouteKind::Local,
            rtt: Some(Duration::ZERO),
            load: Some(&self.own.load),
            ..Seen::new(&view.local)
        });
        let mut ledger = self.experience.ledger.by_name();
        let mut reliability = self.experience.reliability.by_name();
        let mut avoided = self.avoided.iter().peekable();
        for peer in view.peers.iter().filter(|peer| may_be_asked(&view.local, peer, now)) {
            let (identity, load) =
                (&peer.identity, peer.load.as_ref().filter(|load| load.age(now) <= SAMPLE_AGE_MAX));
            let given = ledger.find(&identity.name);
            let failing = reliability.find(&identity.name);
            while avoided.next_if(|avoided| avoided.name < identity.name).is_some() {}
            let concern =
                avoided.peek().filter(|avoided| avoided.is(identity)).map(|avoided| avoided.concern);
            nodes.push(Seen {
                route: RouteKind::between(&view.local.identity.zone, &identity.zone),
                rtt: peer.rtt.map(|rtt| rtt.mean),
                load: load.map(|load| &load.sample),
                age: load.map_or(Duration::ZERO, |load| load.age(now)),
                handed: given
                    .map(|given| given.unseen(identity.boot, load.map(|load| load.taken), now))
                    .unwrap_or_default(),
                tries: failing.map_or(1.0, |failing| failing.tries(now)),
                concern: concern.unwrap_or_default(),
                ..Seen::new(peer)
            });
        }
        nodes
    }

    /// How long the job keeps a worker on a node that says this of itself, in seconds.
    pub(super) fn work_s(&self, load: Option<&LoadSample>) -> f64 {
        wait::work_s(&self.job, &self.own, load)
    }

    /// The same for this node.
    pub(super) fn work_here_s(&self) -> f64 {
        self.own.service.map_or_else(|| self.work_s(Some(&self.own.load)), |service| service.as_secs_f64())
    }

    /// How long the job waits for a worker on this node.
    pub(super) fn wait_here(&self) -> Duration {
        match self.own.backlog.wait_ms {
            Some(ms) => Duration::from_millis(ms.into()),
            None => wait::wait(&self.own.load, &Handed::default()),
        }
    }

    /// Jobs a worker that a node has or is about to have.
    pub(super) fn jobs_per_worker(&self, node: &Seen<'_>) -> f64 {
        if node.is_local() {
            return f64::from(self.own.backlog.jobs_per_worker_permille) / 1000.0;
        }
        let Some(load) = node.load else { return f64::INFINITY };
        f64::from(node.handed.jobs(load)) / f64::from(load.workers.max(1))
    }
}

impl<'a> Seen<'a> {
    fn new(member: &'a Member) -> Self {
        Self {
            member,
            route: RouteKind::Local,
            rtt: None,
            load: None,
            age: Duration::ZERO,
            handed: Handed::default(),
            tries: 1.0,
            score: 0.0,
            concern: Concern::None,
            patience: Patience::default(),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        self.route == RouteKind::Local
    }

    /// Whether it is of this node's zone, encodes the job in hardware and has a worker free, by what is known of its load.
    pub(super) fn has_hardware(&self, bit: u8) -> bool {
        let ready = |load: &LoadSample| load.hardware & bit != 0 && load.running_jobs < load.workers;
        self.route != RouteKind::CrossRegion && self.load.is_some_and(ready)
    }

    pub(super) fn candidate(&self, situation: &Situation<'_>) -> Candidate {
        let work_s = if self.is_local() { situation.work_here_s() } else { situation.work_s(self.load) };
        Candidate {
            identity: self.member.identity.clone(),
            route: self.route,
            score: self.score,
            rtt: self.rtt,
            load: self.load.copied(),
            concern: self.concern,
            patience: self.patience,
            work: Duration::try_from_secs_f64(work_s).unwrap_or(Duration::MAX),
        }
    }
}

impl Avoided {
    fn is(&self, identity: &Identity) -> bool {
        self.name == identity.name && self.boot.is_none_or(|boot| boot == identity.boot)
    }
}

fn may_be_asked(local: &Member, peer: &Member, now: Instant) -> bool {
    peer.state == MemberState::Alive && !peer.is_damped(now) && !is_lost(local, peer)
}

/// Whether a peer's HTTP address leads elsewhere for sure: to this node itself, or to this machine although the peer
/// answers from another one.
fn is_lost(local: &Member, peer: &Member) -> bool {
    let there = peer.identity.http();
    let elsewhere = peer.heard_at.is_some_and(|heard_at| !heard_at.ip().is_loopback());
    there == local.identity.http() || (there.ip().is_loopback() && elsewhere)
}

/// Looks names up in a map, in their order: all of a view's members cost one walk through what is usually a short map.
pub(super) struct ByName<'a, V>(Peekable<btree_map::Iter<'a, NodeName, V>>);

impl<'a, V> ByName<'a, V> {
    pub fn new(map: &'a btree_map::BTreeMap<NodeName, V>) -> Self {
        Self(map.iter().peekable())
    }

    /// What there is of this name, which is greater than the one before.
    pub fn find(&mut self, name: &NodeName) -> Option<&'a V> {
        while self.0.next_if(|(other, _)| *other < name).is_some() {}
        self.0.next_if(|(other, _)| *other == name).map(|(_, value)| value)
    }
}
