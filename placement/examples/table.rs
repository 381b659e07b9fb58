//! One cell of the tables of policies, workloads and loads: `cargo run --release -p starling-placement --features sim --example table --
//! WORKLOAD LOAD JOBS SEEDS POLICY,POLICY,... [SERVICE_MS [NODES]]`. `SERVICE_MS` is the workload's own where it is 0, and there are five
//! nodes. Prints a line of JSON: the figures of each policy over the seeds 1 to SEEDS, their bootstrap intervals, and each one's as a
//! multiple of each other's. `starling sim --workload` prints the same of one cell; this is quick to build, so that a table of a thousand
//! cells can be made at each change.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use starling_placement::sim::interval::{Beside, Intervals};
use starling_placement::sim::{Decider, Outcome, Setup, Workload, simulate};

const NODES_USUAL: usize = 5;

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [workload, load, jobs, seeds, policies, more @ ..] = args.as_slice() else {
        return Err("give WORKLOAD LOAD JOBS SEEDS POLICY,POLICY,... [SERVICE_MS [NODES]]".to_owned());
    };
    let service_ms = more.first().map(|text| number::<u64>(text)).transpose()?.filter(|ms| *ms > 0);
    let nodes = more.get(1).map(|text| number(text)).transpose()?.unwrap_or(NODES_USUAL);
    let workload: Workload = workload.parse().map_err(told)?;
    let (load, jobs, seeds): (f64, usize, u64) = (number(load)?, number(jobs)?, number(seeds)?);
    let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
    for name in policies.split(',') {
        let decider: Decider = name.parse().map_err(told)?;
        let mut setup = Setup::new(workload, decider, nodes, jobs, 1).load(load);
        if let Some(service_ms) = service_ms {
            setup = setup.service(Duration::from_millis(service_ms));
        }
        outcomes.push((name, simulate(&setup, seeds)));
    }
    let cells: BTreeMap<_, _> = outcomes
        .iter()
        .map(|(name, outcome)| {
            let others = outcomes.iter().filter(|(other, _)| other != name);
            let ratio_to: BTreeMap<_, _> = others
                .map(|(other, others)| (*other, Beside::of(&outcome.by_seed, &others.by_seed)))
                .collect();
            let broken: Vec<_> = outcome.violations.iter().map(|(seed, of)| format!("{seed}: {of}")).collect();
            let cell = json!({
                "figures": outcome.figures, "by_seed": outcome.by_seed, "intervals": Intervals::of(&outcome.by_seed),
                "ratio_to": ratio_to, "violations": broken,
            });
            (*name, cell)
        })
        .collect();
    println!(
        "{}",
        json!({
            "workload": workload.name, "load": load, "nodes": nodes, "jobs": jobs, "seeds": seeds, "service_ms": service_ms,
            "policies": cells,
        })
    );
    Ok(())
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
