//! Random schedules of faults, by kind.

use std::time::Duration;

use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Fault, FaultKind};
use crate::{KEY_BYTES, Keyring, Timing, Versions};

/// Makes schedules of faults. Upgrades and rotations of keys go step by step, so what was planned before counts.
pub(super) struct Planner {
    rng: ChaCha8Rng,
    nodes: usize,
    /// The protocol period: what is short for one timing is long for another.
    period: Duration,
    /// Steps done of a rolling upgrade, and when the last one is over.
    upgrades: u8,
    upgraded_at: Duration,
    /// Steps done of a rotation of keys, and when the last one is over.
    rotations: u8,
    rotated_at: Duration,
}

/// What comes of a fault, and when.
pub(super) type Schedule = Vec<(Duration, Fault)>;

/// Steps of an upgrade that a simulation takes at most.
const STEPS_MAX: u8 = 6;
/// A step of an upgrade or of a rotation takes each node in turn; so many milliseconds lie between two of them.
const STEP_MS: std::ops::Range<u64> = 100..600;

/// The keyring after so many steps of a rotation: the old key alone, with the new one, the new one in front, alone.
pub(super) fn keyring_of(step: u8) -> Keyring {
    let (round, phase) = (step / 3, step % 3);
    let [old, new] = [round, round + 1].map(|number| Keyring::line(&[number + 1; KEY_BYTES]));
    let text = match phase {
        0 => old,
        1 => format!("{old}\n{new}"),
        _ => format!("{new}\n{old}"),
    };
    Keyring::parse(&text).expect("a valid keyring")
}

/// What is spoken after so many steps of upgrades: a release takes a version up, the next one drops the one before.
pub(super) fn versions_of(step: u8) -> Versions {
    Versions::new(1 + step / 2, 1 + step.div_ceil(2)).expect("in order")
}

