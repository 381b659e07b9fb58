//! `starling sim --workload`: a whole cluster's work in virtual time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::Table;
use serde_json::{Map, Value, json};
use starling_placement::policy::{Policy, UnknownPolicy};
use starling_placement::sim::{Decider, Figures, Outcome, Setup, WORKLOADS, Workload, simulate};

use super::{print, table, tell};

/// The policies that `--policy` names at once.
const ALL: &str = "all";

#[derive(clap::Args)]
pub(super) struct WorkloadArgs {
    #[arg(
        long,
        value_name = "NAME",
        help = workload_help(),
        conflicts_with_all = [
            "mixed", "experiment", "kill", "partition", "slow_nodes", "loss", "fault", "duration", "links", "timing",
            "warm"
        ]
    )]
    pub(super) workload: Option<Workload>,
    /// Requests of a --workload
    #[arg(long, default_value_t = 1_000, value_name = "N", requires = "workload", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// What decides where the jobs of a --workload run: a policy, `omniscient` (true states: no node can have it), or all
    #[arg(long, default_value = "score", value_name = "NAME", requires = "workload", value_parser = parse_deciders)]
    policy: Deciders,
    /// How much a --workload asks for, as a part of what all workers can do
    #[arg(long, default_value_t = 0.7, value_name = "PART", requires = "workload", value_parser = parse_load)]
    load: f64,
    /// How far jobs of a --workload take another time than predicted: sigma of a log-normal factor [default: the workload's own]
    #[arg(long, value_name = "SIGMA", requires = "workload", value_parser = parse_sigma)]
    estimate_sigma: Option<f64>,
    /// Write what came when and takes how long where, of the first seed, as JSON for `cargo run -p starling-bound --example bound`
    #[arg(long, value_name = "FILE", requires = "workload")]
    trace: Option<PathBuf>,
}

/// One policy or all of them.
#[derive(Clone, Debug, PartialEq)]
struct Deciders(Vec<Decider>);

fn workload_help() -> String {
    let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
    format!(
        "Simulate a whole cluster's work instead: --jobs requests to --nodes nodes. One of: {}",
        names.join(", ")
    )
}

fn parse_deciders(text: &str) -> Result<Deciders, String> {
    let one = match text {
        ALL => return Ok(Deciders(Decider::all())),
        Decider::OMNISCIENT => Decider::Omniscient,
        name => {
            let kind = name
                .parse()
                .map_err(|error: UnknownPolicy| format!("{error}, {}, {ALL}", Decider::OMNISCIENT))?;
            Decider::Policy(Policy { kind, ..Policy::default() })
        }
    };
    Ok(Deciders(vec![one]))
}

fn parse_load(text: &str) -> Result<f64, String> {
    let load = text.parse::<f64>().map_err(|error| format!("{error}; give a number such as 0.7"))?;
    if (0.01..=10.0).contains(&load) { Ok(load) } else { Err("give 0.01 to 10".to_owned()) }
}

fn parse_sigma(text: &str) -> Result<f64, String> {
    let sigma = text.parse::<f64>().map_err(|error| format!("{error}; give a number such as 0.5"))?;
    if (0.0..=2.0).contains(&sigma) { Ok(sigma) } else { Err("give 0 to 2".to_owned()) }
}

fn write_trace(setup: &Setup, path: &Path) -> anyhow::Result<()> {
    let Some(trace) = setup.trace() else {
        bail!("requests of this run depend on what is decided: it has no trace")
    };
    let text = serde_json::to_vec(&trace)?;
    std::fs::write(path, text).with_context(|| format!("can't write the trace to {}", path.display()))
}

