//! The rules as an nft table.

use super::{Packets, Rule, Rules, Target};
use crate::command::{CommandError, Tool};

const NFT: Tool = Tool { name: "nft", package: "nftables" };
const TABLE: &str = "starling_netem";
/// What probabilities are drawn from.
const PARTS: u32 = 1_000_000;

pub(super) fn install(device: &str, rules: &Rules) -> Result<(), CommandError> {
    NFT.run(&["-f", "-"], &script(device, rules)).map(drop)
}

/// Says whether there was a table.
pub(super) fn remove() -> bool {
    NFT.run(&["delete", "table", "inet", TABLE], "").is_ok()
}

/// One transaction: made if it is missing, so that it can be deleted, so that it is made anew.
pub(super) fn script(device: &str, rules: &Rules) -> String {
    let mut script = format!("table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    let sides =
        [("input", "iifname", "saddr", &rules.inbound), ("output", "oifname", "daddr", &rules.outbound)];
    for (hook, name, address, rules) in sides.into_iter().filter(|side| !side.3.is_empty()) {
        let lines: Vec<String> = rules
            .iter()
            .map(|rule| {
                format!("    {name} \"{device}\" {}{}\n", matches(rule, address), statement(rule.target))
            })
            .collect();
        let head = &format!("type filter hook {hook} priority mangle; policy accept;");
        script.extend(["  chain ", hook, " {\n    ", head, "\n", &lines.concat(), "  }\n"]);
    }
    script + "}\n"
}

fn matches(rule: &Rule, address: &str) -> String {
    let (ip, icmp) = if rule.is_v4() { ("ip", "icmp") } else { ("ip6", "icmpv6") };
    let net = if rule.any_address() { String::new() } else { format!("{ip} {address} {} ", rule.net) };
    match rule.packets {
        Packets::All => net,
        Packets::EchoAndNeighbours if !rule.is_v4() => format!(
            "{net}{icmp} type {{ echo-request, echo-reply, nd-neighbor-solicit, nd-neighbor-advert }} "
        ),
        Packets::Echo | Packets::EchoAndNeighbours => {
            format!("{net}{icmp} type {{ echo-request, echo-reply }} ")
        }
    }
}

fn statement(target: Target) -> String {
    match target {
        Target::Queue(queue) => format!("queue num {queue} bypass"),
        Target::Pass => "accept".to_owned(),
        Target::Drop(share) if share >= 1.0 => "drop".to_owned(),
        Target::Drop(share) => {
            format!("numgen random mod {PARTS} < {} drop", (share * f64::from(PARTS)).round() as u32)
        }
    }
}
