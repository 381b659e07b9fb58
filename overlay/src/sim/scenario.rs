//! One simulation from its beginning to its report.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::report::share;
use super::schedule::{Planner, keyring_of};
use super::{Checker, Entry, Fault, FaultKind, Report, Spread, Topology, Watcher, World, routing};
use crate::{Event, Input, LoadSample, Parts, Time, Timing};

/// What to simulate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// How many nodes.
    pub nodes: usize,
    /// Zones and links.
    pub topology: Topology,
    /// Protocol timing.
    pub timing: Timing,
    /// Part of the datagrams that is lost, once the cluster stands.
    pub loss: f64,
    /// How many nodes are killed, one after the other.
    pub kill: usize,
    /// Cut the cluster in halves for this long.
    pub partition: Option<Duration>,
    /// How many nodes are slow: stopped again and again (Lifeguard's experiment).
    pub slow_nodes: usize,
    /// Faults, one kind after the other, each for `duration` and then healed.
    pub faults: Vec<FaultKind>,
    /// How long to watch the cluster, beyond what the faults take.
    pub duration: Duration,
    /// Makes all random choices.
    pub seed: u64,
    /// Begin with a cluster in which all have known each other for long, instead of a ring of single seeds.
    pub warm: bool,
    /// Parts of the failure detector that are on.
    #[doc(hidden)]
    pub parts: Parts,
}

impl Scenario {
    /// Twenty nodes in the paper's zones for a minute, without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: 20,
            topology: Topology::paper(),
            timing: Timing::Lan,
            loss: 0.0,
            kill: 0,
            partition: None,
            slow_nodes: 0,
            faults: Vec::new(),
            duration: Duration::from_secs(60),
            seed,
            warm: false,
            parts: Parts::ALL,
        }
    }
}

/// How long any cluster may take to come to rest before that counts as a violation.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clusters up to this size are checked often; in larger ones a look at every pair of nodes takes too long.
const CHECKED_OFTEN_MAX: usize = 100;

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Report {
    through(Run::new(scenario))
}

/// The same while somebody looks.
pub fn run_shown(scenario: &Scenario, watcher: Watcher) -> Report {
    let mut run = Run::new(scenario);
    run.world.watch(watcher);
    through(run)
}

fn through(mut run: Run<'_>) -> Report {
    run.report.converged_ms = run.converge();
    run.rest();
    run.losses();
    run.kills();
    run.halves();
    run.directed();
    run.finish()
}

