//! How sure a figure is: bootstrap intervals over runs.
//!
//! What is drawn again is whole runs, and not requests: those of one run stand in each other's way, and are no independent draws. Of two
//! deciders under the same seeds the runs are drawn in pairs, so that what a seed is like does not count.
//!
//! Source: Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1), 1979; percentile intervals as in
//! `DiCiccio` and Efron, "Bootstrap Confidence Intervals", Statistical Science 11(3), 1996.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use super::OfSeed;

/// How often runs are drawn anew.
const DRAWS: usize = 2_000;
/// What is left out at each end: 95 % are between.
const TAIL: f64 = 0.025;
/// The same runs, the same interval.
const SEED: u64 = 0x0b00_7512;

/// Between these lie 95 of a hundred figures of runs like those that were made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A sum and what it is divided by, of one run: times and how many there are, successes and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// The sum.
    pub sum: f64,
    /// By what it is divided.
    pub count: f64,
}

/// The intervals of a policy's main figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// Of [`Figures::success_ratio`](super::Figures::success_ratio).
    pub success_ratio: Option<Interval>,
    /// Of [`Figures::mean_ms`](super::Figures::mean_ms).
    pub mean_ms: Option<Interval>,
    /// Of [`Figures::par1_ms`](super::Figures::par1_ms).
    pub par1_ms: Option<Interval>,
    /// Of [`Figures::bound_ratio`](super::Figures::bound_ratio).
    pub bound_ratio: Option<Interval>,
}

/// One policy's figure as a multiple of another's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Of the figures over all runs.
    pub ratio: Option<f64>,
    /// Its interval.
    #[serde(flatten)]
    pub interval: Option<Interval>,
}

/// One policy beside another one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Of the mean latencies of what each of them served.
    pub mean_ms: Ratio,
    /// The same where a request that was not served counts as its deadline.
    pub par1_ms: Ratio,
}

impl Intervals {
    /// Of these runs.
    pub fn of(by_seed: &[OfSeed]) -> Self {
        let of = |part: fn(&OfSeed) -> Part| of_mean(&parts(by_seed, part));
        Self {
            success_ratio: of(|run| Part { sum: run.served as f64, count: run.requests as f64 }),
            mean_ms: of(latency),
            par1_ms: of(par1),
            bound_ratio: of(|run| {
                let Part { sum, .. } = latency(run);
                Part { sum, count: run.bound_ratio.map_or(0.0, |ratio| sum / ratio) }
            }),
        }
    }
}

impl Beside {
    /// Runs of two policies under the same seeds in the same order.
    pub fn of(runs: &[OfSeed], others: &[OfSeed]) -> Self {
        let ratio = |part: fn(&OfSeed) -> Part| {
            let (ratio, interval) = of_ratio(&parts(runs, part), &parts(others, part));
            Ratio { ratio, interval }
        };
        Self { mean_ms: ratio(latency), par1_ms: ratio(par1) }
    }
}

fn parts(by_seed: &[OfSeed], part: fn(&OfSeed) -> Part) -> Vec<Part> {
    by_seed.iter().map(part).collect()
}

fn latency(run: &OfSeed) -> Part {
    let count = run.served as f64;
    Part { sum: run.mean_ms.unwrap_or_default() * count, count }
}

fn par1(run: &OfSeed) -> Part {
    let count = run.requests as f64;
    Part { sum: run.par1_ms * count, count }
}

/// The mean over all runs: sums over counts.
fn mean(parts: impl Iterator<Item = Part>) -> Option<f64> {
    let all =
        parts.fold(Part::default(), |all, one| Part { sum: all.sum + one.sum, count: all.count + one.count });
    (all.count > 0.0).then(|| all.sum / all.count)
}

/// The interval of a mean over runs. None of fewer than two runs, which say nothing of their spread.
pub fn of_mean(runs: &[Part]) -> Option<Interval> {
    drawn(runs.len(), |chosen| mean(chosen.iter().map(|run| runs[*run])))
}

