//! The membership as one node sees it: what the driver publishes and everyone else reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::members::{Peer, Slot};
use crate::{
    ClusterIdentity, Convergence, Coordinate, Identity, Incarnation, LoadSample, MemberState, NodeName,
    Stats, Swim, Time,
};

/// A consistent picture of the membership at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// When this picture was taken; ages count from here.
    pub at: Instant,
    /// This node itself.
    pub local: Member,
    /// Everyone else, sorted by name; the dead and those who left stay until they are forgotten.
    pub peers: Vec<Member>,
    /// The cluster that this node belongs to; none if it does not tell clusters of one name apart.
    pub cluster: Option<ClusterIdentity>,
    /// How the cluster last came to rest; none while it is disturbed.
    pub converged: Option<Convergence>,
    /// Counters of this node's overlay since it started.
    pub stats: Stats,
}

/// One member as this node sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it says of itself.
    pub identity: Arc<Identity>,
    /// What is believed of it.
    pub state: MemberState,
    /// The incarnation that `state` speaks of.
    pub incarnation: Incarnation,
    /// Round-trip time to it, measured, or estimated from coordinates (then `jitter` is the expected error); none
    /// before either is known.
    pub rtt: Option<Rtt>,
    /// Part of this node's pings to it, 0 to 1, that stay without an answer in time; none before there were some. For people:
    /// nothing is decided by it.
    pub loss: Option<f32>,
    /// Its newest load sample known here.
    pub load: Option<Load>,
    /// Whether it failed and came back so often lately that it is to get no work for a while.
    pub damping: Option<Damping>,
    /// Where it answers from, if that is not where it says that it is: its address is wrong, or a NAT is on the way.
    pub heard_at: Option<SocketAddr>,
}

/// A member that fails and comes back again and again gets no work for a time that doubles with each failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// How often it failed lately.
    pub failures: u32,
    /// Until when it gets no work.
    pub until: Instant,
}

impl Member {
    /// Whether it is to get no work now.
    pub fn is_damped(&self, now: Instant) -> bool {
        self.damping.is_some_and(|damping| now < damping.until)
    }
}

/// A load sample and when it was taken, on this node's clock.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What its node said.
    pub sample: LoadSample,
    /// When it was taken: time of arrival less the age it arrived with.
    pub taken: Instant,
}

impl Load {
    /// How old the sample is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.taken)
    }
}

/// Round-trip time to a member, as UDP datagrams see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rtt {
    /// Exponentially weighted mean.
    pub mean: Duration,
    /// Least of the recent past.
    pub min: Duration,
    /// Mean deviation (RFC 6298's RTTVAR).
    pub jitter: Duration,
}

impl Rtt {
    /// How long to wait for an answer (RFC 6298's RTO without its bounds).
    pub(crate) fn timeout(&self) -> Duration {
        self.mean + 4 * self.jitter
    }
}

impl View {
    /// What a state machine knows at a moment. `origin`: when its clock stood at [`Time::ZERO`].
    pub fn of(swim: &Swim, origin: Instant, at: Instant) -> Self {
        Sight { swim, origin, at }.of(&by_name(swim))
    }

    /// This node and everyone else.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.local).chain(&self.peers)
    }

    /// The other member of this name.
    pub fn peer(&self, name: &NodeName) -> Option<&Member> {
        let place = self.peers.binary_search_by(|peer| peer.identity.name.cmp(name)).ok()?;
        self.peers.get(place)
    }
}

/// Makes pictures of one state machine, one after the other, and keeps the last one. What costs time is to go through all members, so the
/// next picture is the last one with what has changed since: the order of the members is worked out only when members have come or
/// gone, and a member is looked at only when something of it may have changed.
#[derive(Debug, Default)]
pub struct Viewer {
    /// The membership that `order` is of.
    version: Option<u64>,
    /// All members, by name, and where each slot is among them.
    order: Vec<Slot>,
    row_of: Vec<u32>,
    last: Option<Last>,
    /// When it was last told which members may have changed, and which these were.
    told: u64,
    touched: Vec<Slot>,
}

/// The last picture, and what it was made of.
#[derive(Debug)]
struct Last {
    view: Arc<View>,
    origin: Instant,
    coordinate: Coordinate,
    /// Rows of the members whose round-trip time was not measured, in order: they move with this node's coordinate.
    unmeasured: Vec<u32>,
}

/// One state machine at a moment, and what its times are on the clock of those who look at pictures.
#[derive(Clone, Copy)]
struct Sight<'a> {
    swim: &'a Swim,
    origin: Instant,
    at: Instant,
}

impl Viewer {
    /// What it knows at a moment, shared with this viewer. `origin`: when its clock stood at [`Time::ZERO`].
    pub fn view(&mut self, swim: &Swim, origin: Instant, at: Instant) -> Arc<View> {
        let sight = Sight { swim, origin, at };
        self.touched.clear();
        let are_all = swim.members().touched(&mut self.told, |slot| self.touched.push(slot));
        let is_same =
            self.version == Some(swim.membership_version()) && self.order.len() == swim.members().len();
        let last = self.last.take().filter(|last| is_same && are_all && last.origin == origin);
        let last = if let Some(mut last) = last {
            self.renew(&mut last, sight);
            last
        } else {
            self.sort(swim);
            let rows = (0..).zip(&self.order).filter(|(_, slot)| !is_measured(swim, **slot));
            let unmeasured = rows.map(|(row, _)| row).collect();
            let view = Arc::new(sight.of(&self.order));
            Last { view, origin, coordinate: *swim.coordinate(), unmeasured }
        };
        debug_assert!(
            last.view.peers.is_sorted_by(|a, b| a.identity.name < b.identity.name),
            "the order is the members'"
        );
        Arc::clone(&self.last.insert(last).view)
    }

