//! Plan to tc command lines, by difference to what is there. Pure, so that snapshots show what is run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;

use crate::units::{format_delay, format_percent, format_rate};
use crate::{Distribution, LinkProfile, Plan};

/// Handle of our root qdisc: how we know our own work on a device.
pub(super) const ROOT: &str = "5a11:";
/// Leaf handles start here, one per slot.
const LEAF_BASE: u16 = 0x6000;
const SLOTS_MAX: u16 = 0x0fff;
/// `ICMPv6` types that find neighbours, and their filters' priorities: like ARP, that is no zone's business.
const NEIGHBOUR_TYPES: [(u8, u16); 2] = [(135, 1), (136, 2)];
/// Single addresses are matched before subnets.
const PRIORITY_HOST: u16 = 0x1000;
const PRIORITY_SUBNET: u16 = 0x4000;
/// A rate that no virtual device reaches: the class only sorts packets. Netem needs one too to keep jittered packets
/// in order.
const UNLIMITED: &str = "100gbit";

/// What is set on one device.
#[derive(Debug, Clone, Default)]
pub struct ClassTree {
    /// By network: its slot (class and leaf number), and what the leaf does.
    leaves: BTreeMap<IpNet, (u16, LinkProfile)>,
}

impl ClassTree {
    /// Lines for `tc -batch` that make the root on a device that has none.
    pub fn create(device: &str) -> Vec<String> {
        let mut lines = vec![format!("qdisc add dev {device} root handle {ROOT} htb default 0")];
        lines.extend(NEIGHBOUR_TYPES.map(|(kind, priority)| {
            format!(
                "filter add dev {device} parent {ROOT} protocol ipv6 prio {priority} u32 match ip6 protocol 58 0xff match u8 {kind} 0xff at 40 flowid {ROOT}0"
            )
        }));
        lines
    }

    /// Lines that take everything away; the kernel puts the device's default qdisc back.
    pub fn remove(device: &str) -> Vec<String> {
        vec![format!("qdisc del dev {device} root handle {ROOT}")]
    }

    /// Lines that turn what is there into `plan`. A changed link keeps the packets that are under way on it.
    pub fn update(&mut self, device: &str, plan: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        let gone: Vec<IpNet> = self
            .leaves
            .keys()
            .filter(|net| !plan.rules.iter().any(|rule| rule.net == **net))
            .copied()
            .collect();
        for net in gone {
            if let Some((slot, _)) = self.leaves.remove(&net) {
                lines.extend(remove_leaf(device, &net, slot));
            }
        }
        for rule in &plan.rules {
            match self.leaves.get(&rule.net).copied() {
                Some((_, profile)) if profile == rule.profile => {}
                Some((slot, profile)) => {
                    lines.extend(change_leaf(device, slot, &profile, &rule.profile));
                    self.leaves.insert(rule.net, (slot, rule.profile));
                }
                None => {
                    let slot = self.free_slot();
                    lines.extend(add_leaf(device, &rule.net, slot, &rule.profile));
                    self.leaves.insert(rule.net, (slot, rule.profile));
                }
            }
        }
        lines
    }

    fn free_slot(&self) -> u16 {
        let taken = |slot: &u16| self.leaves.values().any(|(other, _)| other == slot);
        (1..SLOTS_MAX).find(|slot| !taken(slot)).unwrap_or(SLOTS_MAX)
    }
}

fn add_leaf(device: &str, net: &IpNet, slot: u16, profile: &LinkProfile) -> Vec<String> {
    let class = format!("{ROOT}{slot:x}");
    vec![
        format!(
            "class add dev {device} parent {ROOT} classid {class} htb rate {UNLIMITED} burst 1mb cburst 1mb quantum 60000"
        ),
        leaf("add", device, slot, profile),
        format!(
            "filter add dev {device} parent {ROOT} protocol {} prio {} u32 match {} dst {net} flowid {class}",
            if net.addr().is_ipv4() { "ip" } else { "ipv6" },
            priority(net, slot),
            if net.addr().is_ipv4() { "ip" } else { "ip6" },
        ),
    ]
}

fn remove_leaf(device: &str, net: &IpNet, slot: u16) -> Vec<String> {
    let protocol = if net.addr().is_ipv4() { "ip" } else { "ipv6" };
    vec![
        format!("filter del dev {device} parent {ROOT} protocol {protocol} prio {}", priority(net, slot)),
        format!("qdisc del dev {device} parent {ROOT}{slot:x} handle {:x}:", LEAF_BASE + slot),
        format!("class del dev {device} classid {ROOT}{slot:x}"),
    ]
}

/// The kernel keeps a distribution table once it is set, so going back to uniform takes a new leaf.
fn change_leaf(device: &str, slot: u16, old: &LinkProfile, new: &LinkProfile) -> Vec<String> {
    if table(old).is_some() && table(new).is_none() {
        let handle = LEAF_BASE + slot;
        vec![
            format!("qdisc del dev {device} parent {ROOT}{slot:x} handle {handle:x}:"),
            leaf("add", device, slot, new),
        ]
    } else {
        vec![leaf("change", device, slot, new)]
    }
}

fn priority(net: &IpNet, slot: u16) -> u16 {
    let base = if net.prefix_len() == net.max_prefix_len() { PRIORITY_HOST } else { PRIORITY_SUBNET };
    base + slot
}

fn table(profile: &LinkProfile) -> Option<&'static str> {
    let other = profile.distribution != Distribution::Uniform && !profile.jitter.is_zero();
    other.then(|| profile.distribution.name())
}

/// Every property is always written: the kernel keeps what a change leaves out. Duplicates are made by the firewall.
fn leaf(verb: &str, device: &str, slot: u16, profile: &LinkProfile) -> String {
    let mut line = format!(
        "qdisc {verb} dev {device} parent {ROOT}{slot:x} handle {:x}: netem limit {} delay {}",
        LEAF_BASE + slot,
        profile.queue_packets(),
        format_delay(profile.delay)
    );
    let mut word = |text: std::fmt::Arguments<'_>| {
        line.write_fmt(text).ok();
    };
    if !profile.jitter.is_zero() {
        word(format_args!(" {}", format_delay(profile.jitter)));
        if let Some(table) = table(profile) {
            word(format_args!(" distribution {table}"));
        }
    }
    if profile.bursts() {
        let (into, back) = profile.gilbert();
        word(format_args!(" loss gemodel {} {}", format_percent(into), format_percent(back)));
    } else {
        word(format_args!(" loss {}", format_percent(profile.loss)));
    }
    if profile.reorder > 0.0 && !profile.delay.is_zero() {
        word(format_args!(" reorder {}", format_percent(profile.reorder)));
    }
    let rate = match profile.rate {
        Some(rate) => format_rate(rate),
        None if profile.jitter.is_zero() => "0bit".to_owned(),
        None => UNLIMITED.to_owned(),
    };
    word(format_args!(" rate {rate}"));
    line
}
