//! What a run comes to, for programs and for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ClusterReport;

/// How times spread, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// Half took no longer.
    pub median_ms: f64,
    /// 95 % took no longer.
    pub p95_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

/// Results and their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// From the first byte sent to the last one received.
    #[serde(flatten)]
    pub times: Times,
    /// From the run's begin to its last result.
    pub last_success_ms: u64,
    /// Results a second in that time.
    pub per_s: f64,
}

/// Answers with one error status and problem type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusals {
    /// The HTTP status.
    pub status: u16,
    /// The slug of the problem's type; empty if there was none.
    pub problem: String,
    /// How many.
    pub count: u64,
    /// From the first byte sent to the refusal.
    #[serde(flatten)]
    pub times: Times,
}

/// What became of uploads that were refused with a Retry-After, and sent again when that was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retries {
    /// Sent again.
    pub made: u64,
    /// And answered with a result: what was promised was true.
    pub accepted: u64,
    /// And refused again.
    pub refused: u64,
    /// And not answered.
    pub failed: u64,
}

impl Retries {
    /// The part that was accepted, to three digits; none if none was made.
    pub fn accepted_share(&self) -> Option<f64> {
        (self.made > 0).then(|| (self.accepted as f64 / self.made as f64 * 1000.0).round() / 1000.0)
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Gives the same uploads again.
    pub seed: u64,
    /// Uploads in flight at once, at the most.
    pub parallel: u16,
    /// Of each upload.
    pub timeout_ms: u64,
    /// From the first upload until the last one ended.
    pub elapsed_ms: u64,
    /// Uploads sent, retries among them.
    pub requests: u64,
    /// Answered with a whole result within the timeout.
    pub succeeded: u64,
    /// The part of the requests that succeeded.
    pub success_share: f64,
    /// Of those that succeeded.
    pub latency: Latency,
    /// Answered with an error status, by status and problem.
    pub refused: Vec<Refusals>,
    /// Neither: `unreachable`, `broken`, `timeout`, `invalid`, `file`.
    pub failed: BTreeMap<&'static str, u64>,
    /// Results by X-Cache: `hit`, `miss`, `joined`.
    pub cache: BTreeMap<String, u64>,
    /// Results by X-Route: `local`, `same_zone`, `cross_zone`.
    pub hops: BTreeMap<&'static str, u64>,
    /// Distinct contents that came back transcoded.
    pub contents: usize,
    /// Of uploads.
    pub bytes_sent: u64,
    /// Of results.
    pub bytes_received: u64,
    /// Retries.
    pub retries: Retries,
    /// The part of the retries that was accepted.
    pub retries_accepted_share: Option<f64>,
    /// What it cost the nodes.
    pub cluster: ClusterReport,
}

impl Report {
    /// As lines for people.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push(format!("{name:<12}{value}"));
        line("requests", format!("{} in {:.1} s", self.requests, self.elapsed_ms as f64 / 1000.0));
        let Latency { times, per_s, .. } = self.latency;
        line("succeeded", format!("{} ({:.1} %), {per_s:.2}/s", self.succeeded, self.success_share * 100.0));
        if self.succeeded > 0 {
            line("latency", spread(&times));
            line("cache", counts(self.cache.iter().map(|(name, count)| (name.as_str(), *count))));
            line("route", counts(self.hops.iter().map(|(name, count)| (*name, *count))));
        }
        for kind in &self.refused {
            let problem = if kind.problem.is_empty() { "no problem type" } else { &kind.problem };
            let times = spread(&kind.times);
            line("refused", format!("{} with {} ({problem}): {times}", kind.count, kind.status));
        }
        if !self.failed.is_empty() {
            line("failed", counts(self.failed.iter().map(|(name, count)| (*name, *count))));
        }
        if let Some(share) = self.retries_accepted_share {
            let Retries { made, accepted, .. } = self.retries;
            line("retries", format!("{accepted} of {made} accepted ({:.1} %)", share * 100.0));
        }
        line("bytes", format!("{} sent, {} received", self.bytes_sent, self.bytes_received));
        let cluster = &self.cluster;
        if cluster.nodes > 0 {
            let told = format!("{} for {} contents", cluster.transcodes, self.contents);
            line("transcodes", format!("{told}, {} of them failed", cluster.transcode_failures));
            line(
                "CPU",
                format!(
                    "ffmpeg {:.1} s in time, {:.1} s in vain; ffprobe {:.1} s; nodes {:.1} s",
                    cluster.ffmpeg_done_s, cluster.ffmpeg_wasted_s, cluster.ffprobe_s, cluster.nodes_s
                ),
            );
        }
        line("seed", self.seed.to_string());
        lines.join("\n")
    }
}

fn spread(times: &Times) -> String {
    let Times { median_ms, p95_ms, p99_ms, max_ms } = times;
    format!("median {median_ms:.0} ms, 95 % {p95_ms:.0}, 99 % {p99_ms:.0}, max {max_ms:.0}")
}

fn counts<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_happened() {
        let times = Times { median_ms: 812.4, p95_ms: 2_000.0, p99_ms: 3_000.0, max_ms: 3_500.0 };
        let report = Report {
            seed: 7,
            parallel: 100,
            timeout_ms: 40_000,
            elapsed_ms: 200_400,
            requests: 1_000,
            succeeded: 900,
            success_share: 0.9,
            latency: Latency { times, last_success_ms: 200_000, per_s: 4.5 },
            refused: vec![Refusals { status: 503, problem: "saturated".into(), count: 95, times }],
            failed: [("timeout", 5)].into(),
            cache: [("hit".into(), 880), ("miss".into(), 16), ("joined".into(), 4)].into(),
            hops: [("local", 890), ("cross_zone", 10)].into(),
            contents: 16,
            bytes_sent: 2_000_000,
            bytes_received: 300_000,
            retries: Retries { made: 40, accepted: 38, refused: 2, failed: 0 },
            retries_accepted_share: Some(0.95),
            cluster: ClusterReport {
                nodes: 5,
                transcodes: 16,
                ffmpeg_done_s: 50.0,
                nodes_s: 3.0,
                ..ClusterReport::default()
            },
        };
        insta::assert_snapshot!(report.text(), @r"
        requests    1000 in 200.4 s
        succeeded   900 (90.0 %), 4.50/s
        latency     median 812 ms, 95 % 2000, 99 % 3000, max 3500
        cache       880 hit, 4 joined, 16 miss
        route       10 cross_zone, 890 local
        refused     95 with 503 (saturated): median 812 ms, 95 % 2000, 99 % 3000, max 3500
        failed      5 timeout
        retries     38 of 40 accepted (95.0 %)
        bytes       2000000 sent, 300000 received
        transcodes  16 for 16 contents, 0 of them failed
        CPU         ffmpeg 50.0 s in time, 0.0 s in vain; ffprobe 0.0 s; nodes 3.0 s
        seed        7
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["refused"][0]["median_ms"], 812.4);
        assert_eq!(json["latency"]["per_s"], 4.5);
    }
}
