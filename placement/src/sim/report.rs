//! What a run is judged by.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::check::Violation;
use super::run::{Ran, run};
use super::setup::Setup;
use super::tally::Tally;
use super::trace::hash_text;

/// The figures of one policy under one workload, over all seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Part of them that had their result by their deadline.
    pub success_ratio: f64,
    /// From a request to its result; none where none has one.
    pub mean_ms: Option<f64>,
    /// The same where a request that was not served counts as its deadline (PAR1, the penalized average runtime of benchmarks of
    /// solvers): what serves fewer requests is not better for it.
    pub par1_ms: f64,
    /// The median of those that were served.
    pub p50_ms: Option<f64>,
    /// 99 of 100 are faster.
    pub p99_ms: Option<f64>,
    /// Requests that were refused, and the part of all that they are.
    pub refusals: u64,
    /// The same as a part of all requests.
    pub refused_ratio: f64,
    /// Requests without an answer by their deadline, and such whose node died.
    pub late: u64,
    /// Requests whose node died.
    pub broken: u64,
    /// Offers to peers, for each request.
    pub offers_per_job: f64,
    /// Part of the requests whose job went to a node of another zone.
    pub cross_region_ratio: f64,
    /// Bytes of videos and results that went between zones.
    pub cross_region_bytes: u64,
    /// Different contents.
    pub contents: u64,
    /// Transcodes that came to their end.
    pub transcodes: u64,
    /// Jobs that were begun once more because they took long where they were.
    pub hedges: u64,
    /// Part of the workers' time that went into jobs without a result.
    pub wasted_cpu_ratio: f64,
    /// Most jobs that all nodes together handed to one node within a second.
    pub herding_max: u64,
    /// Mean latency as a multiple of what no schedule can beat that serves as many of these requests; none for runs that are too large,
    /// or whose requests depend on what is decided.
    pub bound_ratio: Option<f64>,
    /// Requests that were served, as a part of the most that any schedule could have served in time.
    pub bound_success_ratio: Option<f64>,
}

/// The main figures of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OfSeed {
    /// Which one.
    pub seed: u64,
    /// Requests.
    pub requests: u64,
    /// Those of them that had their result by their deadline.
    pub served: u64,
    /// As in [`Figures`].
    pub success_ratio: f64,
    /// As in [`Figures`].
    pub par1_ms: f64,
    /// As in [`Figures`].
    pub mean_ms: Option<f64>,
    /// As in [`Figures`].
    pub bound_ratio: Option<f64>,
    /// As in [`Figures`].
    pub bound_success_ratio: Option<f64>,
}

/// What came of the runs of one policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Its figures.
    pub figures: Figures,
    /// Those of each seed alone, for intervals.
    pub by_seed: Vec<OfSeed>,
    /// Virtual time of all runs together.
    pub sim_seconds: f64,
    /// A digest of everything that happened: the same options, the same digest.
    pub trace_hash: String,
    /// Rules that were broken, with the seed.
    pub violations: Vec<(u64, Violation)>,
}

/// Runs a setup with so many seeds, from its own on.
pub fn simulate(setup: &Setup, seeds: u64) -> Outcome {
    let (mut tally, mut hash) = (Tally::default(), Sha256::new());
    let (mut sim_seconds, mut violations, mut last_hash) = (0.0, Vec::new(), String::new());
    let mut by_seed = Vec::new();
    for seed in (setup.seed..).take(usize::try_from(seeds).unwrap_or(usize::MAX)) {
        let mut one = setup.clone();
        one.seed = seed;
        let Ran { tally: mut more, sim_seconds: took, trace_hash, violations: broken, .. } = run(&one);
        more.bounded = one.bounded(more.latencies.len());
        tally.add(&more);
        by_seed.push(Figures::of(more, setup.workload.deadline).of_seed(seed));
        hash.update(&trace_hash);
        sim_seconds += took;
        last_hash = trace_hash;
        violations.extend(broken.into_iter().map(|violation| (seed, violation)));
    }
    let trace_hash = if seeds == 1 { last_hash } else { hash_text(&hash) };
    tally.bounded = tally.bounded.filter(|_| by_seed.iter().all(|one| one.bound_ratio.is_some()));
    let figures = Figures::of(tally, setup.workload.deadline);
    Outcome { figures, by_seed, sim_seconds, trace_hash, violations }
}

fn ratio(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

impl Figures {
    fn of(tally: Tally, deadline: Duration) -> Self {
        let Tally { requests, mut latencies, .. } = tally;
        latencies.sort_unstable();
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        let at = |part: f64| {
            let place = (latencies.len() as f64 * part).ceil() as usize;
            latencies.get(place.max(1) - 1).map(ms)
        };
        let sum: f64 = latencies.iter().map(ms).sum();
        let unserved = requests.saturating_sub(latencies.len() as u64) as f64;
        let worked = tally.useful + tally.wasted;
        Self {
            requests,
            success_ratio: ratio(latencies.len() as u64, requests),
            mean_ms: (!latencies.is_empty()).then(|| sum / latencies.len() as f64),
            par1_ms: (sum + unserved * ms(&deadline)) / requests.max(1) as f64,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            refusals: tally.refused,
            refused_ratio: ratio(tally.refused, requests),
            late: tally.late,
            broken: tally.broken,
            offers_per_job: ratio(tally.offers, requests),
            cross_region_ratio: ratio(tally.handed_across, requests),
            cross_region_bytes: tally.bytes_across,
            contents: tally.contents,
            transcodes: tally.transcodes,
            hedges: tally.hedges,
            wasted_cpu_ratio: if worked.is_zero() {
                0.0
            } else {
                tally.wasted.as_secs_f64() / worked.as_secs_f64()
            },
            herding_max: tally.herding_max,
            bound_ratio: tally.bounded.map(|bounded| sum / 1e3 / bounded.latency_s.max(1e-9)),
            bound_success_ratio: tally
                .bounded
                .map(|bounded| latencies.len() as f64 / bounded.in_time.max(1e-9)),
        }
    }

    fn of_seed(&self, seed: u64) -> OfSeed {
        let Self { requests, success_ratio, mean_ms, par1_ms, bound_ratio, bound_success_ratio, .. } = *self;
        let served = (success_ratio * requests as f64).round() as u64;
        OfSeed { seed, requests, served, success_ratio, par1_ms, mean_ms, bound_ratio, bound_success_ratio }
    }
}
