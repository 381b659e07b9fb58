//! `netem show`.

use std::error::Error;

use starling_netem::control::{Client, FaultState, Reply, Request, State};
use starling_netem::units::format_delay;

pub fn show(client: &mut Client, json: bool) -> Result<(), Box<dyn Error>> {
    let Reply::State(state) = client.ask(&Request::Show)? else { return Err("unexpected answer".into()) };
    if json {
        println!("{}", serde_json::to_string(&state)?);
    } else {
        print!("{}", text(&state));
    }
    Ok(())
}

/// `#3  FRA <-> BOM  loss 30%  (18s left)`
pub fn fault_line(fault: &FaultState) -> String {
    let left = fault.remaining_ms.map(|ms| {
        let rounded = if ms > 10_000 { ms.next_multiple_of(1000) } else { ms };
        format!("  ({} left)", format_delay(std::time::Duration::from_millis(rounded)))
    });
    format!("#{}  {}  {}{}", fault.id, fault.links, fault.change, left.unwrap_or_default())
}

fn text(state: &State) -> String {
    let mut lines = vec![format!("backend {}, held by process {}", state.backend.name(), state.pid)];
    lines.extend(state.why_not_tc.iter().map(|why| format!("  not tc: {why}")));
    lines.push("nodes".to_owned());
    for node in &state.nodes {
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        lines.push(format!("  {}  {}  {}  {}", node.name, node.zone, node.device, addresses.join(" ")));
    }
    lines.push("links, one way".to_owned());
    lines.extend(state.links.iter().map(|link| format!("  {link}")));
    lines.push(if state.faults.is_empty() { "no faults" } else { "faults" }.to_owned());
    lines.extend(state.faults.iter().map(|fault| format!("  {}", fault_line(fault))));
    lines.push(String::new());
    lines.join("\n")
}
