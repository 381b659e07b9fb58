//! What a run cost the cluster: its nodes' counters before and after.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::client::{Client, Target};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Counters that only rise, each with its sample in `GET /metrics`.
const SAMPLES: [&str; COUNTERS] = [
    "starling_transcodes_total",
    "starling_transcode_failures_total",
    "starling_tool_cpu_seconds_total{tool=\"ffmpeg\",outcome=\"done\"}",
    "starling_tool_cpu_seconds_total{tool=\"ffmpeg\",outcome=\"wasted\"}",
    "starling_tool_cpu_seconds_total{tool=\"ffprobe\",outcome=\"done\"}",
    "starling_tool_cpu_seconds_total{tool=\"ffprobe\",outcome=\"wasted\"}",
    "starling_node_cpu_seconds_total",
];
const COUNTERS: usize = 7;

/// A node's counters, in the order of [`SAMPLES`].
type Counters = [f64; COUNTERS];

/// What a run cost the cluster, by the counters of those of its nodes that could be asked before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClusterReport {
    /// Nodes that told both; one that was started anew counts from then on.
    pub nodes: usize,
    /// Times that ffmpeg was started.
    pub transcodes: u64,
    /// Those of them that gave no result.
    pub transcode_failures: u64,
    /// CPU of ffmpeg runs that gave a result in time, in seconds.
    pub ffmpeg_done_s: f64,
    /// CPU of ffmpeg runs that were given up: late, cancelled, failed.
    pub ffmpeg_wasted_s: f64,
    /// CPU of ffprobe.
    pub ffprobe_s: f64,
    /// CPU of the nodes themselves.
    pub nodes_s: f64,
    /// The part of all that CPU that went into ffmpeg runs with a result in time.
    pub useful_share: Option<f64>,
}

/// The counters of all nodes at one time; none of a node that did not answer.
pub(super) async fn read(client: &Client, nodes: &[Target]) -> Vec<Option<Counters>> {
    join_all(nodes.iter().map(async |node| {
        let text = client.get(&node.endpoint, "/metrics", TIMEOUT).await.ok()?;
        parse(std::str::from_utf8(&text).ok()?)
    }))
    .await
}

/// The values of all [`SAMPLES`]; none if the text is no node's. A sample that is not there has not happened yet.
fn parse(text: &str) -> Option<Counters> {
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse::<f64>().ok())
    };
    value(SAMPLES[0])?;
    Some(SAMPLES.map(|name| value(name).unwrap_or(0.0)))
}

/// What happened in between.
pub(super) fn between(before: &[Option<Counters>], after: &[Option<Counters>]) -> ClusterReport {
    let mut sum: Counters = [0.0; COUNTERS];
    let mut nodes = 0;
    for (before, after) in before.iter().zip(after) {
        let (Some(before), Some(after)) = (before, after) else { continue };
        nodes += 1;
        // Counters of a node that was started anew began from nothing.
        let anew = after.iter().zip(before).any(|(after, before)| after < before);
        for ((sum, after), before) in sum.iter_mut().zip(after).zip(before) {
            *sum += if anew { *after } else { after - before };
        }
    }
    let [transcodes, failures, done, wasted, probe_done, probe_wasted, own] = sum;
    let all = done + wasted + probe_done + probe_wasted + own;
    let round = |seconds: f64| (seconds * 100.0).round() / 100.0;
    ClusterReport {
        nodes,
        transcodes: transcodes as u64,
        transcode_failures: failures as u64,
        ffmpeg_done_s: round(done),
        ffmpeg_wasted_s: round(wasted),
        ffprobe_s: round(probe_done + probe_wasted),
        nodes_s: round(own),
        useful_share: (all > 0.0).then(|| (done / all * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(transcodes: u32, done: f64, own: f64) -> Option<Counters> {
        parse(&format!(
            "# HELP starling_transcodes …\nstarling_transcodes_total {transcodes}\n\
             starling_tool_cpu_seconds_total{{tool=\"ffmpeg\",outcome=\"done\"}} {done}\n\
             starling_node_cpu_seconds_total {own}\n# EOF\n"
        ))
    }

    #[test]
    fn counters_are_summed_over_the_nodes_and_since_the_run_began() {
        let before = [metrics(5, 10.0, 1.0), metrics(100, 200.0, 20.0), None];
        // The second was killed and started again meanwhile.
        let after = [metrics(8, 16.0, 2.0), metrics(2, 2.0, 0.5), metrics(1, 1.0, 1.0)];
        let report = between(&before, &after);
        assert_eq!((report.nodes, report.transcodes), (2, 5));
        assert_eq!((report.ffmpeg_done_s, report.nodes_s), (8.0, 1.5));
        assert_eq!(report.useful_share, Some(0.842));
    }

    #[test]
    fn what_is_no_nodes_answer_is_none() {
        assert_eq!(parse("<html>"), None);
        assert_eq!(between(&[None], &[None]), ClusterReport::default());
    }
}
