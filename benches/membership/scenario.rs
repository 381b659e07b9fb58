//! What is done to a cluster, and what comes of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, Entry, Views};
use crate::system::{Change, System, name};
use crate::{NODES, Result, network};

/// One scenario; run for each system in turn, so that the machine's mood falls on both.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(System) -> Result<Vec<Figure>>,
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "join", run: join },
    Scenario { name: "rest", run: rest },
    Scenario { name: "kill", run: kill },
    Scenario { name: "loss", run: loss },
    Scenario { name: "partition", run: partition },
    Scenario { name: "stop", run: stop },
];

/// One row of the table.
pub struct Figure {
    pub what: String,
    pub unit: &'static str,
    value: Value,
}

enum Value {
    Exact(u64),
    Measured(f64),
    /// The time was up.
    Over(Duration),
}

impl Figure {
    fn exact(what: impl Into<String>, unit: &'static str, value: usize) -> Self {
        Self { what: what.into(), unit, value: Value::Exact(value as u64) }
    }

    fn measured(what: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { what: what.into(), unit, value: Value::Measured(value) }
    }

    fn time(what: impl Into<String>, value: Option<Duration>, limit: Duration) -> Self {
        let value = value.map_or(Value::Over(limit), |value| Value::Measured(value.as_secs_f64()));
        Self { what: what.into(), unit: "s", value }
    }

    pub fn text(&self) -> String {
        match self.value {
            Value::Exact(value) => value.to_string(),
            Value::Measured(value) if value >= 100.0 => format!("{value:.0}"),
            Value::Measured(value) => format!("{value:.2}"),
            Value::Over(limit) => format!("over {}", limit.as_secs()),
        }
    }
}

/// Sorted, so that what did not happen in time comes last.
struct Times(Vec<Option<Duration>>, Duration);

impl Times {
    fn new(mut times: Vec<Option<Duration>>, limit: Duration) -> Self {
        times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
        Self(times, limit)
    }

    fn median(&self, what: &str) -> Figure {
        Figure::time(format!("{what}, median"), self.0[self.0.len() / 2], self.1)
    }

    fn max(&self, what: &str) -> Figure {
        Figure::time(format!("{what}, max"), self.0[self.0.len() - 1], self.1)
    }
}

/// From the start of the first process until a node sees all others.
fn join(system: System) -> Result<Vec<Figure>> {
    const ROUNDS: usize = 5;
    const LIMIT: Duration = Duration::from_secs(60);
    network::clear()?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.extend(Cluster::start(system)?.joined_after(LIMIT));
    }
    let times = Times::new(times, LIMIT);
    let what = "ring of single seeds: a node sees all 20";
    Ok(vec![times.median(what), times.max(what)])
}

/// A minute in which nothing happens.
fn rest(system: System) -> Result<Vec<Figure>> {
    const REST: Duration = Duration::from_secs(60);
    const IP_AND_UDP_HEADER_BYTES: u64 = 28;
    network::clear()?;
    let cluster = Cluster::settled(system)?;
    network::count()?;
    let (begun, cpu) = (Instant::now(), cluster.cpu_seconds()?);
    sleep(REST);
    let (traffic, cpu, seconds) =
        (network::traffic()?, cluster.cpu_seconds()? - cpu, begun.elapsed().as_secs_f64());
    network::clear()?;
    let each = |value: f64| value / seconds / NODES as f64;
    let payload = traffic.udp_bytes - IP_AND_UDP_HEADER_BYTES * traffic.udp_packets;
    Ok(vec![
        Figure::measured("at rest: UDP payload sent, a node", "B/s", each(payload as f64)),
        Figure::measured("at rest: UDP and TCP with headers, a node", "B/s", {
            each((traffic.udp_bytes + traffic.tcp_bytes) as f64)
        }),
        Figure::measured("at rest: datagrams, a node", "1/s", each(traffic.udp_packets as f64)),
        Figure::measured("at rest: CPU of one core, a node", "%", each(cpu) * 100.0),
        Figure::measured("at rest: RSS, a node", "MB", cluster.rss_bytes()? / 1e6),
    ])
}

/// SIGKILL, until the first and until all others say that it has failed.
fn kill(system: System) -> Result<Vec<Figure>> {
    const ROUNDS: usize = 7;
    const LIMIT: Duration = Duration::from_secs(60);
    network::clear()?;
    let mut cluster = Cluster::settled(system)?;
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let victim = (round * 3) % NODES;
        // Not always at the same point of the protocol period.
        sleep(Duration::from_millis(137 * round as u64));
        let killed = Instant::now();
        cluster.kill(victim)?;
        let (one, everyone) = told_of(&cluster, killed, victim, LIMIT);
        first.push(one);
        all.push(everyone);
        let restarted = Instant::now();
        cluster.restart(victim)?;
        cluster.all_see_all(LIMIT).ok_or("the restarted node is not seen by all")?;
        sleep(Duration::from_secs(10).saturating_sub(restarted.elapsed()));
    }
    let (first, all) = (Times::new(first, LIMIT), Times::new(all, LIMIT));
    let (one, everyone) = ("kill -9: the first knows", "kill -9: all know");
    Ok(vec![first.median(one), first.max(one), all.median(everyone), all.max(everyone)])
}

