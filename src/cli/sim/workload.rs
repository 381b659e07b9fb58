//! `starling sim --workload`: a whole cluster's work in virtual time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::Table;
use serde_json::{Map, Value, json};
use starling::client::load::Recording;
use starling_placement::sim::interval::{Beside, Interval, Intervals};
use starling_placement::sim::{Decider, Outcome, Setup, UnknownDecider, WORKLOADS, Workload, simulate};

use super::{print, table, tell};

/// Longest recording that is read.
const REPLAY_BYTES_MAX: u64 = 512 << 20;
/// The policies that `--policy` names at once.
const ALL: &str = "all";

/// Options that say nothing of a cluster's work.
const OF_THE_OVERLAY: [&str; 11] = [
    "mixed",
    "experiment",
    "kill",
    "partition",
    "slow_nodes",
    "loss",
    "fault",
    "duration",
    "links",
    "timing",
    "warm",
];

#[derive(clap::Args)]
pub(super) struct WorkloadArgs {
    #[arg(
        long,
        value_name = "NAME",
        help = workload_help(),
        group = "simulated_work",
        conflicts_with_all = OF_THE_OVERLAY
    )]
    pub(super) workload: Option<Workload>,
    /// Simulate requests that `starling load --record FILE` has written, on as many nodes, under any --policy
    #[arg(long, value_name = "FILE", group = "simulated_work", conflicts_with_all = OF_THE_OVERLAY, conflicts_with = "nodes")]
    pub(super) replay: Option<PathBuf>,
    /// Requests of a --workload
    #[arg(long, default_value_t = 1_000, value_name = "N", requires = "workload", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    jobs: u32,
    /// What decides where the jobs of a --workload or --replay run: policies, such as eta,score:0.8 (0.8 of the weight on load), or all. What no
    /// node can have: omniscient (true states; greedy all the same, so that eta may beat it), eta-true-loads, eta-true-sizes, eta-true (eta that is told what gossip has late, or
    /// what a look does not show), eta-central (one node decides for all)
    #[arg(long, default_value = "score", value_name = "NAME", requires = "simulated_work", value_parser = parse_deciders)]
    policy: Deciders,
    /// How much a --workload asks for, as a part of what all workers can do
    #[arg(long, default_value_t = 0.7, value_name = "PART", requires = "workload", value_parser = parse_load)]
    load: f64,
    /// How long a mean job of a --workload takes; deadlines get no shorter by it [default: as the workload says]
    #[arg(long, value_name = "TIME", requires = "workload", value_parser = parse_service)]
    service: Option<Duration>,
    /// How far jobs of a --workload take another time than predicted: sigma of a log-normal factor [default: the workload's own]
    #[arg(long, value_name = "SIGMA", requires = "workload", value_parser = parse_sigma)]
    estimate_sigma: Option<f64>,
    /// Write what came when and takes how long where, of the first seed, as JSON for `cargo run -p starling-bound --example bound`
    #[arg(long, value_name = "FILE", requires = "simulated_work")]
    trace: Option<PathBuf>,
}

/// One policy or several, each by the name that it has in what is printed.
#[derive(Clone, Debug, PartialEq)]
struct Deciders(Vec<(String, Decider)>);

fn workload_help() -> String {
    let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
    format!(
        "Simulate a whole cluster's work instead: --jobs requests to --nodes nodes. One of: {}",
        names.join(", ")
    )
}

fn parse_deciders(text: &str) -> Result<Deciders, String> {
    let named = |decider: Decider| (decider.as_str().to_owned(), decider);
    if text == ALL {
        return Ok(Deciders(Decider::all().into_iter().map(named).collect()));
    }
    let decider = |name: &str| match name.parse() {
        Ok(decider) => Ok((name.to_owned(), decider)),
        Err(error @ UnknownDecider::Policy(_)) => Err(format!("{error}, {ALL}")),
        Err(error) => Err(error.to_string()),
    };
    text.split(',').map(decider).collect::<Result<_, _>>().map(Deciders)
}

