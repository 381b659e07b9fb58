//! The experiment of the Lifeguard paper (Dadgar, Phillips, Currey, 2018, arXiv:1707.00788, section V) with each part of
//! the failure detector on or off: in a cluster of 128 some members process no message for a while, again and again, while
//! their timers run on. Whoever calls a member dead that is not one of them is wrong.

use std::time::Duration;

use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Scenario, Topology, World, run};
use crate::{Event, Parts, Timing};

/// Members of the paper's cluster.
const NODES: usize = 128;
/// Members that are slow at once.
const SLOW: [usize; 4] = [1, 4, 16, 32];
/// For how long they process nothing.
const BLOCKED_MS: [u64; 4] = [128, 2_048, 8_192, 32_768];
/// For how long they do in between.
const BETWEEN_MS: [u64; 2] = [64, 4_096];
/// Members killed, to see how fast that is found out.
const KILLED: usize = 10;

/// What one configuration did, over all runs.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct LifeguardRow {
    /// Which parts were on.
    pub configuration: &'static str,
    /// Verdicts about members that were not slow, anywhere (the paper's FP).
    pub false_positives: usize,
    /// Those among them that members passed which were not slow themselves (the paper's FP-).
    pub false_positives_at_healthy: usize,
    /// In hundredths of plain SWIM's.
    pub percent_of_swim: Option<f64>,
    /// The same of those at members that were not slow.
    pub percent_of_swim_at_healthy: Option<f64>,
    /// The paper's two percentages, where they are at hand.
    pub published_percent: Option<(f64, f64)>,
    /// From a kill until the first member knew; median.
    pub detect_first_ms: Option<f64>,
    /// From a kill until all knew; median.
    pub detect_full_ms: Option<f64>,
    /// Datagrams that each member sent a second while some were slow.
    pub datagrams_per_node_per_s: f64,
    /// Their payload.
    pub bytes_per_node_per_s: f64,
    /// Messages that were held by slow members: the fault did fire.
    pub held: u64,
}

