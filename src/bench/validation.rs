//! The same requests on the lab and in the simulator: what was measured beside what was predicted, and what each of both spent its
//! time on.
//!
//! A cell runs on the lab, and its nodes tell how long each job kept a worker. The simulator gets the same arrivals at the same nodes,
//! with the same lengths and those times, and has the same policy. So what differs is what the simulator does not have: see [`NOTE`].

use std::collections::BTreeMap;

use starling_placement::policy::{Policy, ScoreWeights};
use starling_placement::sim::{Decider, Setup, simulate};

use super::BenchError;
use super::cell::{Common, Run};
use super::cluster::Cluster;
use super::plan::Cell;
use super::report::{Side, Validation, ValidationRow};
use super::stats;
use crate::client::Client;
use crate::client::load::{Listener, Recording};

/// What explains a difference.
pub(super) const NOTE: &str = "Arrivals, nodes, lengths and the time that each job kept a worker are the same on both sides; a job \
    that was not done on the lab has the mean time of its clip. The simulator has no cost of its own for receiving, hashing and \
    looking at a video or for starting ffmpeg, its clients have 100 Mbit/s and 10 ms to each node, and what a job takes does not \
    depend on the node that does it. On one machine the nodes, the shaper and the load generator share the cores as well, which makes \
    the lab's waits longer where it is full: what is beyond the work is the way, the wait, and that.";

/// Runs a cell on the lab, and then in the simulator.
pub(super) async fn run(
    common: &Common<'_>,
    cell: &Cell,
    cluster: &Cluster,
    validation: &mut Validation,
) -> Result<(), BenchError> {
    let targets = cluster.nodes(None).map(Cluster::target).collect::<Result<Vec<_>, _>>()?;
    let endpoints = targets.iter().map(|target| &target.endpoint);
    let listener = Listener::start(&Client::new(), endpoints)
        .await
        .map_err(|error| BenchError::Lab(error.to_string()))?;
    let Run { records, sending, .. } = common.send(cell, cluster).await?;
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    let name = move |number| Ok((number, sending.content(number)?.short()));
    let hashed =
        tokio::task::spawn_blocking(move || numbers.into_iter().map(name).collect::<std::io::Result<_>>());
    let contents: BTreeMap<u64, String> = hashed
        .await
        .map_err(std::io::Error::other)
        .and_then(|names| names)
        .map_err(|error| BenchError::Lab(error.to_string()))?;
    let nodes: Vec<usize> = (0..cluster.report.nodes.len()).collect();
    let requests = listener.recorded(&records, &contents, &nodes).await;
    drop(listener);
    let work = requests.iter().map(|request| request.work.as_secs_f64()).sum::<f64>();
    let service_mean_ms = stats::round(work * 1000.0 / requests.len().max(1) as f64);
    let mut policy = Policy { kind: cell.setting.policy, ..Policy::default() };
    if let Some((load, rtt)) = cell.setting.weights {
        policy.weights = ScoreWeights::new(load, rtt).unwrap_or_default();
    }
    let timeout = common.options.timeout();
    let setup = Setup::replay(Decider::Policy(policy), nodes.len(), timeout, requests.clone(), cell.seed);
    let simulated = tokio::task::spawn_blocking(move || simulate(&setup, 1)).await;
    let figures = simulated.map_err(|error| BenchError::Lab(error.to_string()))?.figures;
    let latency = stats::latency(&records);
    let ms = |value: Option<f64>| stats::round(value.unwrap_or_default());
    validation.rows.push(ValidationRow {
        setting: cell.setting.label(),
        load: common.options.parallel.is_none().then_some(cell.load),
        seed: cell.seed,
        requests: requests.len() as u64,
        service_mean_ms,
        measured: Side {
            success_ratio: stats::success_ratio(records.iter()).unwrap_or_default(),
            mean_ms: latency.mean_ms,
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
        },
        simulated: Side {
            success_ratio: figures.success_ratio,
            mean_ms: ms(figures.mean_ms),
            p50_ms: ms(figures.p50_ms),
            p99_ms: ms(figures.p99_ms),
        },
    });
    validation.recorded.push(Recording { nodes: nodes.len(), workers: 1, deadline: timeout, requests });
    Ok(())
}
