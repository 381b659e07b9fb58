//! The overlay under the work: the real state machines of `starling-overlay` over its own simulated network. So what a node knows
//! of the others is as old, and as wrong, as it truly would be.
//!
//! Two clocks go beside each other: tokio's paused one, by which journeys live, and the overlay's world. The world follows: whoever
//! looks at it or tells it something first lets it run until now, and a task of the simulation lets it run on when nobody looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::sim::{Fault, Topology, World};
use starling_overlay::{Identity, Input, LoadSample, Time, Timing, View, Viewer};

/// How old a picture may be in which nothing but loads and round-trip times has changed: as the driver does.
const DETAIL_INTERVAL: Duration = Duration::from_millis(50);

/// What a boot of a node has seen last, if it has looked, and the versions that this is of.
#[derive(Default)]
struct Seen {
    viewer: Viewer,
    versions: (u64, u64),
}

/// The overlay of all nodes.
pub(super) struct Gossip {
    world: World,
    origin: Instant,
    seen_by: Vec<Seen>,
    /// Entries of the world's log that were looked at.
    seen: usize,
}

impl Gossip {
    /// Nodes that have all known each other for long.
    pub fn new(topology: Topology, seed: u64, nodes: usize, origin: Instant) -> Self {
        let world = World::warm(topology, seed, nodes, Timing::Lan);
        Self { world, origin, seen_by: (0..nodes).map(|_| Seen::default()).collect(), seen: 0 }
    }

    fn time(&self, now: Instant) -> Time {
        Time::ZERO + now.saturating_duration_since(self.origin)
    }

    /// Lets it run until now. Which nodes have seen a member come or go meanwhile.
    pub fn run(&mut self, now: Instant) -> Vec<usize> {
        let now = self.time(now);
        if now > self.world.now() {
            self.world.run_until(now, |_| false);
        }
        let log = self.world.log();
        let mut nodes: Vec<usize> = log[self.seen..].iter().map(|entry| entry.node).collect();
        self.seen = log.len();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    pub fn identity(&self, node: usize) -> Option<Arc<Identity>> {
        self.world.node(node).map(|swim| Arc::clone(swim.identity()))
    }

    /// What a node knows now; what it knew last, if it is down.
    pub fn view(&mut self, node: usize, now: Instant) -> Option<Arc<View>> {
        let Seen { viewer, versions } = &mut self.seen_by[node];
        let Some(swim) = self.world.node(node) else { return viewer.last().cloned() };
        let new = (swim.membership_version(), swim.detail_version());
        let is_new = |view: &&Arc<View>| {
            *versions == new
                || (versions.0 == new.0 && now.saturating_duration_since(view.at) < DETAIL_INTERVAL)
        };
        if let Some(view) = viewer.last().filter(is_new) {
            return Some(Arc::clone(view));
        }
        *versions = new;
        Some(viewer.view(swim, self.origin, now))
    }

    /// Who is there, as a node sees it now; loads and round-trip times in it may be older.
    pub fn members(&mut self, node: usize, now: Instant) -> Option<Arc<View>> {
        let version = self.world.node(node).map(starling_overlay::Swim::membership_version);
        let Seen { viewer, versions } = &self.seen_by[node];
        match viewer.last() {
            Some(view) if version.is_none_or(|version| version == versions.0) => Some(Arc::clone(view)),
            _ => self.view(node, now),
        }
    }

    /// A node says how much it has to do.
    pub fn tell_load(&mut self, node: usize, sample: LoadSample) {
        if !self.world.is_paused(node) {
            self.world.input(node, Input::Load(sample));
        }
    }

    /// Something goes wrong, for the overlay's datagrams, too.
    pub fn apply(&mut self, fault: &Fault) {
        self.world.apply(fault);
        if let Fault::Start(node) = fault {
            self.seen_by[*node] = Seen::default();
        }
    }
}
