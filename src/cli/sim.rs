//! `starling sim`: the overlay's protocol on thousands of simulated nodes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use comfy_table::Table;
use serde_json::{Value, json};
use starling_overlay::Timing;
use starling_overlay::sim::{
    FaultKind, LifeguardRow, Report, Scenario, Spread, Topology, lifeguard, run, run_mixed,
};

/// Simulate the overlay: virtual time, the same state machine as the real node
#[derive(clap::Args)]
pub struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    nodes: u32,
    /// Part of the datagrams that is lost, such as 5% or 0.05, for --duration
    #[arg(long, default_value = "0%", value_parser = parse_part)]
    loss: f64,
    /// Kill so many nodes, one after the other
    #[arg(long, default_value_t = 0)]
    kill: usize,
    /// Cut the cluster in halves for this long, such as 30s
    #[arg(long, value_parser = humantime::parse_duration)]
    partition: Option<Duration>,
    /// Stop so many nodes again and again, for --duration
    #[arg(long, default_value_t = 0)]
    slow_nodes: usize,
    /// Inject this kind of fault for --duration, then heal it; may be given several times. One of: loss, bursts, duplicate,
    /// reorder, delay, corrupt, replay, mtu, buffer, nat, partition, one-way, deaf, bridge, non-transitive, flap, crash,
    /// restart-all, leave, clock, move, swap, pause, starve, slow, upgrade, rekey
    #[arg(long, value_name = "NAME", hide_possible_values = true, value_parser = str::parse::<FaultKind>)]
    fault: Vec<FaultKind>,
    /// How long to watch the cluster at rest, and under loss and slow nodes
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Links: the paper's three zones, or one zone with 1 ms of RTT
    #[arg(long, value_enum, default_value_t = Links::Paper)]
    links: Links,
    /// Protocol timing
    #[arg(long, default_value_t = Timing::Lan)]
    timing: Timing,
    /// Begin with a cluster in which all have known each other for long (default: from 500 nodes on)
    #[arg(long)]
    warm: bool,
    /// Makes all random choices; the same seed replays the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run so many seeds, from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Throw faults of all kinds at small clusters instead, and check that all rules hold
    #[arg(long)]
    mixed: bool,
    /// Run an experiment instead: the Lifeguard paper's slow members, with each part of the failure detector on and off,
    /// each run for --duration
    #[arg(long, value_enum, conflicts_with_all = ["mixed", "kill", "partition", "slow_nodes", "loss", "fault", "seeds"])]
    experiment: Option<Experiment>,
    /// Print JSON, one object a seed (or, of an experiment, one a configuration)
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
}

/// From so many nodes on, a start from a ring says more about the start than about the cluster.
const WARM_FROM: u32 = 500;

