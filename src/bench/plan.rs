//! What a bench is to run: which experiments, under which policies, and the cells that come of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use starling_placement::policy::PolicyKind;

use crate::lab::{Isolation, LinkBackend};

/// The weights that the paper sets against each other under saturation: of load, of round-trip time.
const RTT_BIASED: (f64, f64) = (0.3, 0.7);
const LOAD_BIASED: (f64, f64) = (0.8, 0.2);
/// What all nodes together are asked for while one region gets everything: more than a region's nodes can do alone, and
/// less than all can.
const SATURATION_LOAD: f64 = 0.8;
/// Failures happen when so much of the time is over.
const KILL_AT_PART: f64 = 0.4;
/// Uploads have so long, as the paper's client waits.
const TIMEOUT: Duration = Duration::from_secs(40);
/// In a short run nothing is waited for that long.
const TIMEOUT_SHORT: Duration = Duration::from_secs(10);
/// What a cell takes beside its uploads: a lab starts and ends, the last uploads are waited for.
const CELL_OVERHEAD: Duration = Duration::from_secs(12);

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// Policies side by side (the paper's tables 1 to 8)
    Routing,
    /// A node is killed (table 9)
    OneFailure,
    /// Two nodes are killed at once (table 10)
    TwoFailures,
    /// All uploads go to one region (section 11)
    Saturation,
    /// A cluster starts from a ring of single seeds, again and again (section 12)
    Convergence,
    /// What jobs were predicted to take beside what they took, by profile
    Calibration,
    /// The same uploads on the lab and in the simulator, side by side
    Validation,
}

impl Experiment {
    /// All of them: the paper's in its order, then our own.
    pub const ALL: [Self; 7] = [
        Self::Routing,
        Self::OneFailure,
        Self::TwoFailures,
        Self::Saturation,
        Self::Convergence,
        Self::Calibration,
        Self::Validation,
    ];

    /// Its name on the command line and in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::OneFailure => "one-failure",
            Self::TwoFailures => "two-failures",
            Self::Saturation => "saturation",
            Self::Convergence => "convergence",
            Self::Calibration => "calibration",
            Self::Validation => "validation",
        }
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// In this order.
    pub experiments: Vec<Experiment>,
    /// Where the report goes.
    pub output: PathBuf,
    /// Instead of each experiment's own.
    pub policies: Option<Vec<PolicyKind>>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds, from the first on.
    pub seeds: u64,
    /// For how long each cell sends uploads.
    pub duration: Duration,
    /// Of each lab.
    pub nodes: u8,
    /// What is asked of the cluster, as parts of what it can do; in `routing` each.
    pub loads: Vec<f64>,
    /// Closed loop: so many uploads in flight at once, whatever the load would be.
    pub parallel: Option<u16>,
    /// Labs that are started to see them converge.
    pub convergence_runs: u32,
    /// A folder with videos; none: they are made from the seed.
    pub clips: Option<PathBuf>,
    /// Small clips, few of them, to see that all works and not to measure.
    pub short: bool,
    /// How the nodes are kept apart.
    pub isolation: Isolation,
    /// What shapes the links.
    pub backend: LinkBackend,
}

/// A policy, and what it is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Which.
    pub policy: PolicyKind,
    /// Of load and of round-trip time; only `score` has weights.
    pub weights: Option<(f64, f64)>,
}

impl Setting {
    fn of(policy: PolicyKind) -> Self {
        Self { policy, weights: (policy == PolicyKind::Score).then_some(RTT_BIASED) }
    }

    fn score((load, rtt): (f64, f64)) -> Self {
        Self { policy: PolicyKind::Score, weights: Some((load, rtt)) }
    }

    /// `eta`, `score 0.3/0.7`.
    pub fn label(&self) -> String {
        match self.weights {
            Some((load, rtt)) => format!("{} {load}/{rtt}", self.policy.as_str()),
            None => self.policy.as_str().to_owned(),
        }
    }

    /// As options of `starling node`.
    pub(super) fn node_args(&self) -> Vec<String> {
        let mut args = vec!["--policy".to_owned(), self.policy.as_str().to_owned()];
        if let Some((load, rtt)) = self.weights {
            args.extend([format!("--load-weight={load}"), format!("--rtt-weight={rtt}")]);
        }
        args
    }
}

/// One run of uploads under one setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) experiment: Experiment,
    pub(super) setting: Setting,
    /// Of the whole cluster's capacity.
    pub(super) load: f64,
    pub(super) seed: u64,
    /// Whether all uploads go to the first zone.
    pub(super) one_region: bool,
    /// How many nodes are killed, and when.
    pub(super) kills: usize,
    pub(super) kill_at: Duration,
}

impl Options {
    /// Uploads have so long.
    pub(super) fn timeout(&self) -> Duration {
        if self.short { TIMEOUT_SHORT } else { TIMEOUT }
    }

