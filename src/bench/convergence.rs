//! Section 12 of the paper: how long a cluster takes from a ring of single seeds until all agree.

use tokio_util::sync::CancellationToken;

use super::BenchError;
use super::cluster::Lab;
use super::report::Convergence;
use crate::lab;

/// Starts a lab, each node of which has the next one of the ring as its only seed, and ends it; what it said of itself.
pub(super) async fn once(
    lab: &Lab,
    stop: &CancellationToken,
    convergence: &mut Convergence,
) -> Result<lab::Report, BenchError> {
    // Nothing is transcoded, so nothing is limited.
    let lab = Lab { cpus: None, ..lab.clone() };
    let cluster = lab.start(stop).await?;
    convergence.nodes = lab.nodes;
    convergence.runs_ms.push(cluster.report.converged_ms);
    let report = cluster.report.clone();
    cluster.end().await.map(|()| report)
}
