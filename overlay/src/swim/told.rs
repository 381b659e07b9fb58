//! What a state machine tells of itself to those who look at it; nothing of it changes thereby.

use std::sync::Arc;
use std::time::Duration;

use super::{Swim, flaps, hosts, join, learn, load, probe, relay, silence, strangers, watch};
use crate::members::{Members, Peer};
use crate::{
    Convergence, Coordinate, DecodeError, Identity, Incarnation, LoadSample, NodeKey, Rtt, Stats, Time,
};

impl Swim {
    /// What this node says of itself; its boot epoch grows when it has to outbid an older claim to its name.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.me
    }

    /// This node's incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// This node's newest load sample and when it was taken.
    pub fn load(&self) -> Option<(LoadSample, Time)> {
        self.load
    }

    /// Everyone else, by key.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.members.iter().map(|(_, peer)| peer)
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn key(&self) -> NodeKey {
        self.key
    }

    /// Where this node is in the space of round-trip times.
    pub fn coordinate(&self) -> &Coordinate {
        &self.coordinate
    }

    /// Round-trip time to a member: measured where it has been, else estimated from coordinates.
    pub(crate) fn rtt_to(&self, peer: &Peer) -> Option<Rtt> {
        peer.rtt().or_else(|| {
            let there = peer.known.as_ref()?.coordinate.filter(Coordinate::is_useful)?;
            let mean = self.coordinate.rtt_to(&there);
            let jitter = mean.mul_f64(self.coordinate.error_to(&there));
            self.coordinate.is_useful().then_some(Rtt { mean, min: mean, jitter })
        })
    }

    /// How often a member failed lately, and until when it gets no work for that; none if it may get some now.
    pub(crate) fn damping(&self, peer: &Peer) -> Option<(u32, Time)> {
        self.flaps.damping(peer.key, self.now)
    }

    /// Whether any member failed lately.
    pub(crate) fn knows_of_flaps(&self) -> bool {
        !self.flaps.is_empty()
    }

    /// Estimated round-trip time between two other members, and the expected relative error of that.
    pub fn rtt_between(&self, a: NodeKey, b: NodeKey) -> Option<(Duration, f64)> {
        let place = |key| {
            let place = if key == self.key {
                Some(self.coordinate)
            } else {
                self.members.by_key(key).and_then(|peer| peer.known.as_ref()?.coordinate)
            };
            place.filter(Coordinate::is_useful)
        };
        let (a, b) = (place(a)?, place(b)?);
        Some((a.rtt_to(&b), a.error_to(&b)))
    }

    /// Everything that grows, how large it is and how large it may be.
    pub(crate) fn sizes(&self) -> [(&'static str, usize, usize); 13] {
        let members = self.members.len();
        [
            ("probes", self.probes.len(), probe::PROBES_MAX),
            ("watch", self.watch.due.len(), watch::WATCHED_MAX),
            ("relays", self.relays.len(), relay::RELAYS_MAX),
            ("suspicions", self.suspicions.len(), members),
            ("gossip", self.gossip.len(), members + 1),
            ("loads", self.load_desk.len(), load::FOLLOWED_MAX),
            ("round", self.round.len(), members),
            ("measure", self.measure.len(), learn::MEASURE_MAX),
            ("lost", self.lost.len(), join::LOST_MAX),
            ("heard last", self.heard_last.len(), silence::HEARD_LAST_MAX),
            ("strangers", self.strangers.len(), strangers::STRANGERS_MAX),
            ("flaps", self.flaps.len(), flaps::FLAPS_MAX),
            ("hosts", self.hosts.len(), hosts::HOSTS_MAX),
        ]
    }

    /// Live members, this node among them.
    pub fn live(&self) -> usize {
        self.members.live() + 1
    }

    /// The last convergence; none while disturbed.
    pub fn converged(&self) -> Option<Convergence> {
        self.disturbance.converged()
    }

    /// Counters since the start.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Why the last datagram did not open or decode; none if it did.
    pub fn rejected(&self) -> Option<DecodeError> {
        self.rejected
    }

    /// Changes whenever a member's identity, state or incarnation changes here.
    pub fn membership_version(&self) -> u64 {
        self.membership_version
    }

    /// Changes whenever a load sample or an RTT changes here.
    pub fn detail_version(&self) -> u64 {
        self.detail_version
    }
}