    /// All cells, in the order in which they are run: of one seed and load all settings, one after the other.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let sent = self.experiments.iter().filter(|experiment| **experiment != Experiment::Validation);
        sent.flat_map(|experiment| self.cells_of(*experiment)).collect()
    }

    /// Those that are simulated as well.
    pub(super) fn validated_cells(&self) -> Vec<Cell> {
        let wanted = self.experiments.contains(&Experiment::Validation);
        if wanted { self.cells_of(Experiment::Validation) } else { Vec::new() }
    }

    fn cells_of(&self, experiment: Experiment) -> Vec<Cell> {
        let loads = match experiment {
            Experiment::Routing => self.loads.clone(),
            Experiment::Saturation => vec![SATURATION_LOAD],
            Experiment::OneFailure | Experiment::TwoFailures | Experiment::Validation => {
                self.loads.first().copied().into_iter().collect()
            }
            Experiment::Convergence | Experiment::Calibration => Vec::new(),
        };
        let kills = match experiment {
            Experiment::OneFailure => 1,
            Experiment::TwoFailures => 2,
            _ => 0,
        };
        let settings = self.settings(experiment);
        let mut cells = Vec::new();
        for seed in self.seed..self.seed.saturating_add(self.seeds) {
            for &load in &loads {
                cells.extend(settings.iter().map(|setting| Cell {
                    experiment,
                    setting: *setting,
                    load,
                    seed,
                    one_region: experiment == Experiment::Saturation,
                    kills,
                    kill_at: self.duration.mul_f64(KILL_AT_PART),
                }));
            }
        }
        cells
    }

    fn settings(&self, experiment: Experiment) -> Vec<Setting> {
        use PolicyKind::{Eta, Random, RoundRobin, Score};
        if experiment == Experiment::Saturation {
            let asked = self.policies.iter().flatten().filter(|kind| **kind != Score);
            let others = if self.policies.is_some() { asked.copied().collect() } else { vec![Eta] };
            let scores = [RTT_BIASED, LOAD_BIASED].map(Setting::score);
            return scores.into_iter().chain(others.into_iter().map(Setting::of)).collect();
        }
        let usual: &[PolicyKind] = match (experiment, self.short) {
            (Experiment::Routing, false) => &[Random, RoundRobin, Score, Eta],
            (Experiment::Routing, true) => &[Random, Eta],
            (_, false) => &[Score, Eta],
            (_, true) => &[Eta],
        };
        self.policies.as_deref().unwrap_or(usual).iter().copied().map(Setting::of).collect()
    }

    /// About how long it all takes.
    pub fn estimate(&self) -> Duration {
        let cells = self.cells().len() + self.validated_cells().len();
        let cells = u32::try_from(cells).unwrap_or(u32::MAX);
        let overhead = if self.short { CELL_OVERHEAD / 3 } else { CELL_OVERHEAD };
        let runs =
            if self.experiments.contains(&Experiment::Convergence) { self.convergence_runs } else { 0 };
        (self.duration + overhead).saturating_mul(cells) + Duration::from_secs(4) * runs
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn options(experiments: &[Experiment]) -> Options {
        Options {
            experiments: experiments.to_vec(),
            output: PathBuf::from("out"),
            policies: None,
            seed: 1,
            seeds: 2,
            duration: Duration::from_secs(100),
            nodes: 5,
            loads: vec![0.7, 1.2],
            parallel: None,
            convergence_runs: 10,
            clips: None,
            short: false,
            isolation: Isolation::Auto,
            backend: LinkBackend::Auto,
        }
    }

    #[test]
    fn each_policy_of_a_seed_and_load_is_asked_for_the_same() {
        let cells = options(&[Experiment::Routing]).cells();
        assert_eq!(cells.len(), 2 * 2 * 4);
        let labels: Vec<_> = cells[..4].iter().map(|cell| cell.setting.label()).collect();
        assert_eq!(labels, ["random", "round-robin", "score 0.3/0.7", "eta"]);
        assert!(cells[..4].iter().all(|cell| (cell.seed, cell.load, cell.kills) == (1, 0.7, 0)));
    }

    #[test]
    fn saturation_has_both_of_the_papers_weights_whatever_policies_are_asked_for() {
        let mut options = options(&[Experiment::Saturation]);
        let labels = |options: &Options| {
            options.settings(Experiment::Saturation).iter().map(Setting::label).collect::<Vec<_>>()
        };
        assert_eq!(labels(&options), ["score 0.3/0.7", "score 0.8/0.2", "eta"]);
        options.policies = Some(vec![PolicyKind::Score, PolicyKind::P2c]);
        assert_eq!(labels(&options), ["score 0.3/0.7", "score 0.8/0.2", "p2c"]);
        assert!(options.cells().iter().all(|cell| cell.one_region));
        let args = Setting::score(LOAD_BIASED).node_args();
        assert_eq!(args, ["--policy", "score", "--load-weight=0.8", "--rtt-weight=0.2"]);
    }

    #[test]
    fn failures_happen_within_the_run() {
        let options = options(&[Experiment::OneFailure, Experiment::TwoFailures, Experiment::Convergence]);
        let cells = options.cells();
        assert_eq!(cells.iter().map(|cell| cell.kills).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2, 2, 2]);
        assert!(cells.iter().all(|cell| cell.kill_at == Duration::from_secs(40)));
        assert_eq!(options.estimate(), Duration::from_secs(8 * 112 + 40));
    }
}