struct Run<'a> {
    scenario: &'a Scenario,
    world: World,
    rng: ChaCha8Rng,
    checker: Checker,
    report: Report,
    /// Who is down, and since when.
    down: BTreeMap<usize, Time>,
    slow: Vec<usize>,
    loads: u32,
    /// How busy each node is, in thousandths.
    levels: Vec<i32>,
    load_at: Time,
    /// Log entries before this one are about what was meant to happen.
    judged: usize,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut world =
            World::ring(scenario.topology.clone(), scenario.seed, scenario.nodes, scenario.timing);
        (0..scenario.nodes).for_each(|index| world.config_mut(index).parts = scenario.parts);
        if scenario.faults.contains(&FaultKind::Rekey) {
            (0..scenario.nodes).for_each(|index| world.config_mut(index).keys = Some(keyring_of(0)));
        }
        if scenario.warm {
            world.start_warm();
        } else {
            world.start_all();
        }
        if scenario.nodes <= CHECKED_OFTEN_MAX {
            world.keep_contacts();
        }
        Self {
            scenario,
            world,
            rng: ChaCha8Rng::seed_from_u64(!scenario.seed),
            checker: Checker::default(),
            report: Report { nodes: scenario.nodes, seed: scenario.seed, ..Report::default() },
            down: BTreeMap::new(),
            slow: Vec::new(),
            loads: 0,
            levels: vec![0; scenario.nodes],
            load_at: Time::ZERO,
            judged: 0,
        }
    }

    /// Runs for a while; the nodes sample their load once a second.
    fn watch(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while self.world.now() < end {
            if self.world.now() >= self.load_at {
                self.publish_loads();
                self.load_at = self.world.now() + Duration::from_secs(1);
            }
            let next = end.min(self.load_at);
            let step = next.since(self.world.now());
            self.world.run(step);
            if self.scenario.nodes <= CHECKED_OFTEN_MAX {
                self.checker.safety(&self.world);
            }
        }
    }

    fn publish_loads(&mut self) {
        self.loads += 1;
        for index in 0..self.world.len() {
            // Nodes are busy to all degrees. Every 20 s or so a job begins or ends, and the processor's load changes by
            // up to a fifth; else it trembles.
            let level = &mut self.levels[index];
            if self.loads == 1 {
                *level = self.rng.random_range(0..1000);
            } else if self.rng.random_bool(0.05) {
                *level = (*level + self.rng.random_range(-200..=200)).clamp(0, 999);
            }
            let running_jobs = (*level / 334) as u16;
            let cpu_permille = (*level + self.rng.random_range(-10..=10)).clamp(0, 1000) as u16;
            let sample = LoadSample {
                seq: self.loads as u16,
                cpu_permille,
                memory_permille: 300,
                queue_capacity_jobs: 16,
                running_jobs,
                workers: 2,
                // With a job for each worker the next one waits, for up to 3 s.
                backlog_ms: (*level - 668).max(0) as u32 * 9,
                ..LoadSample::default()
            };
            if !self.world.is_paused(index) {
                self.world.input(index, Input::Load(sample));
            }
        }
    }

    /// Until everyone knows everyone who is up.
    fn converge(&mut self) -> Option<f64> {
        let begin = self.world.now();
        let step = Duration::from_millis(1);
        while !self.agreed() {
            if self.world.now().since(begin) > PATIENCE {
                self.checker.violated(&self.world, format!("no agreement after {PATIENCE:?}"));
                return None;
            }
            self.watch(step);
        }
        Some(millis(self.world.now().since(begin)))
    }

    fn agreed(&self) -> bool {
        let up = self.world.len() - self.down.len();
        (0..self.world.len()).filter_map(|index| self.world.node(index)).all(|swim| swim.live() == up)
    }

    /// The cluster at rest: what it costs, and how fresh its knowledge is.
    fn rest(&mut self) {
        let settle = Duration::from_secs(5);
        self.watch(settle);
        let before = self.traffic();
        self.watch(self.scenario.duration);
        let after = self.traffic();
        let per_node_second = self.scenario.duration.as_secs_f64() * self.world.len() as f64;
        self.report.datagrams_per_node_per_s = Some((after.0 - before.0) as f64 / per_node_second);
        self.report.bytes_per_node_per_s = Some((after.1 - before.1) as f64 / per_node_second);
        self.look_at_knowledge();
        self.judge(&BTreeMap::new());
    }

    fn traffic(&self) -> (u64, u64) {
        let stats = (0..self.world.len()).filter_map(|index| Some(self.world.node(index)?.stats()));
        stats.fold((0, 0), |sum, stats| (sum.0 + stats.datagrams_sent, sum.1 + stats.bytes_sent))
    }

    fn look_at_knowledge(&mut self) {
        let (mut own, mut others, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut fresh, mut expected) = (0, 0);
        let observers = index::sample(&mut self.rng, self.world.len(), self.world.len().min(50));
        let observers = observers.into_vec();
        routing::look(&self.world, &observers, &mut self.report);
        for index in observers {
            let Some(swim) = self.world.node(index) else { continue };
            let zone = &swim.identity().zone;
            let mut best: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for peer in swim.peers().filter(|peer| peer.is_live()) {
                let load = peer.known.as_ref().and_then(|known| known.load);
                let age = load.map(|(_, taken)| millis(self.world.now().since(taken)));
                if peer.identity.zone == *zone {
                    expected += 1;
                    fresh += usize::from(age.is_some_and(|age| age <= 10_000.0));
                    own.extend(age);
                } else {
                    best.entry(peer.identity.zone.as_str()).or_default().extend(age);
                }
                // How well coordinates alone do, also where the RTT has been measured.
                if let Some((rtt, _)) = swim.rtt_between(swim.key(), peer.key) {
                    let truth = self.world.rtt_between(index, peer.identity.gossip).as_secs_f64();
                    errors.push((rtt.as_secs_f64() - truth).abs() / truth);
                }
            }
            for ages in best.values_mut() {
                ages.sort_unstable_by(f64::total_cmp);
                others.extend(ages.iter().take(3));
            }
        }
        self.report.load_fresh_own_zone = share(fresh, expected);
        self.report.load_age_own_zone_ms = Spread::of(own);
        self.report.load_age_other_zones_ms = Spread::of(others);
        self.report.rtt_error = Spread::of(errors);
    }

    /// Loss and slow nodes: whoever is called dead now is not.
    fn losses(&mut self) {
        if self.scenario.loss == 0.0 && self.scenario.slow_nodes == 0 {
            return;
        }
        self.world.apply(&Fault::Loss(self.scenario.loss));
        let count = self.scenario.slow_nodes.min(self.world.len());
        self.slow = index::sample(&mut self.rng, self.world.len(), count).into_vec();
        let end = self.world.now() + self.scenario.duration;
        while self.world.now() < end {
            // Lifeguard's anomaly: stopped for a while, then running for a moment, over and over.
            for node in self.slow.clone() {
                let stopped = Duration::from_millis(self.rng.random_range(128..8_192));
                self.world.pause(node, stopped);
            }
            self.watch(Duration::from_secs(8));
        }
        self.judge(&BTreeMap::new());
        self.world.apply(&Fault::Heal);
        self.converge();
    }

    fn kills(&mut self) {
        let (mut first_suspicion, mut first, mut full, mut spread) = (vec![], vec![], vec![], vec![]);
        let victims =
            index::sample(&mut self.rng, self.world.len(), self.scenario.kill.min(self.world.len() - 1));
        for victim in victims {
            let at = self.world.now();
            let seen = self.world.log().len();
            self.world.apply(&Fault::Kill(victim));
            self.down.insert(victim, at);
            let Some(all) = self.converge() else { return };
            let name = format!("node{}", victim + 1);
            let about = |entry: &&Entry| subject(&entry.event).is_some_and(|subject| subject == name);
            let log = self.world.log()[seen..].iter().filter(about);
            let after = |entry: &Entry| millis(entry.at.since(at));
            let (mut suspected, mut failed) = (None, None);
            for entry in log {
                match entry.event {
                    Event::Suspected { .. } => suspected = suspected.or(Some(after(entry))),
                    Event::Failed(_) => failed = failed.or(Some(after(entry))),
                    _ => {}
                }
            }
            first_suspicion.extend(suspected);
            first.extend(failed);
            full.push(all);
            spread.extend(failed.map(|failed| all - failed));
            let pause = Duration::from_millis(self.rng.random_range(1_000..3_000));
            self.watch(pause);
        }
        self.report.suspect_first_ms = Spread::of(first_suspicion);
        self.report.detect_first_ms = Spread::of(first);
        self.report.detect_full_ms = Spread::of(full);
        self.report.dissemination_ms = Spread::of(spread);
        let down = self.down.clone();
        self.judge(&down);
    }

    fn halves(&mut self) {
        let Some(time) = self.scenario.partition else { return };
        let half = self.world.len() / 2;
        self.world.apply(&Fault::Partition((0..half).collect()));
        self.watch(time);
        self.judged = self.world.log().len();
        self.world.heal();
        self.report.heal_ms = self.converge();
        let down = self.down.clone();
        self.judge(&down);
    }

    /// Each kind of fault alone, on the whole cluster: who was killed is back before.
    fn directed(&mut self) {
        if self.scenario.faults.is_empty() {
            return;
        }
        for node in std::mem::take(&mut self.down).into_keys() {
            self.world.apply(&Fault::Start(node));
        }
        self.converge();
        let mut planner = Planner::new(self.scenario.seed, self.world.len(), self.scenario.timing);
        let begin = self.world.now();
        for kind in &self.scenario.faults {
            self.inject(*kind, &mut planner, begin);
        }
        self.judged = self.world.log().len();
    }

    /// One kind of fault; the planner's times count from `begin`.
    fn inject(&mut self, kind: FaultKind, planner: &mut Planner, begin: Time) {
        let before = kind.count(&self.world.fired());
        self.judged = self.world.log().len();
        let now = self.world.now().since(begin);
        let end = now + self.scenario.duration;
        let mut schedule = planner.plan(kind, now, end);
        schedule.sort_by_key(|(at, _)| *at);
        for (at, fault) in schedule {
            self.watch_until(begin + at);
            self.world.apply(&fault);
        }
        self.watch_until(begin + end);
        if kind.is_stood() {
            self.judge(&BTreeMap::new());
        }
        if kind.count(&self.world.fired()) == before {
            let (counter, time) = (kind.counter(), self.world.now().since(begin + now));
            let what = format!("the fault {kind} did nothing in {time:?} (nothing was counted as {counter})");
            self.checker.violated(&self.world, format!("{what}: give it more time or fewer nodes"));
        }
        self.world.apply(&Fault::Heal);
        self.converge();
    }

    fn watch_until(&mut self, end: Time) {
        self.watch(end.since(self.world.now()));
    }

    /// Counts verdicts and suspicions since the last judgement about nodes that were up.
    fn judge(&mut self, down: &BTreeMap<usize, Time>) {
        let (mut failures, mut healthy, mut suspicions) = (0, 0, 0);
        for entry in &self.world.log()[self.judged..] {
            let (Event::Failed(member) | Event::Suspected { member, .. }) = &entry.event else { continue };
            let index: Option<usize> = member.identity.name.as_str()[4..].parse().ok();
            let Some(index) = index.map(|number| number - 1).filter(|index| !down.contains_key(index)) else {
                continue;
            };
            if matches!(entry.event, Event::Failed(_)) {
                failures += 1;
                healthy += usize::from(!self.slow.contains(&index));
            } else {
                suspicions += 1;
            }
        }
        *self.report.false_failures.get_or_insert(0) += failures;
        *self.report.false_failures_healthy.get_or_insert(0) += healthy;
        *self.report.false_suspicions.get_or_insert(0) += suspicions;
        self.judged = self.world.log().len();
    }

    fn finish(mut self) -> Report {
        if self.scenario.nodes <= CHECKED_OFTEN_MAX {
            self.checker.safety(&self.world);
        }
        self.checker.sizes(&self.world);
        self.checker.effect(&self.world);
        self.report.sim_seconds = self.world.now().since(Time::ZERO).as_secs_f64();
        self.report.fired = self.world.fired();
        self.report.violations = self.checker.violations().iter().map(ToString::to_string).collect();
        self.report
    }
}

fn subject(event: &Event) -> Option<&str> {
    match event {
        Event::Failed(member) | Event::Suspected { member, .. } => Some(member.identity.name.as_str()),
        _ => None,
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