/// From what a datagram takes to what no client waits for.
fn parse_service(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3600);
    match humantime::parse_duration(text) {
        Ok(time) if bounds.contains(&time) => Ok(time),
        Ok(_) => Err("give 1ms to 1h".to_owned()),
        Err(error) => Err(format!("{error}; give a time such as 400ms or 4s")),
    }
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

/// Runs a workload under each policy, and prints what came of it.
pub(super) fn run(
    args: &WorkloadArgs,
    workload: Workload,
    (nodes, seed, seeds): (u32, u64, u64),
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let setup = |decider: Decider| {
        let mut setup =
            Setup::new(workload, decider, nodes as usize, args.jobs as usize, seed).load(args.load);
        if let Some(service) = args.service {
            setup = setup.service(service);
        }
        if let Some(sigma) = args.estimate_sigma {
            setup = setup.estimate_sigma(sigma);
        }
        setup
    };
    let head = json!({
        "workload": workload.name, "nodes": nodes, "jobs": args.jobs, "load": args.load, "seed": seed, "seeds": seeds,
    });
    run_each(args, setup, seeds, head, as_json)
}

/// The same of requests that were recorded.
pub(super) fn run_replay(
    args: &WorkloadArgs,
    path: &Path,
    (seed, seeds): (u64, u64),
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let told = || format!("can't replay {}", path.display());
    let length = std::fs::metadata(path).with_context(told)?.len();
    if length > REPLAY_BYTES_MAX {
        bail!("{}: {length} bytes, and {REPLAY_BYTES_MAX} at most are read", told());
    }
    let text = std::fs::read_to_string(path).with_context(told)?;
    let Recording { nodes, workers, deadline, requests } = Recording::read(&text).with_context(told)?;
    let head =
        json!({ "workload": "replay", "nodes": nodes, "jobs": requests.len(), "seed": seed, "seeds": seeds });
    let setup =
        |decider: Decider| Setup::replay(decider, nodes, deadline, requests.clone(), seed).workers(workers);
    run_each(args, setup, seeds, head, as_json)
}

fn run_each(
    args: &WorkloadArgs,
    setup: impl Fn(Decider) -> Setup,
    seeds: u64,
    head: Value,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::new();
    let begun = Instant::now();
    for (name, decider) in &args.policy.0 {
        let setup = setup(*decider);
        if let Some(path) = args.trace.as_deref().filter(|_| outcomes.is_empty()) {
            write_trace(&setup, path)?;
        }
        let outcome = simulate(&setup, seeds);
        for (seed, violation) in &outcome.violations {
            tell(&format!("{name}: seed {seed}: {violation}"));
        }
        outcomes.push((name.as_str(), outcome));
    }
    let wall = begun.elapsed();
    if as_json {
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
        fields["intervals"] = serde_json::to_value(Intervals::of(by_seed))?;
        let others = outcomes.iter().filter(|(other, _)| other != name);
        let beside =
            others.map(|(other, outcome)| ((*other).to_owned(), Beside::of(by_seed, &outcome.by_seed)));
        fields["ratio_to"] = serde_json::to_value(beside.collect::<BTreeMap<_, _>>())?;
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
        row(&mut rows, name, outcome);
    }
    let virtual_s: f64 = outcomes.iter().map(|(_, outcome)| outcome.sim_seconds).sum();
    let beaten = if is_beaten(outcomes) { OMNISCIENT_BEATEN } else { "" };
    format!(
        "{}\n{beaten}virtual time {virtual_s:.1} s, simulated in {:.1} s",
        rows.trim_fmt(),
        wall.as_secs_f64()
    )
}

/// Why a policy that knows less may do better.
const OMNISCIENT_BEATEN: &str = "omniscient is no bound: it knows all, but takes for each job the node that ends it soonest, whatever comes after, and reckons \
                                 coarsely with what is on its way; the bound is \"over bound\"\n";

