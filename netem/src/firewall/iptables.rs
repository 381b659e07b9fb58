//! The rules as iptables chains, for kernels whose nft cannot queue.

use super::{Packets, Rule, Rules, Target};
use crate::command::{CommandError, Tool};

const IPTABLES: Tool = Tool { name: "iptables", package: "iptables" };
const IP6TABLES: Tool = Tool { name: "ip6tables", package: "iptables" };
/// Built-in chain, how it names a device, and our chain that it jumps to.
const CHAINS: [(&str, &str, &str); 2] =
    [("INPUT", "-i", "STARLING-NETEM-IN"), ("OUTPUT", "-o", "STARLING-NETEM-OUT")];

pub(super) fn install(device: &str, rules: &Rules) -> Result<(), CommandError> {
    for (tool, restore) in [
        (IPTABLES, Tool { name: "iptables-restore", ..IPTABLES }),
        (IP6TABLES, Tool { name: "ip6tables-restore", ..IP6TABLES }),
    ] {
        let v4 = tool.name == IPTABLES.name;
        let installed = restore
            .run(&["--noflush", "--wait", "5"], &script(rules, v4)?)
            .and_then(|_| CHAINS.iter().try_for_each(|chain| jump(tool, device, *chain)));
        match installed {
            Ok(()) => {}
            Err(error) if !v4 => tracing::warn!(%error, "IPv6 is not shaped"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Declaring a chain creates or empties it; all of it is one transaction.
pub(super) fn script(rules: &Rules, v4: bool) -> Result<String, CommandError> {
    let mut lines = vec!["*mangle".to_owned()];
    lines.extend(CHAINS.iter().map(|(_, _, chain)| format!(":{chain} - [0:0]")));
    let sides = [(CHAINS[0].2, "-s", &rules.inbound), (CHAINS[1].2, "-d", &rules.outbound)];
    for (chain, address, rules) in sides {
        for rule in rules.iter().filter(|rule| rule.is_v4() == v4) {
            let net = if rule.any_address() { String::new() } else { format!("{address} {} ", rule.net) };
            let target = target_words(rule.target)?;
            lines.extend(
                packets_words(rule).iter().map(|packets| format!("-A {chain} {net}{packets}{target}")),
            );
        }
    }
    lines.push("COMMIT\n".to_owned());
    Ok(lines.join("\n"))
}

/// One rule for each kind of packet: iptables has no sets of ICMP types.
fn packets_words(rule: &Rule) -> &'static [&'static str] {
    match (rule.packets, rule.is_v4()) {
        (Packets::All, _) => &[""],
        (Packets::Echo | Packets::EchoAndNeighbours, true) => {
            &["-p icmp --icmp-type 8 ", "-p icmp --icmp-type 0 "]
        }
        (Packets::Echo, false) => &["-p icmpv6 --icmpv6-type 128 ", "-p icmpv6 --icmpv6-type 129 "],
        (Packets::EchoAndNeighbours, false) => &[
            "-p icmpv6 --icmpv6-type 128 ",
            "-p icmpv6 --icmpv6-type 129 ",
            "-p icmpv6 --icmpv6-type 135 ",
            "-p icmpv6 --icmpv6-type 136 ",
        ],
    }
}

fn target_words(target: Target) -> Result<String, CommandError> {
    Ok(match target {
        Target::Queue(queue) => format!("-j NFQUEUE --queue-num {queue} --queue-bypass"),
        Target::Pass => "-j RETURN".to_owned(),
        Target::Drop(share) if share >= 1.0 => "-j DROP".to_owned(),
        Target::Drop(share) => format!("-m statistic --mode random --probability {share:.6} -j DROP"),
        Target::Duplicate(_) => {
            return Err(CommandError::Refused {
                command: "iptables".to_owned(),
                message: "it can't duplicate packets: install the package nftables, or use --backend nfqueue"
                    .to_owned(),
            });
        }
    })
}

fn jump(tool: Tool, device: &str, (hook, side, chain): (&str, &str, &str)) -> Result<(), CommandError> {
    let rule = |verb| ["-w", "5", "-t", "mangle", verb, hook, side, device, "-j", chain];
    match tool.run(&rule("-C"), "") {
        Ok(_) => Ok(()),
        Err(CommandError::Refused { .. }) => tool.run(&rule("-I"), "").map(drop),
        Err(error) => Err(error),
    }
}

/// Says whether there were chains of ours.
pub(super) fn remove() -> bool {
    [IPTABLES, IP6TABLES].map(remove_from).contains(&true)
}

fn remove_from(tool: Tool) -> bool {
    let Ok(listing) = tool.run(&["-w", "5", "-t", "mangle", "-S"], "") else { return false };
    let mut removed = false;
    for jump in listing.lines().filter_map(|line| line.strip_prefix("-A ")) {
        if CHAINS.iter().any(|(_, _, chain)| jump.ends_with(&format!("-j {chain}"))) {
            let mut arguments = vec!["-w", "5", "-t", "mangle", "-D"];
            arguments.extend(jump.split_whitespace());
            removed |= tool.run(&arguments, "").is_ok();
        }
    }
    for (_, _, chain) in CHAINS.iter().filter(|(_, _, chain)| listing.contains(chain)) {
        for verb in ["-F", "-X"] {
            removed |= tool.run(&["-w", "5", "-t", "mangle", verb, chain], "").is_ok();
        }
    }
    removed
}
