//! A crowd that starts at once with hardly the CPU time for what comes in: which nodes it accuses meanwhile, and how long
//! it takes until all know of a death.
//!
//! Each datagram that a node reads or sends takes it some time, as on a machine that too many processes share. A node that
//! is late with everything takes its own lateness for the silence of others, unless it sheds its work before it accuses.

use std::time::Duration;

use serde::Serialize;

use super::{Fault, Spread, Topology, World};
use crate::{Event, MemberState, Timing};

/// How many nodes start at once.
const NODES: usize = 100;
/// CPU time that a datagram takes, in the rows of the experiment.
const COSTS: [Duration; 4] = [
    Duration::from_millis(8),
    Duration::from_millis(15),
    Duration::from_millis(25),
    Duration::from_millis(40),
];
/// From the start until one node dies.
const BEFORE: Duration = Duration::from_secs(60);
/// So long it is waited for the others to know.
const PATIENCE: Duration = Duration::from_secs(400);
/// The node that dies.
const VICTIM: usize = 40;

/// What happened in the runs of one configuration.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CrowdRow {
    /// CPU time that each datagram takes, in milliseconds.
    pub cost_ms: u64,
    /// Whether overloaded nodes shed their work before they accuse; without, no node is killed.
    pub shedding: bool,
    /// How many runs.
    pub seeds: u64,
    /// Suspicions in the first minute: of all nodes, of all runs.
    pub suspicions: usize,
    /// Verdicts about nodes that were running, in the whole of all runs.
    pub false_failures: usize,
    /// From the death until the first node knew, in milliseconds.
    pub first_ms: Option<Spread>,
    /// The same until all nodes did.
    pub all_ms: Option<Spread>,
    /// Runs in which they did not within 400 s.
    pub never: usize,
}

/// What happened in one run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowded {
    pub suspicions: usize,
    pub false_failures: usize,
    pub first: Option<Duration>,
    pub all: Option<Duration>,
}

/// Runs the experiment, without shedding first; `done` gets each row as it is finished.
pub fn crowd(seed: u64, seeds: u64, mut done: impl FnMut(&CrowdRow)) -> Vec<CrowdRow> {
    let mut rows = Vec::new();
    for (shedding, cost) in [false, true].into_iter().flat_map(|shedding| COSTS.map(|cost| (shedding, cost)))
    {
        let one = |number| {
            let mut world = begin(seed.wrapping_add(number), cost, shedding);
            if shedding { die(&mut world) } else { look(&world) }
        };
        let runs: Vec<Crowded> = (0..seeds).map(one).collect();
        let spread = |time: fn(&Crowded) -> Option<Duration>| {
            Spread::of(runs.iter().filter_map(time).map(|time| time.as_secs_f64() * 1e3).collect())
        };
        let row = CrowdRow {
            cost_ms: cost.as_millis() as u64,
            shedding,
            seeds,
            suspicions: runs.iter().map(|run| run.suspicions).sum(),
            false_failures: runs.iter().map(|run| run.false_failures).sum(),
            first_ms: spread(|run| run.first),
            all_ms: spread(|run| run.all),
            never: if shedding { runs.iter().filter(|run| run.all.is_none()).count() } else { 0 },
        };
        done(&row);
        rows.push(row);
    }
    rows
}

/// A crowd that has started at once from a ring of single seeds, a minute ago.
pub(super) fn begin(seed: u64, cost: Duration, shedding: bool) -> World {
    let mut world = World::ring(Topology::flat(Duration::from_millis(1)), seed, NODES, Timing::Lan);
    (0..NODES).for_each(|index| world.config_mut(index).parts.shedding = shedding);
    world.apply(&Fault::Busy((0..NODES).collect(), cost));
    world.start_all();
    world.run(BEFORE);
    world
}

/// What it has done so far, while all its nodes run.
pub(super) fn look(world: &World) -> Crowded {
    let count = |is: fn(&Event) -> bool| world.log().iter().filter(|entry| is(&entry.event)).count();
    Crowded {
        suspicions: count(|event| matches!(event, Event::Suspected { .. })),
        false_failures: count(|event| matches!(event, Event::Failed(_))),
        ..Crowded::default()
    }
}

/// One of its nodes dies, without a word.
pub(super) fn die(world: &mut World) -> Crowded {
    let (before, seen) = (look(world), world.log().len());
    let (killed, key) = (world.now(), world.node(VICTIM).map(crate::Swim::key));
    world.apply(&Fault::Kill(VICTIM));
    let (mut first, mut all) = (None, None);
    while all.is_none() && world.now().since(killed) < PATIENCE {
        world.run(Duration::from_millis(500));
        let knows = |swim: &crate::Swim| {
            swim.peers().any(|peer| Some(peer.key) == key && peer.state == MemberState::Dead)
        };
        let knowing = (0..NODES).filter_map(|index| world.node(index)).filter(|swim| knows(swim)).count();
        let time = Some(world.now().since(killed));
        first = first.or(time.filter(|_| knowing > 0));
        all = time.filter(|_| knowing == NODES - 1);
    }
    let wrong = world.log()[seen..].iter().filter(|entry| match &entry.event {
        Event::Failed(member) => world.at_address(member.identity.gossip) != Some(VICTIM),
        _ => false,
    });
    Crowded { false_failures: before.false_failures + wrong.count(), first, all, ..before }
}
