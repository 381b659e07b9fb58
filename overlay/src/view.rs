//! The membership as one node sees it: what the driver publishes and everyone else reads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::members::{Peer, Slot};
use crate::{
    ClusterIdentity, Convergence, Identity, Incarnation, LoadSample, MemberState, NodeName, Stats, Swim, Time,
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
        Viewer::default().view(swim, origin, at)
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

/// Makes pictures of one state machine, one after the other. The order of the members is worked out only when members have come or
/// gone, and not for each change of a load or a round-trip time, of which there are many more.
#[derive(Debug, Default)]
pub struct Viewer {
    /// The membership that `order` is of.
    version: Option<u64>,
    /// All members, by name.
    order: Vec<Slot>,
}

impl Viewer {
    /// What it knows at a moment. `origin`: when its clock stood at [`Time::ZERO`].
    pub fn view(&mut self, swim: &Swim, origin: Instant, at: Instant) -> View {
        if self.version != Some(swim.membership_version()) || self.order.len() != swim.members().len() {
            self.sort(swim);
        }
        let instant = |time: Time| origin + time.since(Time::ZERO);
        let load = |load: Option<(LoadSample, Time)>| {
            load.map(|(sample, taken)| Load { sample, taken: instant(taken) })
        };
        let local = Member {
            identity: swim.identity().clone(),
            state: swim.state(),
            incarnation: swim.incarnation(),
            rtt: None,
            loss: None,
            load: load(swim.load()),
            damping: None,
            heard_at: None,
        };
        let member = |peer: &Peer| Member {
            identity: peer.identity.clone(),
            state: peer.state,
            incarnation: peer.incarnation,
            rtt: swim.rtt_to(peer),
            loss: peer.known.as_ref().and_then(|known| known.unanswered.part()),
            load: load(peer.known.as_ref().and_then(|known| known.load)),
            damping: swim.damping(peer).map(|(failures, until)| Damping { failures, until: instant(until) }),
            heard_at: Some(peer.address()).filter(|address| *address != peer.identity.gossip),
        };
        let mut peers = Vec::with_capacity(self.order.len());
        peers.extend(self.order.iter().filter_map(|slot| swim.members().get(*slot)).map(member));
        debug_assert!(
            peers.is_sorted_by(|a, b| a.identity.name < b.identity.name),
            "the order is the members'"
        );
        let (cluster, converged) = (swim.cluster(), swim.converged());
        View { at, local, peers, cluster, converged, stats: *swim.stats() }
    }

    fn sort(&mut self, swim: &Swim) {
        let mut named: Vec<_> =
            swim.members().iter().map(|(slot, peer)| (&peer.identity.name, slot)).collect();
        named.sort_unstable();
        self.order.clear();
        self.order.extend(named.into_iter().map(|(_, slot)| slot));
        self.version = Some(swim.membership_version());
    }
}