    /// The picture that it made last.
    pub fn last(&self) -> Option<&Arc<View>> {
        self.last.as_ref().map(|last| &last.view)
    }

    /// Makes the last picture one of now. Whoever still has it keeps it as it was.
    fn renew(&self, last: &mut Last, sight: Sight<'_>) {
        let swim = sight.swim;
        let view = Arc::make_mut(&mut last.view);
        view.at = sight.at;
        sight.show_local(&mut view.local);
        (view.cluster, view.converged, view.stats) = (swim.cluster(), swim.converged(), *swim.stats());
        for slot in &self.touched {
            let Some(peer) = swim.members().get(*slot) else { continue };
            let row = self.row_of[*slot as usize];
            match (last.unmeasured.binary_search(&row), peer.rtt()) {
                (Ok(place), Some(_)) => drop(last.unmeasured.remove(place)),
                (Err(place), None) => last.unmeasured.insert(place, row),
                _ => {}
            }
            sight.show(peer, &mut view.peers[row as usize]);
        }
        if last.coordinate != *swim.coordinate() {
            last.coordinate = *swim.coordinate();
            for row in last.unmeasured.iter().map(|row| *row as usize) {
                view.peers[row].rtt = swim.members().get(self.order[row]).and_then(|peer| swim.rtt_to(peer));
            }
        }
        // It ends by itself, with time.
        if swim.knows_of_flaps() {
            for (slot, member) in self.order.iter().zip(&mut view.peers) {
                member.damping = swim.members().get(*slot).and_then(|peer| sight.damping(peer));
            }
        }
    }

    fn sort(&mut self, swim: &Swim) {
        self.order = by_name(swim);
        self.row_of.clear();
        self.row_of.resize(swim.members().slots() as usize, 0);
        for (row, slot) in (0..).zip(&self.order) {
            self.row_of[*slot as usize] = row;
        }
        self.version = Some(swim.membership_version());
    }
}

impl Sight<'_> {
    fn of(self, order: &[Slot]) -> View {
        let Self { swim, at, .. } = self;
        let mut local = self.member(swim.identity().clone());
        self.show_local(&mut local);
        let mut peers = Vec::with_capacity(order.len());
        peers.extend(order.iter().filter_map(|slot| swim.members().get(*slot)).map(|peer| {
            let mut member = self.member(peer.identity.clone());
            self.show(peer, &mut member);
            member
        }));
        View { at, local, peers, cluster: swim.cluster(), converged: swim.converged(), stats: *swim.stats() }
    }

    /// One of whom nothing is known.
    fn member(self, identity: Arc<Identity>) -> Member {
        let (state, incarnation) = (self.swim.state(), self.swim.incarnation());
        Member {
            identity,
            state,
            incarnation,
            rtt: None,
            loss: None,
            load: None,
            damping: None,
            heard_at: None,
        }
    }

    fn show_local(self, member: &mut Member) {
        let swim = self.swim;
        if !Arc::ptr_eq(&member.identity, swim.identity()) {
            member.identity = swim.identity().clone();
        }
        (member.state, member.incarnation) = (swim.state(), swim.incarnation());
        member.load = self.load(swim.load());
    }

    fn show(self, peer: &Peer, member: &mut Member) {
        if !Arc::ptr_eq(&member.identity, &peer.identity) {
            member.identity = peer.identity.clone();
        }
        (member.state, member.incarnation) = (peer.state, peer.incarnation);
        member.rtt = self.swim.rtt_to(peer);
        member.loss = peer.known.as_ref().and_then(|known| known.unanswered.part());
        member.load = self.load(peer.known.as_ref().and_then(|known| known.load));
        member.damping = self.damping(peer);
        member.heard_at = Some(peer.address()).filter(|address| *address != peer.identity.gossip);
    }

    fn instant(self, time: Time) -> Instant {
        self.origin + time.since(Time::ZERO)
    }

    fn load(self, load: Option<(LoadSample, Time)>) -> Option<Load> {
        load.map(|(sample, taken)| Load { sample, taken: self.instant(taken) })
    }

    fn damping(self, peer: &Peer) -> Option<Damping> {
        let (failures, until) = self.swim.damping(peer)?;
        Some(Damping { failures, until: self.instant(until) })
    }
}

fn is_measured(swim: &Swim, slot: Slot) -> bool {
    swim.members().get(slot).is_some_and(|peer| peer.rtt().is_some())
}

fn by_name(swim: &Swim) -> Vec<Slot> {
    let mut named: Vec<_> = swim.members().iter().map(|(slot, peer)| (&peer.identity.name, slot)).collect();
    named.sort_unstable();
    named.into_iter().map(|(_, slot)| slot).collect()
}
