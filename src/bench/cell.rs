//! One cell: a lab, uploads by a schedule, perhaps nodes that are killed; and what came of it.

use std::time::Duration;

use futures_util::future::join_all;

use super::BenchError;
use super::cluster::{Cluster, Lab};
use super::counters::{ByRegion, Counters, Meter, ratio};
use super::machine::cpus_per_node;
use super::plan::{Cell, Options};
use super::report::{CellReport, Failure, Machine, ResponseToOffload};
use super::stats;
use crate::client::load::{Pace, Record, Schedule, Sending, Source};

/// What every upload is made into: the paper's own recipe.
pub(super) const PROFILE: &str = "paper";
/// Length of one point of the time series.
const SERIES_PERIOD: Duration = Duration::from_secs(5);
/// The same of a run that is over in seconds.
const SERIES_PERIOD_SHORT: Duration = Duration::from_secs(1);

/// However slow the machine is, a short run sends something: it is to show that all works.
const SHORT_PER_S_MIN: f64 = 3.0;

/// What all cells of a bench have in common.
pub(super) struct Common<'a> {
    pub(super) options: &'a Options,
    pub(super) sources: &'a [Source],
    pub(super) machine: &'a Machine,
}

/// How the uploads of a run went.
pub(super) struct Run {
    sent_to: Vec<String>,
    pub(super) records: Vec<Record>,
    counters: Counters,
    killed: Vec<String>,
    /// What was sent.
    pub(super) sending: Sending,
}

impl Common<'_> {
    /// A lab for a cell; each node does one job at a time, on its share of the cores.
    pub(super) fn lab(&self, node_args: Vec<String>) -> Lab {
        let Options { nodes, isolation, backend, .. } = *self.options;
        let workers = ["--workers", "1"].map(str::to_owned);
        let node_args = workers.into_iter().chain(node_args).collect();
        // A short run is to be over soon, and measures nothing.
        let cpus = (!self.options.short).then(|| cpus_per_node(self.machine.cores, nodes));
        Lab { nodes, isolation, backend, cpus, node_args }
    }

    /// Runs a cell in a lab that is there.
    pub(super) async fn run(&self, cell: &Cell, cluster: &Cluster) -> Result<CellReport, BenchError> {
        let run = self.send(cell, cluster).await?;
        Ok(self.report(cell, &run))
    }

    fn pace(&self, cell: &Cell) -> Pace {
        let duration = self.options.duration;
        if let Some(parallel) = self.options.parallel {
            return Pace::Closed { parallel, duration };
        }
        let least = if self.options.short { SHORT_PER_S_MIN } else { 0.0 };
        Pace::poisson((cell.load * self.machine.capacity_per_s).max(least), duration, cell.seed)
    }

    /// Sends all of a cell's uploads.
    pub(super) async fn send(&self, cell: &Cell, cluster: &Cluster) -> Result<Run, BenchError> {
        let first_zone = cluster.report.nodes.first().map(|node| node.zone.as_str());
        let nodes: Vec<_> = cluster.nodes(first_zone.filter(|_| cell.one_region)).collect();
        let targets = nodes.iter().map(|node| Cluster::target(node)).collect::<Result<Vec<_>, _>>()?;
        let all = cluster.nodes(None).map(|node| Ok(Cluster::target(node)?.endpoint));
        let mut meter = Meter::new(all.collect::<Result<Vec<_>, BenchError>>()?.into_iter());
        let sending = Sending::begin(Schedule {
            nodes: targets,
            sources: self.sources.to_vec(),
            profile: Some(PROFILE.to_owned()),
            pace: self.pace(cell),
            timeout: self.options.timeout(),
            seed: cell.seed,
            unique: true,
        })
        .await?;
        // The last ones: the first node is the one that people look at.
        let names = cluster.report.nodes.iter().rev().map(|node| node.name.clone());
        let killed: Vec<_> = names.take(cell.kills).collect();
        let failure = async {
            if !killed.is_empty() {
                tokio::time::sleep_until((sending.began() + cell.kill_at).into()).await;
                // Their counters die with them.
                meter.read().await;
                for outcome in join_all(killed.iter().map(|node| cluster.kill(node))).await {
                    outcome?;
                }
            }
            Ok::<_, BenchError>(())
        };
        let (records, failed) = tokio::join!(sending.run(), failure);
        failed?;
        meter.read().await;
        let sent_to = nodes.iter().map(|node| node.name.clone()).collect();
        Ok(Run { sent_to, records, counters: meter.sum(), killed, sending })
    }

    fn report(&self, cell: &Cell, run: &Run) -> CellReport {
        let Run { sent_to, records, counters, killed, .. } = run;
        let kinds = stats::kinds(records);
        let succeeded = records.iter().filter(|record| stats::is_success(record)).count() as u64;
        let period =
            if self.options.duration < SERIES_PERIOD * 4 { SERIES_PERIOD_SHORT } else { SERIES_PERIOD };
        let (sent, came) = (counters.offloads, counters.responses);
        CellReport {
            experiment: cell.experiment,
            setting: cell.setting.label(),
            policy: cell.setting.policy.as_str().to_owned(),
            weights: cell.setting.weights,
            load: self.options.parallel.is_none().then_some(cell.load),
            seed: cell.seed,
            sent_to: sent_to.clone(),
            requests: records.len() as u64,
            succeeded,
            success_ratio: ratio(succeeded, records.len() as u64).unwrap_or_default(),
            throughput_per_s: stats::throughput_per_s(records, self.options.duration),
            latency: stats::latency(records),
            refused: kinds.refused,
            failed: kinds.failed,
            results: kinds.results,
            offloads_same_region_ratio: sent.same_ratio(),
            responses_same_region_ratio: came.same_ratio(),
            response_to_offload: response_to_offload(came, sent),
            failure: (!killed.is_empty()).then(|| failure(records, killed, cell.kill_at, period)),
            counters: counters.clone(),
            series_period_s: period.as_secs_f64(),
            series: stats::series(records, period),
        }
    }
}

fn response_to_offload(came: ByRegion, sent: ByRegion) -> ResponseToOffload {
    ResponseToOffload {
        same_region: ratio(came.same_region, sent.same_region),
        cross_region: ratio(came.cross_region, sent.cross_region),
        all: ratio(came.all(), sent.all()),
    }
}

fn failure(records: &[Record], killed: &[String], at: Duration, window: Duration) -> Failure {
    let (before, after): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.at < at);
    Failure {
        nodes: killed.to_vec(),
        at_s: at.as_secs_f64(),
        success_ratio_before: stats::success_ratio(before.into_iter()),
        success_ratio_after: stats::success_ratio(after.into_iter()),
        recovered_after_s: stats::recovered_after(records, at, window).map(|time| time.as_secs_f64()),
    }
}
