//! All members but a few are gone at once: how long until those few know.
//!
//! A machine room, a switch or a provider fails. The few that are left hear next to nothing, as one that is cut off alone
//! does, but it is not their silence.

use std::time::Duration;

use serde::Serialize;

use super::{Fault, Spread, Topology, World};
use crate::{Event, Input, LoadSample, Timing};

/// Survivors, of so many.
const DEATHS: [(usize, usize); 5] = [(2, 30), (2, 50), (2, 100), (3, 100), (5, 200)];
/// The cluster at rest before.
const BEFORE: Duration = Duration::from_secs(20);
/// So long it is waited for the survivors to know.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nodes sample their load so often.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// What happened in the runs of one size.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MassDeathRow {
    /// Members before.
    pub nodes: usize,
    /// Members after.
    pub survivors: usize,
    /// Whether the machines of the others said that nobody listens there any more.
    pub refused: bool,
    /// How many runs.
    pub seeds: u64,
    /// From the deaths until the first survivor knew of all of them, in milliseconds.
    pub first_ms: Option<Spread>,
    /// The same until all survivors did.
    pub all_ms: Option<Spread>,
    /// Runs in which they did not within five minutes.
    pub never: usize,
    /// Verdicts about survivors.
    pub false_failures: usize,
    /// Datagrams that each survivor sent a second until then.
    pub datagrams_per_node_per_s: f64,
}

/// One run.
struct Survival {
    first: Option<Duration>,
    all: Option<Duration>,
    false_failures: usize,
    datagrams_per_node_per_s: f64,
}

/// Runs the experiment, silent deaths first and then refused ports; `done` gets each row as it is finished.
pub fn mass_death(seed: u64, seeds: u64, mut done: impl FnMut(&MassDeathRow)) -> Vec<MassDeathRow> {
    let mut rows = Vec::new();
    for (refused, (survivors, nodes)) in
        [false, true].into_iter().flat_map(|refused| DEATHS.map(|death| (refused, death)))
    {
        let runs: Vec<Survival> =
            (0..seeds).map(|number| survive(nodes, survivors, refused, seed.wrapping_add(number))).collect();
        let row = row(nodes, survivors, refused, &runs);
        done(&row);
        rows.push(row);
    }
    rows
}

fn row(nodes: usize, survivors: usize, refused: bool, runs: &[Survival]) -> MassDeathRow {
    let spread = |time: fn(&Survival) -> Option<Duration>| {
        Spread::of(runs.iter().filter_map(time).map(|time| time.as_secs_f64() * 1e3).collect())
    };
    MassDeathRow {
        nodes,
        survivors,
        refused,
        seeds: runs.len() as u64,
        first_ms: spread(|run| run.first),
        all_ms: spread(|run| run.all),
        never: runs.iter().filter(|run| run.all.is_none()).count(),
        false_failures: runs.iter().map(|run| run.false_failures).sum(),
        datagrams_per_node_per_s: runs.iter().map(|run| run.datagrams_per_node_per_s).sum::<f64>()
            / runs.len().max(1) as f64,
    }
}

fn survive(nodes: usize, survivors: usize, refused: bool, seed: u64) -> Survival {
    let mut world = World::warm(Topology::paper(), seed, nodes, Timing::Lan);
    let mut loads = 0;
    let end = world.now() + BEFORE;
    while world.now() < end {
        publish_loads(&mut world, &mut loads);
        world.run(LOAD_INTERVAL);
    }
    let (begin, seen, before) = (world.now(), world.log().len(), sent_by(&world, survivors));
    world.refuse(refused);
    (survivors..nodes).for_each(|node| world.apply(&Fault::Kill(node)));
    let knows = |world: &World, node| world.node(node).is_some_and(|swim| swim.live() == survivors);
    let (mut first, mut all) = (None, None);
    while all.is_none() && world.now().since(begin) < PATIENCE {
        publish_loads(&mut world, &mut loads);
        let next = world.now() + LOAD_INTERVAL;
        while all.is_none() && world.now() < next {
            world.run(LOAD_INTERVAL / 10);
            let time = world.now().since(begin);
            let knowing = (0..survivors).filter(|node| knows(&world, *node)).count();
            first = first.or((knowing > 0).then_some(time));
            all = (knowing == survivors).then_some(time);
        }
    }
    let wrong = world.log()[seen..].iter().filter(|entry| match &entry.event {
        Event::Failed(member) => {
            world.at_address(member.identity.gossip).is_some_and(|node| node < survivors)
        }
        _ => false,
    });
    let sent = sent_by(&world, survivors);
    let seconds = world.now().since(begin).as_secs_f64();
    Survival {
        first,
        all,
        false_failures: wrong.count(),
        datagrams_per_node_per_s: (sent - before) as f64 / survivors as f64 / seconds,
    }
}

fn sent_by(world: &World, survivors: usize) -> u64 {
    (0..survivors).filter_map(|node| Some(world.node(node)?.stats().datagrams_sent)).sum()
}

fn publish_loads(world: &mut World, loads: &mut u16) {
    *loads += 1;
    for node in 0..world.len() {
        let cpu_permille = ((node * 37 + usize::from(*loads) * 11) % 900) as u16;
        let sample = LoadSample { seq: *loads, cpu_permille, workers: 2, ..LoadSample::default() };
        world.input(node, Input::Load(sample));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_survivors_know_within_half_a_minute_that_the_others_are_gone() {
        for (survivors, nodes) in DEATHS {
            for (refused, seeds) in [(false, 20), (true, 5)] {
                let runs: Vec<Survival> =
                    (1..=seeds).map(|seed| survive(nodes, survivors, refused, seed)).collect();
                let row = row(nodes, survivors, refused, &runs);
                let all = row.all_ms.expect("some know");
                println!("{row:?}");
                assert!(row.never == 0 && all.median <= 15_000.0 && all.max <= 30_000.0, "{row:?}");
                assert_eq!(row.false_failures, 0, "{row:?}");
            }
        }
    }
}
