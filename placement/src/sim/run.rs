//! One run from its begin to its figures.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::check::Violation;
use super::client;
use super::cluster::Cluster;
use super::plan::Planner;
use super::record::Rare;
use super::setup::{Mishap, Setup, Trouble};
use super::tally::Tally;
use crate::journey::clock;

/// How often the overlay's world goes on where no node looks at it, and how often checkers look at all nodes.
const STEP: Duration = Duration::from_millis(100);
/// Larger clusters are looked at less often.
const LOOKED_AT_OFTEN_MAX: usize = 20;
const LOOK_STEPS: u32 = 10;
/// What goes on after the last answer: the end of leases, and work for which no request waits.
const REST: Duration = Duration::from_secs(15);

/// What came of a run.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub tally: Tally,
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    pub rare: Rare,
    pub violations: Vec<Violation>,
    pub sim_seconds: f64,
    pub trace_hash: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    pub trace: Vec<String>,
}

/// Runs one. All of it is on this thread, in virtual time: the same setup, the same run.
pub(super) fn run(setup: &Setup) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let setup = with_deaths(setup);
    runtime.block_on(async move {
        let cluster = Arc::new(Cluster::new(setup, clock::now()));
        (0..cluster.setup.nodes).for_each(|index| cluster.start(index));
        let ran = watched(&cluster, all(&cluster)).await;
        cluster.close();
        ran
    })
}

/// The deaths that the workload itself has.
fn with_deaths(setup: &Setup) -> Setup {
    let mut setup = setup.clone();
    let deaths = setup.workload.deaths.min(setup.nodes.saturating_sub(1));
    let span = setup.span();
    for number in 0..deaths {
        let at = span.mul_f64((number + 1) as f64 / (deaths + 1) as f64);
        // Spread over the zones, and not the same node for each seed.
        let node = (setup.seed as usize + number * 7) % setup.nodes;
        setup.mishaps.push(Mishap { at, what: Trouble::Death { node, silent: true } });
    }
    setup.mishaps.sort_by_key(|mishap| mishap.at);
    setup
}

/// Drives requests and mishaps, and lets gossip and the checkers go on beside them.
async fn watched(cluster: &Arc<Cluster>, all: impl Future<Output = ()>) -> Ran {
    let mut all = std::pin::pin!(all);
    let mut steps = 0;
    loop {
        let next = tokio::time::sleep(STEP);
        tokio::select! {
            biased;
            () = &mut all => break,
            () = next => {}
        }
        cluster.gossip();
        steps += 1;
        if cluster.setup.nodes <= LOOKED_AT_OFTEN_MAX || steps % LOOK_STEPS == 0 {
            look(cluster);
        }
    }
    look(cluster);
    let at = cluster.elapsed();
    let mut record = cluster.record();
    record.check.finish(at);
    Ran {
        tally: record.tally.clone(),
        rare: record.rare,
        violations: record.check.violations().to_vec(),
        sim_seconds: at.as_secs_f64(),
        trace_hash: record.trace.hash(),
        trace: record.trace.take_lines(),
    }
}

fn look(cluster: &Cluster) {
    let (at, nodes) = (cluster.elapsed(), cluster.live());
    let mut record = cluster.record();
    for node in nodes {
        record.check.look(at, &node, &cluster.setup);
    }
    record.check.look_at_requests(at);
}

/// All requests, and all that goes wrong.
async fn all(cluster: &Arc<Cluster>) {
    tokio::time::sleep(cluster.setup.settle).await;
    let begin = clock::now();
    let mishaps = async {
        for mishap in &cluster.setup.mishaps {
            clock::sleep_until(begin + mishap.at).await;
            cluster.strike(&mishap.what);
        }
    };
    match cluster.setup.closed_loop {
        Some((slots, time)) => drop(tokio::join!(mishaps, in_a_loop(cluster, slots, time))),
        None => drop(tokio::join!(mishaps, in_time(cluster, begin))),
    }
    tokio::time::sleep(REST).await;
}

/// Requests that come when they come.
async fn in_time(cluster: &Arc<Cluster>, begin: std::time::Instant) {
    let mut planner = Planner::new(&cluster.setup);
    let mut under_way = FuturesUnordered::new();
    let mut contents = std::collections::BTreeSet::new();
    for _ in 0..cluster.setup.jobs {
        let request = planner.next();
        contents.insert(request.content);
        let mut comes = std::pin::pin!(clock::sleep_until(begin + request.at));
        loop {
            tokio::select! {
                biased;
                () = &mut comes => break,
                Some(_) = under_way.next() => {}
            }
        }
        let cluster = Arc::clone(cluster);
        under_way.push(async move { client::send(&cluster, &request).await });
    }
    while under_way.next().await.is_some() {}
    cluster.record().tally.contents = contents.len() as u64;
}

/// So many clients at once, each of which sends its next request when the one before is answered: the paper's client.
async fn in_a_loop(cluster: &Arc<Cluster>, slots: usize, time: Duration) {
    let mut planner = Planner::new(&cluster.setup);
    let (begin, mut under_way) = (clock::now(), FuturesUnordered::new());
    let mut contents = std::collections::BTreeSet::new();
    let mut one = |under_way: &mut FuturesUnordered<_>| {
        let request = planner.one(clock::now() - begin);
        contents.insert(request.content);
        let cluster = Arc::clone(cluster);
        under_way.push(async move { client::send(&cluster, &request).await });
    };
    (0..slots).for_each(|_| one(&mut under_way));
    while under_way.next().await.is_some() {
        if clock::now() < begin + time {
            one(&mut under_way);
        }
    }
    drop(under_way);
    cluster.record().tally.contents = contents.len() as u64;
}