/// Its name, the parts that are on, and the two percentages that the paper has for it.
type Configuration = (&'static str, Parts, Option<(f64, f64)>);

/// The configurations: the paper's, by which parts are on; then this protocol's, whole and with one part taken away.
fn configurations() -> Vec<Configuration> {
    let (swim, all) = (Parts::SWIM, Parts::ALL);
    vec![
        ("SWIM", swim, Some((100.0, 100.0))),
        ("LHA-Probe", Parts { lha_probe: true, ..swim }, None),
        ("LHA-Suspicion", Parts { lha_suspicion: true, ..swim }, None),
        ("Buddy System", Parts { buddy: true, ..swim }, None),
        ("Lifeguard", Parts::LIFEGUARD, Some((1.53, 1.89))),
        ("Starling", all, None),
        ("Starling without LHA-Probe", Parts { lha_probe: false, ..all }, None),
        ("Starling without LHA-Suspicion", Parts { lha_suspicion: false, ..all }, None),
        ("Starling without Buddy System", Parts { buddy: false, ..all }, None),
        ("Starling without probes on hearsay", Parts { hearsay_probes: false, ..all }, None),
        ("Starling without RTT timeouts", Parts { rtt_timeouts: false, ..all }, None),
        ("Starling without retries", Parts { retries: false, ..all }, None),
        ("Starling without a sense of its own silence", Parts { own_silence: false, ..all }, None),
        ("Starling without promises", Parts { promises: false, ..all }, None),
        ("Starling without shedding", Parts { shedding: false, ..all }, None),
    ]
}

/// Runs the whole experiment: every configuration through every number of slow members, time blocked and time between,
/// for `time` each; `done` gets each configuration as it is finished.
pub fn lifeguard(seed: u64, time: Duration, mut done: impl FnMut(&LifeguardRow)) -> Vec<LifeguardRow> {
    let mut rows: Vec<LifeguardRow> = Vec::new();
    for (configuration, parts, published_percent) in configurations() {
        let mut row = LifeguardRow { configuration, published_percent, ..LifeguardRow::default() };
        for (cell, (slow, blocked, between)) in cells().enumerate() {
            slow_members(seed.wrapping_add(cell as u64), parts, slow, blocked, between, time, &mut row);
        }
        let runs = cells().count() as f64;
        row.datagrams_per_node_per_s /= runs;
        row.bytes_per_node_per_s /= runs;
        kills(seed, parts, &mut row);
        let (all, healthy) =
            rows.first().map_or((row.false_positives, row.false_positives_at_healthy), |swim| {
                (swim.false_positives, swim.false_positives_at_healthy)
            });
        let percent = |part: usize, whole: usize| (whole > 0).then(|| part as f64 * 100.0 / whole as f64);
        row.percent_of_swim = percent(row.false_positives, all);
        row.percent_of_swim_at_healthy = percent(row.false_positives_at_healthy, healthy);
        done(&row);
        rows.push(row);
    }
    rows
}

fn cells() -> impl Iterator<Item = (usize, Duration, Duration)> {
    let ms = Duration::from_millis;
    SLOW.into_iter().flat_map(move |slow| {
        BLOCKED_MS.into_iter().flat_map(move |blocked| {
            BETWEEN_MS.into_iter().map(move |between| (slow, ms(blocked), ms(between)))
        })
    })
}

/// One run: `slow` members are blocked and free again, in turns, all at the same time.
fn slow_members(
    seed: u64,
    parts: Parts,
    slow: usize,
    blocked: Duration,
    between: Duration,
    time: Duration,
    row: &mut LifeguardRow,
) {
    let mut world = World::ring(Topology::flat(Duration::from_micros(500)), seed, NODES, Timing::Lan);
    (0..NODES).for_each(|index| world.config_mut(index).parts = parts);
    world.start_all();
    world.run(Duration::from_secs(15));
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    let slow = index::sample(&mut rng, NODES, slow).into_vec();
    let (seen, before, begin) = (world.log().len(), traffic(&world), world.now());
    while world.now().since(begin) < time {
        for node in &slow {
            world.hold(*node, blocked);
        }
        // Not to the very end of it, so that nothing is in step with the protocol period.
        world.run(blocked + between + Duration::from_millis(rng.random_range(0..10)));
    }
    let node_seconds = world.now().since(begin).as_secs_f64() * NODES as f64;
    let after = traffic(&world);
    row.datagrams_per_node_per_s += (after.0 - before.0) as f64 / node_seconds;
    row.bytes_per_node_per_s += (after.1 - before.1) as f64 / node_seconds;
    row.held += world.fired().held;
    for entry in &world.log()[seen..] {
        let Event::Failed(member) = &entry.event else { continue };
        let wrong = world.at_address(member.identity.gossip).is_some_and(|index| !slow.contains(&index));
        row.false_positives += usize::from(wrong);
        row.false_positives_at_healthy += usize::from(wrong && !slow.contains(&entry.node));
    }
}

fn traffic(world: &World) -> (u64, u64) {
    let stats = (0..world.len()).filter_map(|index| Some(world.node(index)?.stats()));
    stats.fold((0, 0), |sum, stats| (sum.0 + stats.datagrams_sent, sum.1 + stats.bytes_sent))
}

fn kills(seed: u64, parts: Parts, row: &mut LifeguardRow) {
    let mut scenario = Scenario::new(seed);
    scenario.nodes = NODES;
    scenario.topology = Topology::flat(Duration::from_micros(500));
    scenario.kill = KILLED;
    scenario.duration = Duration::from_secs(1);
    scenario.parts = parts;
    let report = run(&scenario);
    row.detect_first_ms = report.detect_first_ms.map(|spread| spread.median);
    row.detect_full_ms = report.detect_full_ms.map(|spread| spread.median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_keep_slow_members_from_slandering_the_others() {
        let false_positives = |parts| {
            let mut row = LifeguardRow::default();
            let blocked = Duration::from_millis(8_192);
            slow_members(1, parts, 8, blocked, Duration::from_millis(64), Duration::from_secs(30), &mut row);
            assert!(row.held > 0, "the fault did fire");
            row.false_positives
        };
        assert!(false_positives(Parts::SWIM) > 1_000);
        assert_eq!(false_positives(Parts::ALL), 0);
    }
}