/// Runs the simulations.
pub fn run_command(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(Experiment::Lifeguard) = args.experiment {
        let rows = lifeguard(args.seed, args.duration, |row| eprintln!("done: {}", row.configuration));
        if args.json {
            for row in &rows {
                println!("{}", serde_json::to_string(row)?);
            }
        } else {
            println!("{}", lifeguard_table(&rows));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut broken = 0;
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let begun = Instant::now();
        let report = if args.mixed { run_mixed(seed) } else { run(&args.scenario(seed)) };
        let wall = begun.elapsed();
        if args.json {
            println!("{}", as_json(&report, wall)?);
        } else if args.seeds == 1 {
            println!("{}", table(&report, wall));
        }
        for violation in &report.violations {
            eprintln!("starling sim: seed {seed}: {violation}");
        }
        broken += u64::from(!report.violations.is_empty());
    }
    if broken > 0 {
        eprintln!(
            "starling sim: {broken} of {} runs broke a rule; run again with the seed to replay one",
            args.seeds
        );
        return Ok(ExitCode::FAILURE);
    }
    if args.seeds > 1 && !args.json {
        println!("{} runs, no rule broken", args.seeds);
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
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

fn lifeguard_table(rows: &[LifeguardRow]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "configuration",
        "FP",
        "FP-",
        "FP, % of SWIM",
        "published",
        "FP-, % of SWIM",
        "published",
        "first, ms",
        "all, ms",
        "datagrams",
        "bytes",
    ]);
    let percent = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    let ms = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
    for row in rows {
        table.add_row([
            row.configuration.to_owned(),
            row.false_positives.to_string(),
            row.false_positives_at_healthy.to_string(),
            percent(row.percent_of_swim),
            percent(row.published_percent.map(|published| published.0)),
            percent(row.percent_of_swim_at_healthy),
            percent(row.published_percent.map(|published| published.1)),
            ms(row.detect_first_ms),
            ms(row.detect_full_ms),
            format!("{:.1}/s", row.datagrams_per_node_per_s),
            format!("{:.0}/s", row.bytes_per_node_per_s),
        ]);
    }
    table
}

/// What faults did, those that did anything.
fn fired(report: &Report) -> String {
    let counters = report.fired.counters().into_iter().filter(|(_, count)| *count > 0);
    let texts: Vec<String> =
        counters.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect();
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}

fn table(report: &Report, wall: Duration) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let one = |value: Option<f64>, unit: &str| value.map_or("-".into(), |value| format!("{value:.1} {unit}"));
    let spread = |spread: Option<Spread>, unit: &str| {
        spread.map_or("-".into(), |s| {
            format!("{:.1} {unit}  (99 %: {:.1}, max: {:.1})", s.median, s.p99, s.max)
        })
    };
    row("nodes", report.nodes.to_string());
    row("seed", report.seed.to_string());
    row("convergence", one(report.converged_ms, "ms"));
    row("first suspicion", spread(report.suspect_first_ms, "ms"));
    row("first detection", spread(report.detect_first_ms, "ms"));
    row("full detection", spread(report.detect_full_ms, "ms"));
    row("dissemination", spread(report.dissemination_ms, "ms"));
    row("heal", one(report.heal_ms, "ms"));
    row(
        "false failures",
        format!("{} ({} of healthy nodes)", report.false_failures, report.false_failures_healthy),
    );
    row("false suspicions", report.false_suspicions.to_string());
    row("datagrams sent", format!("{:.2} a node and second", report.datagrams_per_node_per_s));
    row("bytes sent", format!("{:.0} a node and second", report.bytes_per_node_per_s));
    row("load age, own zone", spread(report.load_age_own_zone_ms, "ms"));
    row("load known, own zone", format!("{:.1} %", report.load_fresh_own_zone * 100.0));
    row("load age, other zones' 3 freshest", spread(report.load_age_other_zones_ms, "ms"));
    let share = |share: f64| format!("{:.1} %", share * 100.0);
    row("load known, all", share(report.load_fresh));
    row("candidates' age, own zone's 8", spread(report.candidates_age_own_zone_ms, "ms"));
    row("candidates' age, other zones' 2", spread(report.candidates_age_other_zones_ms, "ms"));
    row("routers with good candidates, own zone", share(report.candidates_own_zone));
    row("routers with good candidates, other zones", share(report.candidates_other_zones));
    row("RTT error", spread(report.rtt_error, ""));
    row("faults that fired", fired(report));
    row("simulated", format!("{:.1} s in {:.1} s", report.sim_seconds, wall.as_secs_f64()));
    row("rules broken", report.violations.len().to_string());
    table
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
    fn shares_are_numbers_or_percentages() {
        assert!((parse_part("5%").unwrap() - 0.05).abs() < 1e-9);
        assert!((parse_part("0.4").unwrap() - 0.4).abs() < 1e-9);
        assert!(parse_part("140%").unwrap_err().to_string().contains("from 0% to 100%"));
        assert!(parse_part("much").is_err());
    }
}
