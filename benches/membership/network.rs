//! The namespace's loopback device: addresses, faults and counters, by nftables.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::process::{Command, Stdio};

use crate::Result;

const TABLE: &str = "starling_bench";

/// A node's address.
pub fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, node as u8 + 1)
}

/// What crossed the device since [`count`] was called, IP headers included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub udp_packets: u64,
    pub udp_bytes: u64,
    pub tcp_bytes: u64,
}

/// Refuses to run anywhere but in a namespace of its own: the rules are for all of its loopback device.
pub fn prepare() -> Result<()> {
    let devices = std::fs::read_dir("/sys/class/net")?.count();
    let routes = std::fs::read_to_string("/proc/net/route")?.lines().count();
    if devices > 1 && routes > 1 {
        return Err("run scripts/bench-overlay.sh: this needs a network namespace of its own".into());
    }
    run("ip", &["link", "set", "lo", "up"])?;
    clear()
}

/// Every packet arrives again, and nothing is counted.
pub fn clear() -> Result<()> {
    nft(&format!("table ip {TABLE}\ndelete table ip {TABLE}\n"))
}

/// Counts from now on.
pub fn count() -> Result<()> {
    rules("meta l4proto udp counter\nmeta l4proto tcp counter\n")
}

/// Each packet of any protocol is lost with this chance.
pub fn lose(percent: u32) -> Result<()> {
    rules(&format!("numgen random mod 100 < {percent} drop\n"))
}

/// No packet passes between the two.
pub fn part(one: Range<usize>, other: Range<usize>) -> Result<()> {
    let set = |nodes: Range<usize>| {
        let addresses: Vec<String> = nodes.map(|node| address(node).to_string()).collect();
        format!("{{ {} }}", addresses.join(", "))
    };
    let (one, other) = (set(one), set(other));
    rules(&format!("ip saddr {one} ip daddr {other} drop\nip saddr {other} ip daddr {one} drop\n"))
}

/// What was counted.
pub fn traffic() -> Result<Traffic> {
    let output = Command::new("nft").args(["--json", "list", "table", "ip", TABLE]).output()?;
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mut counted = Vec::new();
    for object in listed["nftables"].as_array().into_iter().flatten() {
        for expression in object["rule"]["expr"].as_array().into_iter().flatten() {
            let counter = &expression["counter"];
            if let (Some(packets), Some(bytes)) = (counter["packets"].as_u64(), counter["bytes"].as_u64()) {
                counted.push((packets, bytes));
            }
        }
    }
    let [udp, tcp] = counted.as_slice() else { return Err("nft does not list the two counters".into()) };
    Ok(Traffic { udp_packets: udp.0, udp_bytes: udp.1, tcp_bytes: tcp.1 })
}

fn rules(rules: &str) -> Result<()> {
    clear()?;
    let chain = "type filter hook input priority 0; policy accept;";
    nft(&format!("table ip {TABLE} {{\nchain input {{\n{chain}\n{rules}}}\n}}\n"))
}

fn nft(script: &str) -> Result<()> {
    use std::io::Write;
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("nft has no input")?.write_all(script.as_bytes())?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("nft refused: {script}").into()) }
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program).args(args).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} failed", args.join(" ")).into()) }
}