impl Planner {
    pub fn new(seed: u64, nodes: usize, timing: Timing) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes,
            period: timing.period(),
            upgrades: 0,
            upgraded_at: Duration::ZERO,
            rotations: 0,
            rotated_at: Duration::ZERO,
        }
    }

    /// A fault of this kind from `at` to `back`. The network is not healed. Node 0 is never taken down for long, so that
    /// there is always somebody to come back to.
    pub fn plan(&mut self, kind: FaultKind, at: Duration, back: Duration) -> Schedule {
        let rng = &mut self.rng;
        let ms = Duration::from_millis;
        let victim = rng.random_range(1..self.nodes);
        let one = |fault| vec![(at, fault)];
        match kind {
            FaultKind::Loss => one(Fault::Loss(rng.random_range(0.05..0.4))),
            FaultKind::Bursts => one(Fault::Bursts(rng.random_range(0.05..0.3), rng.random_range(2.0..20.0))),
            FaultKind::Duplicate => one(Fault::Duplicate(rng.random_range(0.05..0.5))),
            FaultKind::Reorder => one(Fault::Reorder(rng.random_range(0.05..0.5))),
            FaultKind::Delay => one(Fault::Delay(ms(rng.random_range(500..3_000)))),
            FaultKind::Corrupt => one(Fault::Corrupt(rng.random_range(0.05..0.3))),
            FaultKind::Replay => one(Fault::Replay(rng.random_range(0.05..0.5))),
            FaultKind::BlackHole => self.plan_hole(victim, at),
            // A ping and an ack that come close together are too much already: a quiet cluster, too, meets it.
            FaultKind::FullBuffer => {
                one(Fault::FullBuffer(victim, 1, self.period / rng.random_range(10..=20)))
            }
            FaultKind::Rebind => one(Fault::Rebind(victim, rng.random_bool(0.5))),
            FaultKind::Partition => {
                let side = rng.random_range(1..=self.nodes / 2);
                one(Fault::Partition((0..self.nodes).choose_multiple(rng, side)))
            }
            FaultKind::OneWay => {
                let other = (victim + rng.random_range(1..self.nodes)) % self.nodes;
                one(Fault::OneWay(victim, other))
            }
            FaultKind::Deaf => one(Fault::Deaf(victim)),
            FaultKind::Bridge => {
                let others = (0..self.nodes).filter(|index| *index != victim);
                one(Fault::Bridge(victim, others.choose_multiple(rng, self.nodes / 2)))
            }
            FaultKind::NonTransitive => {
                let pairs = self.pairs(0.2);
                one(Fault::NonTransitive(pairs))
            }
            FaultKind::Flap => {
                let time = ms(rng.random_range(200..5_000));
                let pairs = self.pairs(0.2);
                one(Fault::Flap(pairs, time))
            }
            process => self.plan_process(process, victim, at, back),
        }
    }

    /// A black hole for larger datagrams, and restarts by which it is met.
    fn plan_hole(&mut self, victim: usize, at: Duration) -> Schedule {
        let ms = Duration::from_millis;
        let bytes = *[600, 900, 1_200].choose(&mut self.rng).expect("not empty");
        let pairs = if self.rng.random_bool(0.5) {
            (0..self.nodes).filter(|other| *other != victim).map(|other| (victim, other)).collect()
        } else {
            self.pairs(0.33)
        };
        // Datagrams are large when many nodes come at once; that by which a node joins always is. The victim's seed is
        // the next node: there the hole is met in the smallest cluster, too.
        let seed = (victim, (victim + 1) % self.nodes);
        let both = pairs.iter().chain([&seed]).flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
        let mut schedule = vec![(at, Fault::BlackHole(both, bytes))];
        let again = self.rng.random_range(2..=self.nodes);
        for node in (0..self.nodes).choose_multiple(&mut self.rng, again).into_iter().chain([victim]) {
            schedule.push((at + ms(1_000), Fault::Kill(node)));
            schedule.push((at + ms(1_500), Fault::Start(node)));
        }
        schedule
    }

    /// Faults of processes.
    fn plan_process(&mut self, kind: FaultKind, victim: usize, at: Duration, back: Duration) -> Schedule {
        let rng = &mut self.rng;
        let ms = Duration::from_millis;
        let one = |fault| vec![(at, fault)];
        match kind {
            FaultKind::Crash => vec![(at, Fault::Kill(victim)), (back, Fault::Start(victim))],
            FaultKind::RestartAll => {
                let all = 0..self.nodes;
                let again = at + ms(500);
                all.flat_map(|node| [(at, Fault::Kill(node)), (again, Fault::Start(node))]).collect()
            }
            FaultKind::Leave => vec![(at, Fault::Leave(victim)), (back, Fault::Start(victim))],
            FaultKind::ClockStep => {
                let by = *[-86_400_000, -1_000, 60_000].choose(rng).expect("not empty");
                one(Fault::ClockStep(victim, by))
            }
            FaultKind::Move => one(Fault::Move(victim)),
            FaultKind::Swap => {
                let other = if self.nodes == 2 { 0 } else { 1 + victim % (self.nodes - 1) };
                one(Fault::Swap(victim, other))
            }
            FaultKind::Pause => {
                let seconds = *[1, 5, 20, 60].choose(rng).expect("not empty");
                // For a period at least, or nothing may come meanwhile.
                let time = Duration::from_secs(seconds).max(self.period);
                one(Fault::Pause(victim, time.min(back.saturating_sub(at).max(ms(100)))))
            }
            FaultKind::Starve => {
                let most = (self.nodes * 32 / 100).max(1);
                let count = rng.random_range(1..=most);
                let nodes = (1..self.nodes).choose_multiple(rng, count);
                one(Fault::Starve(nodes, ms(rng.random_range(128..8_192)), ms(rng.random_range(1..1_000))))
            }
            FaultKind::Busy => {
                let most = (self.nodes * 32 / 100).max(1);
                let count = rng.random_range(1..=most);
                let nodes = (1..self.nodes).choose_multiple(rng, count);
                // A node at rest reads and sends some ten datagrams a period.
                one(Fault::Busy(nodes, self.period / rng.random_range(8..=40)))
            }
            FaultKind::MassDeath => {
                let most = *[2, 3, 5].choose(rng).expect("not empty");
                let mut survivors = (1..self.nodes).choose_multiple(rng, most.min(self.nodes / 2) - 1);
                survivors.push(0);
                let others: Vec<usize> = (0..self.nodes).filter(|node| !survivors.contains(node)).collect();
                // Not before the survivors may have noticed.
                let back = back.max(at + self.period * rng.random_range(1..60));
                let again = others.into_iter().map(|node| (back, Fault::Start(node)));
                std::iter::once((at, Fault::MassDeath(survivors, rng.random_bool(0.5))))
                    .chain(again)
                    .collect()
            }
            FaultKind::Upgrade => self.plan_upgrade(at),
            FaultKind::Rekey => self.plan_rotation(at),
            _ => one(Fault::Slow(victim, ms(rng.random_range(10..3_000)))),
        }
    }

    /// Takes all nodes to the next step of an upgrade, or back by one.
    fn plan_upgrade(&mut self, at: Duration) -> Schedule {
        let back = self.upgrades > 0 && (self.upgrades == STEPS_MAX || self.rng.random_bool(0.25));
        self.upgrades = if back { self.upgrades - 1 } else { self.upgrades + 1 };
        let versions = versions_of(self.upgrades);
        let begin = at.max(self.upgraded_at);
        let (schedule, end) = self.each_in_turn(begin, |node| Fault::Upgrade(node, versions));
        self.upgraded_at = end;
        schedule
    }

    fn plan_rotation(&mut self, at: Duration) -> Schedule {
        // Nobody asks for so many that the last one is repeated.
        self.rotations = self.rotations.saturating_add(1);
        let keyring = keyring_of(self.rotations);
        let begin = at.max(self.rotated_at);
        let (schedule, end) = self.each_in_turn(begin, |node| Fault::Rekey(node, keyring.clone()));
        self.rotated_at = end;
        schedule
    }

    /// The same for all nodes, one after the other in random order, and when it is over.
    fn each_in_turn(&mut self, begin: Duration, fault: impl Fn(usize) -> Fault) -> (Schedule, Duration) {
        let mut order: Vec<usize> = (0..self.nodes).collect();
        order.shuffle(&mut self.rng);
        let mut at = begin;
        let mut schedule = Schedule::new();
        for node in order {
            schedule.push((at, fault(node)));
            at += Duration::from_millis(self.rng.random_range(STEP_MS));
        }
        (schedule, at)
    }

    /// About this share of all pairs, and one at least.
    fn pairs(&mut self, share: f64) -> Vec<(usize, usize)> {
        let all = (0..self.nodes).flat_map(|a| (0..a).map(move |b| (a, b)));
        let mut some: Vec<_> = all.filter(|_| self.rng.random_bool(share)).collect();
        if some.is_empty() {
            let a = self.rng.random_range(1..self.nodes);
            some.push((a, self.rng.random_range(0..a)));
        }
        some
    }
}

/// A schedule of faults of all kinds for `nodes` nodes over `length`, by its seed, sorted by time. At the end the network
/// heals, and whoever is down starts again.
pub fn mixed_faults(seed: u64, nodes: usize, timing: Timing, length: Duration) -> Vec<(Duration, Fault)> {
    let mut planner = Planner::new(seed, nodes, timing);
    let mut schedule = Vec::new();
    let mut at = Duration::ZERO;
    while at < length {
        at += Duration::from_millis(planner.rng.random_range(200..8_000));
        let back = at + Duration::from_millis(planner.rng.random_range(0..20_000));
        let kind = *FaultKind::ALL.choose(&mut planner.rng).expect("not empty");
        let faults = planner.plan(kind, at, back);
        schedule.extend(faults);
        if planner.rng.random_bool(0.5) {
            schedule.push((back, Fault::Heal));
        }
    }
    let end = schedule.iter().map(|(at, _)| *at).max().unwrap_or(at);
    schedule.push((end, Fault::Heal));
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}
