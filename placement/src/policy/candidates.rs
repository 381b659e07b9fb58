//! What a policy looks at, and what it answers with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, LoadSample, Member, MemberState, View};

use super::RouteKind;

/// A load sample older than this says nothing about its node any more (the paper's limit).
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(10);

/// All that a decision may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The membership with its round-trip times and gossiped loads.
    pub view: &'a View,
    /// This node's own load, read now and not gossiped.
    pub own_load: LoadSample,
    /// The moment of the decision.
    pub now: Instant,
}

/// A node that could do the job, and what speaks for it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Local, or how far the way to it is.
    pub route: RouteKind,
    /// The policy's figure for it: lower is better. Policies that do not weigh give the place in their order.
    pub score: f64,
    /// Measured or estimated round-trip time, none if neither is known.
    pub rtt: Option<Duration>,
    /// The load that the figure was made from, none where the policy needs none and none is known.
    pub load: Option<LoadSample>,
}

impl Candidate {
    /// Whether it is of this node's zone, encodes in hardware what this bit of [`LoadSample::hardware`] stands for, and has a worker
    /// free, by what is known of its load.
    pub fn has_hardware(&self, codec_bit: u8) -> bool {
        let ready = |load: &LoadSample| load.hardware & codec_bit != 0 && load.running_jobs < load.workers;
        self.route != RouteKind::CrossRegion && self.load.as_ref().is_some_and(ready)
    }

    /// Whether this is the deciding node itself.
    pub fn is_local(&self) -> bool {
        self.route == RouteKind::Local
    }
}

impl<'a> Situation<'a> {
    /// This node as a candidate; its score is still to be set.
    pub(super) fn local(&self) -> Candidate {
        Candidate {
            identity: Arc::clone(&self.view.local.identity),
            route: RouteKind::Local,
            score: 0.0,
            rtt: Some(Duration::ZERO),
            load: Some(self.own_load),
        }
    }

    /// The peers that may be asked at all: alive, not failing again and again, and at an address that can be theirs.
    pub fn live_peers(&self) -> impl Iterator<Item = Candidate> + 'a {
        let Self { view, now, .. } = *self;
        let usable = move |peer: &&Member| {
            peer.state == MemberState::Alive && !peer.is_damped(now) && !is_lost(&view.local, peer)
        };
        view.peers.iter().filter(usable).map(move |peer| Candidate {
            identity: Arc::clone(&peer.identity),
            route: route_between(&view.local, peer),
            score: 0.0,
            rtt: peer.rtt.map(|rtt| rtt.mean),
            load: peer.load.filter(|load| load.age(now) <= SAMPLE_AGE_MAX).map(|load| load.sample),
        })
    }
}

/// Whether a peer's HTTP address leads elsewhere for sure: to this node itself, or to this machine although the peer
/// answers from another one.
fn is_lost(local: &Member, peer: &Member) -> bool {
    let there = peer.identity.http();
    let elsewhere = peer.heard_at.is_some_and(|heard_at| !heard_at.ip().is_loopback());
    there == local.identity.http() || (there.ip().is_loopback() && elsewhere)
}

fn route_between(local: &Member, peer: &Member) -> RouteKind {
    if local.identity.zone == peer.identity.zone { RouteKind::SameRegion } else { RouteKind::CrossRegion }
}
