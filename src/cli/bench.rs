//! `starling bench`: the paper's experiments on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use starling::bench::{self, Experiment, Options, Progress, tables};
use starling::lab::{Isolation, LinkBackend, NODES_MAX};
use starling_placement::policy::PolicyKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::out;

/// Exit status of a run that a signal has cut: what shells give after Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;
/// Parts of the cluster's capacity that make sense.
const LOAD_MAX: f64 = 10.0;
/// For how long a short run's cells send.
const SHORT: Duration = Duration::from_secs(2);
const SHORT_CONVERGENCE_RUNS: u32 = 2;

/// Run the paper's experiments on a lab of this machine, and write a report with the paper's numbers beside ours
#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT)]
pub struct Args {
    /// Which
    #[arg(value_enum, value_name = "EXPERIMENT")]
    experiment: What,

    /// Folder for report.json, report.html and the figures; those of an earlier run are written over
    #[arg(long, default_value = "starling-bench", value_name = "DIR")]
    output: PathBuf,

    /// Policies to compare, instead of each experiment's own; saturation has both weights of `score` anyway
    #[arg(long, value_delimiter = ',', value_name = "POLICY,…")]
    policies: Option<Vec<PolicyKind>>,

    /// Decides clips, files, nodes and times
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,

    /// Run every cell with so many seeds, from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000), value_name = "N")]
    seeds: u64,

    /// For how long each cell sends uploads [default: 120s, short: 2s]
    #[arg(long, value_parser = super::time, value_name = "TIME")]
    duration: Option<Duration>,

    /// Nodes of each lab
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=i64::from(NODES_MAX)), value_name = "N")]
    nodes: u8,

    /// Uploads a second, as parts of what this machine can do; routing is run with each, failures with the first
    /// [default: 0.8,1.2, short: 0.8]
    #[arg(long, value_delimiter = ',', value_parser = load, value_name = "PART,…")]
    load: Option<Vec<f64>>,

    /// Closed loop: keep so many uploads in flight, instead of sending them at times that the seed decides
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000), conflicts_with = "load", value_name = "N")]
    parallel: Option<u16>,

    /// How many labs are started to see them converge [default: 10, short: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    convergence_runs: Option<u32>,

    /// Send the videos of this folder (MP4 and QuickTime), instead of ones that ffmpeg makes from the seed
    #[arg(long, value_name = "FOLDER")]
    clips: Option<PathBuf>,

    /// See that all works: tiny clips, few policies, seconds a cell. Such figures say nothing
    #[arg(long)]
    short: bool,

    /// How nodes are kept apart
    #[arg(long, value_enum, default_value_t = Isolation::Auto, value_name = "HOW")]
    isolation: Isolation,

    /// What shapes the links
    #[arg(long, value_enum, default_value_t = LinkBackend::Auto, value_name = "BACKEND")]
    backend: LinkBackend,

    /// Print report.json on stdout as well, instead of its tables
    #[arg(long)]
    json: bool,
}

const ABOUT: &str = "The load is scaled to this machine: bare ffmpeg is measured first, and load 1 is nine tenths of that. Each \
    cell has a lab of its own, with the same files, nodes and times for every policy. Ctrl-C ends the lab and keeps what was \
    measured.\n\nExit status: 0; 1 if it failed, and stderr says why; 2 for options that can't be used; 130 if it was cut.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    One(Experiment),
    All,
}

impl clap::ValueEnum for What {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [What; 8] = [
            What::One(Experiment::Routing),
            What::One(Experiment::OneFailure),
            What::One(Experiment::TwoFailures),
            What::One(Experiment::Saturation),
            What::One(Experiment::Convergence),
            What::One(Experiment::Calibration),
            What::One(Experiment::Validation),
            What::All,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::One(experiment) => experiment.to_possible_value(),
            Self::All => Some(clap::builder::PossibleValue::new("all").help("All of them")),
        }
    }
}

fn load(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(load) if (0.01..=LOAD_MAX).contains(&load) => Ok(load),
        _ => Err(format!("expected a part of the capacity from 0.01 to {LOAD_MAX}, such as 0.8")),
    }
}

/// Lines on stderr.
struct Lines;

impl Progress for Lines {
    fn tell(&self, line: &str) {
        out::complain(line);
    }
}

impl Args {
    fn options(self) -> Options {
        let Self { short, experiment, .. } = self;
        Options {
            experiments: match experiment {
                What::One(experiment) => vec![experiment],
                What::All => Experiment::ALL.to_vec(),
            },
            output: self.output,
            policies: self.policies,
            seed: self.seed,
            seeds: self.seeds,
            duration: self.duration.unwrap_or(if short { SHORT } else { Duration::from_secs(120) }),
            nodes: self.nodes,
            loads: self.load.unwrap_or(if short { vec![0.8] } else { vec![0.8, 1.2] }),
            parallel: self.parallel,
            convergence_runs: self.convergence_runs.unwrap_or(if short {
                SHORT_CONVERGENCE_RUNS
            } else {
                10
            }),
            clips: self.clips,
            short,
            isolation: self.isolation,
            backend: self.backend,
        }
    }
}

/// Runs it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::is_no_file("--output", &args.output)?;
    let json = args.json;
    let options = args.options();
    let stop = CancellationToken::new();
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    for kind in signals {
        let (mut signal, stop) = (signal(kind)?, stop.clone());
        // Ends with the process.
        tokio::spawn(async move {
            signal.recv().await;
            stop.cancel();
        });
    }
    Lines.tell(&format!("about {} in all", humantime::format_duration(options.estimate())));
    let report = match bench::run(&options, &Lines, &stop).await {
        Err(bench::BenchError::Interrupted) => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
        outcome => outcome?,
    };
    if json {
        out::json(&report)?;
    } else {
        let text: Vec<String> = tables(&report).iter().map(bench::Table::text).collect();
        out::lines(&text.join("\n\n"))?;
    }
    Lines.tell(&format!("the report is {}", options.output.join("report.html").display()));
    Ok(if report.complete { ExitCode::SUCCESS } else { ExitCode::from(EXIT_INTERRUPTED) })
}