/// Whether some policy took less time than `omniscient` did, and served as much.
fn is_beaten(outcomes: &[(&str, Outcome)]) -> bool {
    let known = outcomes.iter().find(|(name, _)| *name == Decider::OMNISCIENT);
    let Some((_, Outcome { figures: known, .. })) = known else { return false };
    outcomes.iter().any(|(_, Outcome { figures, .. })| {
        let (mean, best) = (figures.mean_ms.unwrap_or(f64::MAX), known.mean_ms.unwrap_or(f64::MAX));
        mean < best && figures.success_ratio >= known.success_ratio
    })
}

fn row(rows: &mut Table, name: &str, Outcome { figures, by_seed, .. }: &Outcome) {
    let intervals = Intervals::of(by_seed);
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let ms = |time: Option<f64>| time.map_or_else(String::new, |ms| format!("{ms:.0}"));
    rows.add_row([
        name.to_owned(),
        with(&percent(figures.success_ratio), intervals.success_ratio, |part| format!("{:.1}", part * 100.0)),
        with(&ms(figures.mean_ms), intervals.mean_ms, |mean| format!("{mean:.0}")),
        ms(figures.p99_ms),
        percent(figures.refused_ratio),
        format!("{:.2}", figures.offers_per_job),
        percent(figures.cross_region_ratio),
        percent(figures.wasted_cpu_ratio),
        with(
            &figures.bound_ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            intervals.bound_ratio,
            |ratio| format!("{ratio:.2}"),
        ),
    ]);
}

/// A figure and its interval, if there are seeds enough for one.
fn with(figure: &str, interval: Option<Interval>, tell: impl Fn(f64) -> String) -> String {
    match interval {
        Some(Interval { low, high }) => format!("{figure} ({} to {})", tell(low), tell(high)),
        None => figure.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_figures_of_each_policy_and_of_a_lone_one_at_the_top() {
        let outcome = |name: &'static str| {
            let setup = Setup::new(WORKLOADS[0], name.parse().unwrap(), 5, 20, 1);
            (name, simulate(&setup, 1))
        };
        let both = [outcome("eta"), outcome("omniscient")];
        let told = |outcomes: &[(&str, Outcome)]| {
            report(json!({ "seed": 1 }), outcomes, Duration::from_secs(1)).unwrap()
        };
        let [(_, eta), (_, known)] = &both;
        // Said where it is so, whatever came of these few.
        let better = eta.figures.mean_ms < known.figures.mean_ms
            && eta.figures.success_ratio >= known.figures.success_ratio;
        assert_eq!(rows(&both, Duration::ZERO).contains("omniscient is no bound"), better);
        let mut beaten = [outcome("eta"), outcome("omniscient")];
        beaten[0].1.figures.mean_ms = Some(1.0);
        beaten[0].1.figures.success_ratio = 1.0;
        assert!(rows(&beaten, Duration::ZERO).contains("omniscient is no bound"));
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
        let eta = &told(&both)["policies"]["eta"];
        assert!(eta["ratio_to"]["omniscient"]["par1_ms"]["ratio"].is_number(), "{eta}");
        assert!(eta["intervals"]["mean_ms"].is_null(), "one seed has no spread");
    }

    #[test]
    fn policies_and_loads_that_there_are_not_are_refused_with_what_there_is() {
        let told = parse_deciders("psychic").unwrap_err();
        assert!(told.contains("waterfall") && told.ends_with("omniscient, all"), "{told}");
        assert_eq!(parse_deciders(ALL).unwrap().0.len(), 9);
        let Deciders(several) = parse_deciders("eta-true-loads,score:0.8").unwrap();
        assert_eq!(several[0], ("eta-true-loads".to_owned(), Decider::IMPOSSIBLE[0]));
        assert_eq!(several[1].0, "score:0.8");
        assert_eq!(parse_deciders("eta:0.8").unwrap_err(), "eta has no weights: only score has");
        assert!(
            parse_service("0s").is_err() && parse_service("soon").is_err() && parse_service("400ms").is_ok()
        );
        assert!(parse_load("0").is_err() && parse_load("much").is_err() && parse_load("1.5").is_ok());
        assert!(parse_sigma("-1").is_err() && parse_sigma("0.5").is_ok());
    }
}
