//! `starling sim`: the overlay's protocol on thousands of simulated nodes, or a whole cluster's work.

mod serve;
mod table;
mod workload;

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use starling_overlay::Timing;
use starling_overlay::sim::{
    CrowdRow, FaultKind, Fired, MassDeathRow, Report, Scenario, Topology, crowd, lifeguard, mass_death, run,
    run_mixed,
};

/// Simulate the overlay, or a cluster's work: virtual time, the same code as the real node
#[derive(clap::Args)]
#[command(after_help = ORDER)]
pub struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=20_000))]
    nodes: u32,
    /// Part of the datagrams that is lost, such as 5% or 0.05, for --duration
    #[arg(long, default_value = "0%", value_name = "SHARE", value_parser = parse_part)]
    loss: f64,
    /// Kill so many nodes, one after the other; one at least is left
    #[arg(long, default_value_t = 0, value_name = "N")]
    kill: usize,
    /// Cut the cluster in halves for this long, such as 30s
    #[arg(long, value_name = "TIME", value_parser = virtual_time)]
    partition: Option<Duration>,
    /// Stop so many nodes again and again, for --duration
    #[arg(long, default_value_t = 0, value_name = "N")]
    slow_nodes: usize,
    #[arg(long, value_name = "KIND", help = fault_help(), value_parser = str::parse::<FaultKind>)]
    fault: Vec<FaultKind>,
    /// How long to watch the cluster at rest, and then under loss and slow nodes, and under each --fault
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = virtual_time)]
    duration: Duration,
    /// Links: the paper's three zones, or one zone with 1 ms of RTT
    #[arg(long, value_enum, default_value_t = Links::Paper)]
    links: Links,
    /// Protocol timing: lan, wan or local
    #[arg(long, default_value_t = Timing::Lan)]
    timing: Timing,
    /// Begin with a cluster in which all have known each other for long (default: from 500 nodes on)
    #[arg(long)]
    warm: bool,
    /// Makes all random choices; the same seed replays the same run
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Run so many seeds, from --seed on; of more than one the figures are printed only with --json
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Throw faults of all kinds at a cluster of 4 to 50 nodes instead, all by the seed, and check that all rules hold
    #[arg(
        long,
        conflicts_with_all =
            ["nodes", "loss", "kill", "partition", "slow_nodes", "fault", "duration", "links", "timing", "warm"]
    )]
    mixed: bool,
    /// Run an experiment instead: the Lifeguard paper's slow members, with each part of the failure detector on and off,
    /// each run for --duration; or all members but a few gone at once, for --seeds; or a crowd that starts at once with
    /// little CPU time, for --seeds
    #[arg(
        long,
        value_enum,
        conflicts_with_all = [
            "mixed", "nodes", "kill", "partition", "slow_nodes", "loss", "fault", "links", "timing", "warm"
        ]
    )]
    experiment: Option<Experiment>,
    #[command(flatten)]
    work: workload::WorkloadArgs,
    #[command(flatten)]
    play: serve::ServeArgs,
    /// Print JSON, one object a seed (or, of an experiment, one a configuration; of a workload, one in all)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Links {
    Paper,
    Flat,
}

#[derive(Clone, Copy, ValueEnum)]
enum Experiment {
    Lifeguard,
    MassDeath,
    Crowd,
}

/// What a run consists of, and how it ends.
const ORDER: &str = "A run: the nodes start and find each other; they rest for --duration; --loss and --slow-nodes go \
    on for --duration; --kill; --partition; then each --fault for --duration, on the whole cluster again. All times are \
    virtual.\n\nExit status: 0; 1 if a rule was broken or a --fault did nothing, and stderr says which; 2 for options \
    that can't be followed.";
/// From so many nodes on, a start from a ring says more about the start than about the cluster.
const WARM_FROM: u32 = 500;
/// Longest time that a phase of a run takes.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Exit status for options that can't be used.
const EXIT_USAGE: u8 = 2;

