//! The rules as an nft table.

use super::{Packets, Rule, Rules, Target};
use crate::command::{CommandError, Tool};

const NFT: Tool = Tool { name: "nft", package: "nftables" };
const TABLE: &str = "starling_netem";
/// With whether it is IPv4.
const FAMILIES: [(&str, bool); 2] = [("ip", true), ("ip6", false)];
/// What probabilities are drawn from.
const PARTS: u32 = 1_000_000;

pub(super) fn install(device: &str, rules: &Rules) -> Result<(), CommandError> {
    NFT.run(&["-f", "-"], &script(device, rules)).map(drop)
}

/// Says whether there was a table.
pub(super) fn remove() -> bool {
    FAMILIES.map(|(family, _)| NFT.run(&["delete", "table", family, TABLE], "").is_ok()).contains(&true)
}

/// One transaction: each table is made if it is missing, so that it can be deleted, so that it is made anew. One for each
/// family, since only those can duplicate.
pub(super) fn script(device: &str, rules: &Rules) -> String {
    let mut lines = Vec::new();
    for (family, v4) in FAMILIES {
        lines.push(format!("table {family} {TABLE}"));
        lines.push(format!("delete table {family} {TABLE}"));
        lines.push(format!("table {family} {TABLE} {{"));
        let sides =
            [("input", "iifname", "saddr", &rules.inbound), ("output", "oifname", "daddr", &rules.outbound)];
        for (hook, name, address, rules) in sides {
            let rules = rules.iter().filter(|rule| rule.is_v4() == v4);
            let rules: Vec<String> = rules
                .map(|rule| format!("    {name} \"{device}\" {}{}", matches(rule, address), statement(rule)))
                .collect();
            if !rules.is_empty() {
                lines.push(format!("  chain {hook} {{"));
                lines.push(format!("    type filter hook {hook} priority mangle; policy accept;"));
                lines.extend(rules);
                lines.push("  }".to_owned());
            }
        }
        lines.push("}".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
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

fn statement(rule: &Rule) -> String {
    let by_chance =
        |share: f64| format!("numgen random mod {PARTS} < {}", (share * f64::from(PARTS)).round() as u32);
    match rule.target {
        Target::Queue(queue) => format!("queue num {queue} bypass"),
        Target::Pass => "accept".to_owned(),
        Target::Drop(share) if share >= 1.0 => "drop".to_owned(),
        Target::Drop(share) => format!("{} drop", by_chance(share)),
        Target::Duplicate(share) => {
            format!("{} dup to {} daddr", by_chance(share), if rule.is_v4() { "ip" } else { "ip6" })
        }
    }
}
