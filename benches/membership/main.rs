//! Twenty `starling node` processes beside twenty `serf` agents: the same faults, one after the other, in one run.
//!
//! `cargo bench --bench membership -- [SCENARIO…]` wants a network namespace of its own, which
//! `scripts/bench-overlay.sh` makes; every node has an address of 127.0.1.0/24 there. Both are watched alike: a change is
//! known when a process has written the line that says so.

mod cluster;
mod network;
mod scenario;
mod system;

use std::error::Error;

use comfy_table::{Table, presets};

use crate::scenario::{Figure, SCENARIOS, Scenario};
use crate::system::System;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Nodes of each system.
const NODES: usize = 20;

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = names.iter().find(|name| !SCENARIOS.iter().any(|scenario| scenario.name == **name))
    {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        return Err(format!("there is no scenario {unknown:?}: choose of {}", known.join(", ")).into());
    }
    network::prepare()?;
    let systems = System::installed();
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let heads = systems.iter().map(|system| system.name());
    table.set_header(["what", "unit"].into_iter().chain(heads));
    let chosen = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    for scenario in SCENARIOS.iter().filter(chosen) {
        let mut columns = Vec::new();
        for system in &systems {
            eprintln!("{}: {}", scenario.name, system.name());
            columns.push((scenario.run)(*system).map_err(|error| format!("{}: {error}", system.name()))?);
        }
        add_rows(&mut table, &columns);
    }
    println!("{table}");
    Ok(())
}

/// One row a figure, one column a system.
fn add_rows(table: &mut Table, columns: &[Vec<Figure>]) {
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    for row in 0..rows {
        let figures: Vec<Option<&Figure>> = columns.iter().map(|column| column.get(row)).collect();
        let Some(first) = figures.iter().flatten().next() else { continue };
        let values = figures.iter().map(|figure| figure.map_or_else(String::new, Figure::text));
        table.add_row([first.what.clone(), first.unit.to_owned()].into_iter().chain(values));
    }
}
