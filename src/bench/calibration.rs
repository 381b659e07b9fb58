//! What jobs were predicted to take beside what they took, by profile, over the clips: one at a time, on one node.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, Lab};
use super::plan::Options;
use super::report::{Calibration, CalibrationRow};
use super::{BenchError, Progress, stats};
use crate::client::load::{Pace, Schedule, Sending, Source};
use crate::client::{Client, Event, Events, Wanted};
use crate::lab;

/// What is made, each of every clip.
const PROFILES: [&str; 8] = ["paper", "360p", "720p", "webm", "hevc", "audio", "poster", "gif"];
const PROFILES_SHORT: [&str; 2] = ["paper", "poster"];
/// How often each clip is made into each of them. Of the first three jobs of a profile nothing is predicted.
const ROUNDS: u64 = 3;
/// A job that takes longer than this is none to learn from.
const TIMEOUT: Duration = Duration::from_secs(600);
/// From a job's end until the node has told it, at the most.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A job that was done.
#[derive(Clone, Debug, PartialEq)]
struct Done {
    profile: String,
    took_ms: f64,
    /// None of the first ones.
    predicted_ms: Option<f64>,
}

impl Done {
    /// From a node's event that a worker has made a result.
    fn of(event: &Event) -> Option<Self> {
        let number = |name: &str| event.fields.get(name)?.as_f64();
        (event.event == "made").then_some(())?;
        let profile = event.fields.get("profile")?.as_str()?.to_owned();
        Some(Self { profile, took_ms: number("took_ms")?, predicted_ms: number("predicted_ms") })
    }
}

/// Sends every clip for every profile to a lab of one node; the table, and what the lab said of itself.
pub(super) async fn run(
    (options, sources): (&Options, &[Source]),
    progress: &dyn Progress,
    stop: &CancellationToken,
) -> Result<(Calibration, lab::Report), BenchError> {
    let node_args = ["--workers", "1"].map(str::to_owned).into();
    let Options { isolation, backend, .. } = *options;
    let lab = Lab { nodes: 1, isolation, backend, cpus: None, node_args };
    let cluster = lab.start(stop).await?;
    let report = cluster.report.clone();
    let outcome = tokio::select! {
        outcome = measure(options, sources, &cluster, progress) => outcome,
        () = stop.cancelled() => Err(BenchError::Interrupted),
    };
    let ended = cluster.end().await;
    let outcome = outcome?;
    ended.map(|()| (outcome, report))
}

async fn measure(
    options: &Options,
    sources: &[Source],
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Calibration, BenchError> {
    let node = cluster.nodes(None).next().ok_or_else(|| BenchError::Lab("it has no node".to_owned()))?;
    let target = Cluster::target(node)?;
    let profiles: &[&str] = if options.short { &PROFILES_SHORT } else { &PROFILES };
    let told = |error: crate::client::ClientError| BenchError::Lab(error.to_string());
    let wanted = Wanted { kinds: Some("work".to_owned()), new_only: true, follow: true };
    let mut events = Events::open(&Client::new(), &target.endpoint, &wanted, None).await.map_err(told)?;
    let (sender, mut done) = tokio::sync::mpsc::channel(64);
    // Ends with the node, or when it is dropped.
    let listener = Listener(tokio::spawn(async move {
        while let Ok(Some((event, _))) = events.next().await {
            if let Some(done) = Done::of(&event)
                && sender.send(done).await.is_err()
            {
                return;
            }
        }
    }));
    let mut all = Vec::new();
    for profile in profiles {
        progress.tell(&format!("calibration: {profile}, {} jobs", sources.len() as u64 * ROUNDS));
        for round in 0..ROUNDS {
            for (number, source) in (0..).zip(sources) {
                let seed = options.seed.wrapping_add(round << 32).wrapping_add(number << 16);
                let upload = Sending::begin(Schedule {
                    nodes: vec![target.clone()],
                    sources: vec![source.clone()],
                    profile: Some((*profile).to_owned()),
                    pace: Pace::Open(vec![Duration::ZERO]),
                    timeout: TIMEOUT,
                    seed,
                    unique: true,
                });
                let records = upload.await?.run().await;
                // A clip that a profile can't be made of, or that is too long, says nothing.
                if records.iter().any(stats::is_success) {
                    let done = tokio::time::timeout(TOLD_WITHIN, done.recv()).await;
                    all.extend(done.ok().flatten());
                }
            }
        }
    }
    drop(listener);
    Ok(Calibration { rows: profiles.iter().filter_map(|profile| row(profile, &all)).collect() })
}

/// A task that ends with its handle.
struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Of a profile of which at least one job was predicted.
fn row(profile: &str, all: &[Done]) -> Option<CalibrationRow> {
    let of: Vec<_> = all.iter().filter(|done| done.profile == profile).collect();
    let predicted = |done: &&&Done| done.predicted_ms.is_some_and(|ms| ms > 0.0);
    let times = of.iter().filter(predicted).map(|done| done.took_ms / done.predicted_ms.unwrap_or(1.0));
    let mut ratios: Vec<f64> = times.collect();
    let mut errors: Vec<f64> = ratios.iter().map(|ratio| (ratio - 1.0).abs()).collect();
    ratios.sort_by(f64::total_cmp);
    errors.sort_by(f64::total_cmp);
    if ratios.is_empty() {
        return None;
    }
    let mean = of.iter().map(|done| done.took_ms).sum::<f64>() / of.len() as f64;
    let digits = |value: f64| (value * 1000.0).round() / 1000.0;
    Some(CalibrationRow {
        profile: profile.to_owned(),
        jobs: of.len() as u64,
        predicted: ratios.len() as u64,
        took_mean_ms: stats::round(mean),
        error_p50: digits(stats::quantile(&errors, 0.5)),
        error_p90: digits(stats::quantile(&errors, 0.9)),
        took_by_predicted_p50: digits(stats::quantile(&ratios, 0.5)),
        took_by_predicted_p90: digits(stats::quantile(&ratios, 0.9)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_by_profile_and_of_what_was_predicted() {
        let done = |profile: &str, took: f64, predicted: Option<f64>| Done {
            profile: profile.to_owned(),
            took_ms: took,
            predicted_ms: predicted,
        };
        let mut all = vec![done("paper", 50.0, None), done("gif", 9.0, Some(1.0))];
        all.extend((1..=10).map(|n| done("paper", 100.0 + f64::from(n), Some(100.0))));
        all.push(done("paper", 60.0, Some(100.0)));
        let row = row("paper", &all).unwrap();
        assert_eq!((row.jobs, row.predicted), (12, 11));
        assert_eq!((row.error_p50, row.error_p90), (0.06, 0.1), "too long and too short alike");
        assert_eq!((row.took_by_predicted_p50, row.took_by_predicted_p90), (1.05, 1.09));
        assert_eq!(super::row("webm", &all), None);
    }

    #[test]
    fn a_job_is_read_from_the_nodes_event() {
        let event: Event = serde_json::from_str(
            r#"{"kind":"work","event":"made","profile":"paper","took_ms":812,"predicted_ms":790,"bytes_out":9}"#,
        )
        .unwrap();
        let done = Done { profile: "paper".into(), took_ms: 812.0, predicted_ms: Some(790.0) };
        assert_eq!(Done::of(&event), Some(done));
        let event: Event =
            serde_json::from_str(r#"{"kind":"work","event":"begun","profile":"paper"}"#).unwrap();
        assert_eq!(Done::of(&event), None);
    }
}