/// One decider's mean as a multiple of another's, and its interval. Both are of the same seeds in the same order.
pub fn of_ratio(runs: &[Part], of: &[Part]) -> (Option<f64>, Option<Interval>) {
    let count = runs.len().min(of.len());
    let ratio = |chosen: &[usize]| {
        let [this, other] = [runs, of].map(|runs| mean(chosen.iter().map(|run| runs[*run])));
        Some(this? / other.filter(|other| *other > 0.0)?)
    };
    let all: Vec<usize> = (0..count).collect();
    (ratio(&all), drawn(count, ratio))
}

fn drawn(runs: usize, figure: impl Fn(&[usize]) -> Option<f64>) -> Option<Interval> {
    if runs < 2 {
        return None;
    }
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut chosen = vec![0; runs];
    let mut figures: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            chosen.fill_with(|| rng.random_range(0..runs));
            figure(&chosen)
        })
        .collect();
    figures.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| figures.get(((figures.len().max(1) - 1) as f64 * part).round() as usize).copied();
    Some(Interval { low: at(TAIL)?, high: at(1.0 - TAIL)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(means: &[f64]) -> Vec<Part> {
        means.iter().map(|mean| Part { sum: mean * 100.0, count: 100.0 }).collect()
    }

    /// Of 100 samples of a distribution with a known mean about 95 intervals hold it.
    #[test]
    fn ninety_five_of_a_hundred_hold_the_truth() {
        let mut rng = StdRng::seed_from_u64(1);
        let held = (0..100).filter(|_| {
            let means: Vec<f64> = (0..20).map(|_| rng.random::<f64>() + rng.random::<f64>()).collect();
            of_mean(&runs(&means)).is_some_and(|Interval { low, high }| (low..=high).contains(&1.0))
        });
        let held = held.count();
        assert!((86..=100).contains(&held), "{held} of 100");
    }

    /// Two seeds, in the second of which half of the requests are not served.
    #[test]
    fn figures_of_seeds_make_intervals_that_hold_them() {
        let run = |seed, served, mean_ms, par1_ms| OfSeed {
            seed,
            requests: 100,
            served,
            success_ratio: served as f64 / 100.0,
            par1_ms,
            mean_ms: Some(mean_ms),
            bound_ratio: Some(2.0),
            bound_success_ratio: None,
        };
        let runs = [run(1, 100, 4_000.0, 4_000.0), run(2, 50, 10_000.0, 25_000.0)];
        let near = |interval: Option<Interval>, low: f64, high: f64| {
            interval.is_some_and(|got| (got.low - low).abs() < 1e-6 && (got.high - high).abs() < 1e-6)
        };
        let Intervals { success_ratio, mean_ms, par1_ms, bound_ratio } = Intervals::of(&runs);
        assert!(near(success_ratio, 0.5, 1.0) && near(mean_ms, 4_000.0, 10_000.0));
        assert!(near(par1_ms, 4_000.0, 25_000.0) && near(bound_ratio, 2.0, 2.0));
        let twice = runs.map(|run| OfSeed { par1_ms: run.par1_ms * 2.0, ..run });
        let beside = Beside::of(&twice, &runs);
        assert_eq!(beside.mean_ms.ratio, Some(1.0));
        assert!(near(beside.par1_ms.interval, 2.0, 2.0));
    }

    #[test]
    fn one_run_says_nothing_of_its_spread_and_equal_runs_have_none() {
        assert_eq!(of_mean(&runs(&[3.0])), None);
        assert_eq!(of_mean(&[Part::default(); 5]), None, "nothing was served");
        let Interval { low, high } = of_mean(&runs(&[3.0, 3.0, 3.0])).unwrap();
        assert!((low - 3.0).abs() < 1e-9 && (high - 3.0).abs() < 1e-9);
    }

    /// Seeds differ by far more than the deciders do.
    #[test]
    fn what_a_seed_is_like_does_not_count_in_a_ratio() {
        let of: Vec<f64> = (1..=20).map(f64::from).collect();
        let slower: Vec<f64> = of.iter().map(|mean| mean * 1.1).collect();
        let (ratio, interval) = of_ratio(&runs(&slower), &runs(&of));
        let Interval { low, high } = interval.unwrap();
        assert!((ratio.unwrap() - 1.1).abs() < 1e-9 && high - low < 1e-9);
        assert_eq!(of_ratio(&[], &[]), (None, None));
    }
}