/// Runs the workload under each policy, and prints what came of it.
pub(super) fn run(
    args: &WorkloadArgs,
    workload: Workload,
    (nodes, seed, seeds): (u32, u64, u64),
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::new();
    let begun = Instant::now();
    for decider in &args.policy.0 {
        let mut setup =
            Setup::new(workload, *decider, nodes as usize, args.jobs as usize, seed).load(args.load);
        if let Some(sigma) = args.estimate_sigma {
            setup = setup.estimate_sigma(sigma);
        }
        if let Some(path) = args.trace.as_deref().filter(|_| outcomes.is_empty()) {
            write_trace(&setup, path)?;
        }
        let outcome = simulate(&setup, seeds);
        for (seed, violation) in &outcome.violations {
            tell(&format!("{}: seed {seed}: {violation}", decider.as_str()));
        }
        outcomes.push((decider.as_str(), outcome));
    }
    let wall = begun.elapsed();
    if as_json {
        let head = json!({
            "workload": workload.name, "nodes": nodes, "jobs": args.jobs, "load": args.load, "seed": seed, "seeds": seeds,
        });
        print(&report(head, &outcomes, wall)?.to_string())?;
    } else {
        print(&rows(&outcomes, wall))?;
    }
    let broken: usize = outcomes.iter().map(|(_, outcome)| outcome.violations.len()).sum();
    if broken > 0 {
        tell(&format!("{broken} times a rule was broken; the same options replay it"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// All policies by name; the figures of one that runs alone stand at the top, too.
fn report(head: Value, outcomes: &[(&str, Outcome)], wall: Duration) -> serde_json::Result<Value> {
    let mut report = Map::new();
    let mut add = |fields: Value| {
        if let Value::Object(fields) = fields {
            report.extend(fields);
        }
    };
    add(head);
    let mut policies = Map::new();
    for (name, Outcome { figures, by_seed, sim_seconds, trace_hash, violations, .. }) in outcomes {
        let mut fields = serde_json::to_value(figures)?;
        fields["by_seed"] = serde_json::to_value(by_seed)?;
        fields["sim_seconds"] = json!(sim_seconds);
        fields["trace_hash"] = json!(trace_hash);
        let told: Vec<_> =
            violations.iter().map(|(seed, violation)| format!("seed {seed}: {violation}")).collect();
        fields["violations"] = json!(told);
        if outcomes.len() == 1 {
            add(fields.clone());
        }
        policies.insert((*name).to_owned(), fields);
    }
    let sim_seconds: f64 = outcomes.iter().map(|(_, outcome)| outcome.sim_seconds).sum();
    add(json!({ "policies": policies, "sim_seconds": sim_seconds, "wall_seconds": wall.as_secs_f64() }));
    Ok(report.into())
}

fn rows(outcomes: &[(&str, Outcome)], wall: Duration) -> String {
    let mut rows = table::new_table();
    rows.set_header([
        "policy",
        "success",
        "mean ms",
        "p99 ms",
        "refused",
        "offers/job",
        "other zones",
        "wasted CPU",
        "over bound",
    ]);
    for (name, outcome) in outcomes {
        row(&mut rows, name, &outcome.figures);
    }
    let virtual_s: f64 = outcomes.iter().map(|(_, outcome)| outcome.sim_seconds).sum();
    format!("{}\nvirtual time {virtual_s:.1} s, simulated in {:.1} s", rows.trim_fmt(), wall.as_secs_f64())
}

fn row(rows: &mut Table, name: &str, figures: &Figures) {
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let ms = |time: Option<f64>| time.map_or_else(String::new, |ms| format!("{ms:.0}"));
    rows.add_row([
        name.to_owned(),
        percent(figures.success_ratio),
        ms(figures.mean_ms),
        ms(figures.p99_ms),
        percent(figures.refused_ratio),
        format!("{:.2}", figures.offers_per_job),
        percent(figures.cross_region_ratio),
        percent(figures.wasted_cpu_ratio),
        figures.bound_ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_figures_of_each_policy_and_of_a_lone_one_at_the_top() {
        let outcome = |name: &str| {
            let Deciders(deciders) = parse_deciders(name).unwrap();
            let setup = Setup::new(WORKLOADS[0], deciders[0], 5, 20, 1);
            (deciders[0].as_str(), simulate(&setup, 1))
        };
        let both = [outcome("eta"), outcome("omniscient")];
        let told = |outcomes: &[(&str, Outcome)]| {
            report(json!({ "seed": 1 }), outcomes, Duration::from_secs(1)).unwrap()
        };
        let alone = told(&both[..1]);
        for key in [
            "success_ratio",
            "mean_ms",
            "p50_ms",
            "p99_ms",
            "cross_region_ratio",
            "cross_region_bytes",
            "offers_per_job",
            "refused_ratio",
            "wasted_cpu_ratio",
            "herding_max",
            "bound_ratio",
            "bound_success_ratio",
            "transcodes",
            "sim_seconds",
            "wall_seconds",
        ] {
            assert!(alone[key].is_number(), "{key}: {}", alone[key]);
        }
        assert_eq!(alone["trace_hash"], alone["policies"]["eta"]["trace_hash"]);
        assert!(told(&both)["policies"]["omniscient"]["success_ratio"].as_f64().unwrap() > 0.9);
        assert!(told(&both).get("success_ratio").is_none());
    }

    #[test]
    fn policies_and_loads_that_there_are_not_are_refused_with_what_there_is() {
        let told = parse_deciders("psychic").unwrap_err();
        assert!(told.contains("waterfall") && told.ends_with("omniscient, all"), "{told}");
        assert_eq!(parse_deciders(ALL).unwrap().0.len(), 9);
        assert!(parse_load("0").is_err() && parse_load("much").is_err() && parse_load("1.5").is_ok());
        assert!(parse_sigma("-1").is_err() && parse_sigma("0.5").is_ok());
    }
}
