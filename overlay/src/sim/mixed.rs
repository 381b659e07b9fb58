//! A small cluster under faults of all kinds.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::schedule::keyring_of;
use super::{Checker, Report, Topology, Watcher, World, mixed_faults};
use crate::{ClusterId, ClusterIdentity, Time, Timing};

/// Timing of the clusters.
const TIMING: Timing = Timing::Lan;
/// How long faults go on.
const TROUBLE: Duration = Duration::from_secs(90);
/// Then whoever was stopped wakes up, and there is time to come to rest.
const REST: Duration = Duration::from_secs(120);
/// All that must hold at any moment is looked at so often.
const LOOK: Duration = Duration::from_millis(250);

/// Runs a cluster through faults of all kinds, by its seed, and checks it all the while; then lets it come to rest and
/// checks that it has.
pub fn run_mixed(seed: u64) -> Report {
    mixed(seed, false, None)
}

/// The same while somebody looks.
pub fn run_mixed_shown(seed: u64, watcher: Watcher) -> Report {
    mixed(seed, false, Some(watcher))
}

/// The same, of nodes that each have drawn a cluster's id; that they agree on one is a rule, too.
pub fn run_mixed_with_ids(seed: u64) -> Report {
    mixed(seed, true, None)
}

fn mixed(seed: u64, ids: bool, watcher: Option<Watcher>) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    // Most of what can go wrong does so in small clusters already.
    let nodes = if rng.random_bool(0.75) { rng.random_range(4..16) } else { rng.random_range(16..=50) };
    let topology =
        if rng.random_bool(0.5) { Topology::paper() } else { Topology::flat(Duration::from_millis(1)) };
    let keyed = rng.random_bool(0.5);
    let mut world = World::ring(topology, seed, nodes, TIMING);
    for index in 0..nodes {
        let config = world.config_mut(index);
        // A ring breaks when two of its nodes are down for good; a second seed that is always there mends it.
        config.seeds.push("node1".into());
        // Keys are handed out only where there is one already: a cluster never goes from none to one while it runs.
        config.keys = keyed.then(|| keyring_of(0));
        config.cluster_identity = ids.then(|| ClusterIdentity::fresh(ClusterId(rng.random())));
    }
    if let Some(watcher) = watcher {
        world.watch(watcher);
    }
    world.start_all();
    world.run(Duration::from_secs(5));
    world.keep_contacts();
    let mut checker = Checker::default();
    let begin = world.now();
    for (at, fault) in mixed_faults(seed, nodes, TIMING, TROUBLE) {
        let due = begin + at;
        while world.now() < due {
            let step = due.since(world.now()).min(LOOK);
            world.run(step);
            checker.safety(&world);
        }
        if keyed || !matches!(fault, super::Fault::Rekey(..)) {
            world.apply(&fault);
        }
    }
    let quiet = world.now() + REST;
    while world.now() < quiet {
        world.run(LOOK);
        checker.safety(&world);
    }
    checker.liveness(&world);
    checker.effect(&world);
    let up = (0..nodes).filter_map(|index| world.node(index));
    let clusters: BTreeSet<_> = up.filter_map(|swim| Some(swim.cluster()?.id)).collect();
    if clusters.len() > 1 {
        checker.violated(&world, format!("one cluster with {} ids", clusters.len()));
    }
    Report {
        nodes,
        seed,
        sim_seconds: world.now().since(Time::ZERO).as_secs_f64(),
        fired: world.fired(),
        violations: checker.violations().iter().map(ToString::to_string).collect(),
        ..Report::default()
    }
}
