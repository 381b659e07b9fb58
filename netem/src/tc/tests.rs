use std::fmt::Write as _;
use std::time::Duration;

use super::ClassTree;
use crate::{
    Distribution, Fault, Hook, LinkChange, LinkProfile, Links, Node, Plan, Scope, Selector, Shift, Zones,
};

fn node(name: &str, zone: &str, last: &str) -> Node {
    let zones = Zones::builtin();
    let subnet = zones.get(zone).unwrap().subnets[0].to_string();
    let address = subnet.replace("0/24", last).parse().unwrap();
    Node { name: name.to_owned(), zone: zone.to_owned(), addresses: vec![address] }
}

fn plan(faults: &[Fault]) -> Plan {
    let peers = [node("node1", "FRA", "11"), node("node3", "BOM", "13")];
    Plan::new(&Zones::builtin(), faults, &peers[0], &peers, Hook::Egress, Scope::All)
}

fn fault(links: Links, change: LinkChange) -> Fault {
    Fault { id: 1, links, change }
}

#[test]
fn a_device_in_frankfurt() {
    let mut lines = ClassTree::create("eth0");
    lines.extend(ClassTree::default().update("eth0", &plan(&[])));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_same_plan_again_runs_nothing() {
    let mut tree = ClassTree::default();
    tree.update("eth0", &plan(&[]));
    assert_eq!(tree.update("eth0", &plan(&[])), Vec::<String>::new());
}

#[test]
fn faults_come_and_go_by_difference() {
    let zone = |name: &str| vec![Selector::Zone(name.to_owned())];
    let mut tree = ClassTree::default();
    tree.update("eth0", &plan(&[]));
    let slow = fault(
        Links::Between { from: zone("FRA"), to: zone("BOM"), one_way: false },
        LinkChange {
            delay: Some(Shift::Add(Duration::from_millis(100))),
            loss: Some(0.3),
            ..LinkChange::default()
        },
    );
    let cut = fault(Links::Groups(vec![vec![Selector::Node("node3".to_owned())]]), LinkChange::CUT);
    let mut text = String::new();
    for (title, faults) in [("slow", vec![slow.clone()]), ("and cut", vec![slow, cut]), ("healed", vec![])] {
        writeln!(text, "# {title}\n{}", tree.update("eth0", &plan(&faults)).join("\n")).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_property_has_its_words() {
    let mut plan = plan(&[]);
    plan.rules.truncate(1);
    let mut tree = ClassTree::default();
    let full = LinkProfile {
        delay: Duration::from_micros(45_500),
        jitter: Duration::from_millis(2),
        distribution: Distribution::Pareto,
        loss: 0.01,
        loss_burst: 5.0,
        duplicate: 0.001,
        reorder: 0.002,
        rate: Some(200_000_000),
    };
    let uniform = LinkProfile { distribution: Distribution::Uniform, rate: None, ..full };
    let mut text = String::new();
    for profile in [full, uniform, LinkProfile::PERFECT] {
        plan.rules[0].profile = profile;
        writeln!(text, "{}\n", tree.update("eth0", &plan).join("\n")).unwrap();
    }
    insta::assert_snapshot!(text);
}