/// A minute of loss on all links, then none.
fn loss(system: System) -> Result<Vec<Figure>> {
    const LOSSY: Duration = Duration::from_secs(60);
    const LIMIT: Duration = Duration::from_secs(60);
    let mut figures = Vec::new();
    for percent in [10, 25, 40] {
        network::clear()?;
        let cluster = Cluster::settled(system)?;
        let begun = Instant::now();
        network::lose(percent)?;
        sleep(LOSSY);
        network::clear()?;
        let entries = cluster.since(begun);
        let count =
            |wanted: fn(&Change) -> bool| entries.iter().filter(|entry| wanted(&entry.change)).count();
        let what = format!("{percent} % loss for 60 s");
        figures.push(Figure::exact(format!("{what}: false failures"), "", {
            count(|change| matches!(change, Change::Failed(_)))
        }));
        figures.push(Figure::exact(format!("{what}: suspicions"), "", {
            count(|change| matches!(change, Change::Suspected(_)))
        }));
        cluster.all_see_all(LIMIT).ok_or("after the loss, not all see all again")?;
    }
    Ok(figures)
}

/// Two halves that do not hear each other until all of each know, and ten seconds more; then they do again.
fn partition(system: System) -> Result<Vec<Figure>> {
    const ROUNDS: usize = 3;
    const LIMIT: Duration = Duration::from_secs(90);
    let (mut parted, mut healed) = (Vec::new(), Vec::new());
    network::clear()?;
    let cluster = Cluster::settled(system)?;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        network::part(0..NODES / 2, NODES / 2..NODES)?;
        let mut failures = BTreeSet::new();
        let all = cluster.watch(begun, LIMIT, |entry| {
            if let Change::Failed(member) = &entry.change {
                failures.insert((entry.node, member.clone()));
            }
            if failures.len() == NODES * NODES / 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        parted.push(all.map(|at| at - begun));
        sleep(Duration::from_secs(10));
        let begun = Instant::now();
        network::clear()?;
        let all = cluster.all_see_all(LIMIT);
        healed.push(all.map(|at| at.saturating_duration_since(begun)));
        sleep(Duration::from_secs(10));
    }
    let (parted, healed) = (Times::new(parted, LIMIT), Times::new(healed, LIMIT));
    let (what, back) = ("10/10 partition: all know", "10/10 partition: healed");
    Ok(vec![parted.median(what), parted.max(what), healed.median(back), healed.max(back)])
}

/// SIGSTOP of one for 20 s: the others miss it, it must not accuse them when it wakes, and it comes back.
fn stop(system: System) -> Result<Vec<Figure>> {
    const ROUNDS: usize = 3;
    const STOPPED: Duration = Duration::from_secs(20);
    const LIMIT: Duration = Duration::from_secs(60);
    network::clear()?;
    let cluster = Cluster::settled(system)?;
    let (mut all, mut back, mut wrong) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let victim = 2 + 5 * round;
        let begun = Instant::now();
        cluster.signal(victim, Signal::STOP)?;
        all.push(told_of(&cluster, begun, victim, STOPPED).1);
        sleep(STOPPED.saturating_sub(begun.elapsed()));
        let woken = Instant::now();
        cluster.signal(victim, Signal::CONT)?;
        back.push(seen_again(&cluster, begun, woken, victim, LIMIT));
        sleep(Duration::from_secs(10));
        let other = |entry: &&Entry| matches!(&entry.change, Change::Failed(of) if *of != name(victim));
        wrong += cluster.since(begun).iter().filter(other).count();
    }
    let (all, back) = (Times::new(all, STOPPED), Times::new(back, LIMIT));
    Ok(vec![
        all.median("SIGSTOP for 20 s: all know"),
        all.max("SIGSTOP for 20 s: all know"),
        back.median("woken: all see it again"),
        back.max("woken: all see it again"),
        Figure::exact("woken: failures of others that it or anyone reports", "", wrong),
    ])
}

/// When the first and when the last of the others said that the victim has failed.
fn told_of(
    cluster: &Cluster,
    since: Instant,
    victim: usize,
    limit: Duration,
) -> (Option<Duration>, Option<Duration>) {
    let mut told = BTreeSet::new();
    let mut first = None;
    let last = cluster.watch(since, limit, |entry| {
        if entry.change == Change::Failed(name(victim)) && entry.node != victim {
            first.get_or_insert(entry.at - since);
            told.insert(entry.node);
        }
        if told.len() == NODES - 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (first, last.map(|at| at - since))
}

/// From waking until all who had lost it see it again; at once if nobody had.
fn seen_again(
    cluster: &Cluster,
    since: Instant,
    woken: Instant,
    victim: usize,
    limit: Duration,
) -> Option<Duration> {
    let mut views = Views::default();
    for view in &mut views.0 {
        view.insert(name(victim));
    }
    let all = |views: &Views| {
        views.0.iter().enumerate().all(|(node, view)| node == victim || view.contains(&name(victim)))
    };
    let before = cluster.since(since).into_iter().filter(|entry| entry.at < woken);
    before.for_each(|entry| views.take(&entry));
    if all(&views) {
        return Some(Duration::ZERO);
    }
    let back = cluster.watch(woken, limit, |entry| {
        views.take(entry);
        if all(&views) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    back.map(|at| at - woken)
}