/// Runs the simulations.
pub fn run_command(args: &Args) -> anyhow::Result<ExitCode> {
    let seeds = match args.check() {
        Ok(seeds) => seeds,
        Err(error) => {
            tell(&error);
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    if let Some(address) = args.play.serve {
        return serve::run(args, address);
    }
    if let Some(workload) = args.work.workload {
        return workload::run(&args.work, workload, (args.nodes, args.seed, args.seeds), args.json);
    }
    if let Some(path) = &args.work.replay {
        return workload::run_replay(&args.work, path, (args.seed, args.seeds), args.json);
    }
    match args.experiment {
        Some(Experiment::Lifeguard) => run_lifeguard(args),
        Some(Experiment::MassDeath) => run_mass_death(args),
        Some(Experiment::Crowd) => run_crowd(args),
        None => run_seeds(args, seeds),
    }
}

fn run_lifeguard(args: &Args) -> anyhow::Result<ExitCode> {
    let rows = lifeguard(args.seed, args.duration, |row| tell(&format!("done: {}", row.configuration)));
    print_rows(args, &rows, table::lifeguard)
}

fn run_mass_death(args: &Args) -> anyhow::Result<ExitCode> {
    let done = |row: &MassDeathRow| tell(&format!("done: {} of {}", row.survivors, row.nodes));
    let rows = mass_death(args.seed, args.seeds, done);
    print_rows(args, &rows, table::mass_death)
}

fn run_crowd(args: &Args) -> anyhow::Result<ExitCode> {
    let done = |row: &CrowdRow| {
        let shedding = if row.shedding { "with" } else { "without" };
        tell(&format!("done: {} ms a datagram, {shedding} shedding", row.cost_ms));
    };
    let rows = crowd(args.seed, args.seeds, done);
    print_rows(args, &rows, table::crowd)
}

/// Prints what an experiment found.
fn print_rows<T: Serialize>(args: &Args, rows: &[T], table: fn(&[T]) -> String) -> anyhow::Result<ExitCode> {
    if args.json {
        for row in rows {
            if !print(&serde_json::to_string(row)?)? {
                break;
            }
        }
    } else {
        print(&table(rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a seed after the other, for as long as somebody reads what comes of them.
fn run_seeds(args: &Args, seeds: RangeInclusive<u64>) -> anyhow::Result<ExitCode> {
    let (mut runs, mut broken, mut first_broken) = (0_u64, 0_u64, None);
    let mut fired = Fired::default();
    let mut is_read = true;
    for seed in seeds {
        let begun = Instant::now();
        let report = if args.mixed { run_mixed(seed) } else { run(&args.scenario(seed)) };
        let wall = begun.elapsed();
        runs += 1;
        fired.add(&report.fired);
        for violation in &report.violations {
            tell(&format!("seed {seed}: {violation}"));
        }
        if !report.violations.is_empty() {
            broken += 1;
            first_broken.get_or_insert(seed);
        }
        if args.json {
            is_read = print(&as_json(&report, wall)?.to_string())?;
        } else if args.seeds == 1 {
            is_read = print(&table::report(&report, wall))?;
        }
        if !is_read {
            break;
        }
    }
    if let Some(seed) = first_broken {
        tell(&format!(
            "{broken} of {runs} runs broke a rule; the same options with --seed {seed} --seeds 1 replay the first"
        ));
        return Ok(ExitCode::FAILURE);
    }
    if args.seeds > 1 && !args.json {
        let faults = if fired == Fired::default() {
            String::new()
        } else {
            format!("; faults: {}", table::fired(&fired))
        };
        print(&format!("{runs} runs, no rule broken{faults}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints this; whether anybody still reads. A reader that has enough (`| head`) is no error.
fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Says this on stderr; where nobody reads that any more, there is nobody to be told.
fn tell(text: &str) {
    drop(writeln!(io::stderr(), "starling sim: {text}"));
}

impl Args {
    /// The seeds to run, if all options can be followed to the letter.
    fn check(&self) -> Result<RangeInclusive<u64>, String> {
        let Self { nodes, kill, slow_nodes, seed, seeds, .. } = self;
        if matches!(self.experiment, Some(Experiment::Lifeguard)) && *seeds > 1 {
            return Err(format!("--seeds {seeds}: --experiment lifeguard runs one seed; leave --seeds out"));
        }
        let count = *nodes as usize;
        if *kill >= count {
            return Err(format!(
                "--kill {kill}: of {nodes} nodes {} at most can be killed; give a smaller --kill or more --nodes",
                nodes - 1
            ));
        }
        if *slow_nodes > count {
            return Err(format!(
                "--slow-nodes {slow_nodes}: there are {nodes} nodes; give a smaller --slow-nodes or more --nodes"
            ));
        }
        if let Some(kind) = self.fault.iter().find(|kind| count < kind.nodes_min()) {
            let needed = kind.nodes_min();
            return Err(format!("--fault {kind} needs {needed} nodes: give --nodes {needed} or more"));
        }
        let Some(last) = seed.checked_add(seeds - 1) else {
            let most = u64::MAX - seed + 1;
            return Err(format!(
                "--seed {seed} --seeds {seeds}: the last seed is {}; give --seeds {most} at most, or a smaller --seed",
                u64::MAX
            ));
        };
        Ok(*seed..=last)
    }

    fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = Scenario::new(seed);
        scenario.nodes = self.nodes as usize;
        scenario.loss = self.loss;
        scenario.kill = self.kill;
        scenario.partition = self.partition;
        scenario.slow_nodes = self.slow_nodes;
        scenario.faults.clone_from(&self.fault);
        scenario.duration = self.duration;
        scenario.timing = self.timing;
        scenario.warm = self.warm || self.nodes >= WARM_FROM;
        scenario.topology = match self.links {
            Links::Paper => Topology::paper(),
            Links::Flat => Topology::flat(Duration::from_micros(500)),
        };
        scenario
    }
}

fn parse_part(text: &str) -> anyhow::Result<f64> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let part = number.parse::<f64>().context("expected a share such as 5% or 0.05")? / unit;
    if !(0.0..=1.0).contains(&part) {
        bail!("expected a share from 0% to 100%");
    }
    Ok(part)
}

/// A time that a phase of a run may take: none is no time.
fn virtual_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(1)..=TIME_MAX).contains(&time) => Ok(time),
        Ok(_) => Err("give 1ms to 365days".to_owned()),
        Err(error) => Err(format!("{error}; give a time such as 40s or 2m")),
    }
}

fn fault_help() -> String {
    let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    format!(
        "Inject this kind of fault for --duration, then heal it; may be given several times. One of: {}",
        names.join(", ")
    )
}

fn as_json(report: &Report, wall: Duration) -> anyhow::Result<Value> {
    let mut object = serde_json::Map::new();
    if let Value::Object(fields) = serde_json::to_value(report)? {
        for (key, value) in fields {
            // A distribution: its median has the key, the rest of it keys of its own.
            if let Some(median) = value.get("median") {
                object.insert(format!("{key}_p99"), value["p99"].clone());
                object.insert(format!("{key}_max"), value["max"].clone());
                object.insert(key, median.clone());
            } else {
                object.insert(key, value);
            }
        }
    }
    object.insert("wall_seconds".into(), json!(wall.as_secs_f64()));
    Ok(object.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_plain_numbers_under_the_keys_that_others_read() {
        let mut scenario = Scenario::new(3);
        scenario.nodes = 5;
        scenario.duration = Duration::from_secs(2);
        let read = |scenario: &Scenario| as_json(&run(scenario), Duration::from_secs(1)).unwrap();
        let keys = [
            "nodes",
            "seed",
            "converged_ms",
            "detect_first_ms",
            "detect_full_ms",
            "false_failures",
            "bytes_per_node_per_s",
            "datagrams_per_node_per_s",
            "sim_seconds",
            "wall_seconds",
        ];
        let quiet = read(&scenario);
        scenario.kill = 2;
        let killed = read(&scenario);
        for key in keys {
            assert!(killed[key].is_number(), "{key}: {}", killed[key]);
            let nothing_to_measure = key.starts_with("detect_");
            assert_eq!(quiet.get(key).unwrap().is_null(), nothing_to_measure, "{key}");
        }
        assert_eq!(killed["violations"], json!([]));
        assert!(killed["detect_full_ms_max"].as_f64() >= killed["detect_full_ms"].as_f64());
        assert!(killed["fired"]["killed"].as_u64() == Some(2));
    }

    #[test]
    fn the_documentation_says_by_which_counter_each_fault_shows() {
        let text = include_str!("../../docs/OPERATIONS.md");
        for kind in FaultKind::ALL {
            let [name, counter] = [kind.name(), kind.counter()].map(|word| format!("`{word}`"));
            let row = |line: &str| line.starts_with('|') && line.contains(&name) && line.contains(&counter);
            assert!(text.lines().any(row), "{kind}: {counter}");
            assert!(fault_help().contains(kind.name()));
        }
    }

    #[test]
    fn shares_are_numbers_or_percentages() {
        assert!((parse_part("5%").unwrap() - 0.05).abs() < 1e-9);
        assert!((parse_part("0.4").unwrap() - 0.4).abs() < 1e-9);
        assert!(parse_part("140%").unwrap_err().to_string().contains("from 0% to 100%"));
        assert!(parse_part("much").is_err());
    }
}
