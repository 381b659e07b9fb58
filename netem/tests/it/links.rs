//! What each link does, by both backends: in namespaces here, and in a kernel with netem (see `qemu`).

use std::time::Duration;

use starling_netem::{LinkChange, Links, Selector, Shaping, Shift, Zones};

use super::rig::{Rig, backend, missing, run, skipped};
use super::traffic::{arrivals, reaches, rtt_ms, tcp_bits_per_s};

/// Ends a test that this machine can't run, saying so.
macro_rules! needs_namespaces {
    () => {
        if let Some(why) = missing() {
            return skipped(why);
        }
    };
}

fn zone(name: &str) -> Vec<Selector> {
    vec![Selector::Zone(name.to_owned())]
}

fn node(name: &str) -> Vec<Selector> {
    vec![Selector::Node(name.to_owned())]
}

fn between(from: Vec<Selector>, to: Vec<Selector>) -> Links {
    Links::Between { from, to, one_way: false }
}

fn one_way(from: &str, to: &str) -> Links {
    Links::Between { from: zone(from), to: zone(to), one_way: true }
}

fn loss(share: f64) -> LinkChange {
    LinkChange { loss: Some(share), ..LinkChange::default() }
}

fn slower_by_50_ms() -> LinkChange {
    LinkChange { delay: Some(Shift::Add(Duration::from_millis(50))), ..LinkChange::default() }
}

fn lost(times: &[u32]) -> usize {
    times.iter().filter(|times| **times == 0).count()
}

/// Within five standard deviations of a binomial.
fn assert_share(hits: usize, expected: f64, count: u32) {
    let measured = hits as f64 / f64::from(count);
    let deviation = (expected * (1.0 - expected) / f64::from(count)).sqrt();
    assert!((measured - expected).abs() <= 5.0 * deviation, "{measured} is not {expected} ± 5 x {deviation}");
}

fn assert_rtt(measured: f64, expected: f64) {
    assert!(
        (measured - expected).abs() <= expected / 10.0,
        "RTT {measured:.2} ms is not within 10 % of {expected} ms"
    );
}

#[test]
fn round_trips_are_the_papers() {
    needs_namespaces!();
    let rig = Rig::new();
    let _shaping = rig.shape().unwrap();
    let pairs = [(1, 4, 10.0), (1, 2, 90.0), (1, 3, 200.0), (2, 3, 250.0)];
    for address in [0, 1] {
        for (a, b, expected) in pairs {
            let measured = rtt_ms(rig.end(a), rig.end(b), address);
            eprintln!("node{a} - node{b}: {measured:.2} ms, expected {expected} ms");
            assert_rtt(measured, expected);
        }
    }
    assert!(rtt_ms(rig.end(1), rig.end(1), 0) < 5.0, "to oneself nothing is delayed");
}

#[test]
fn ping_sees_what_applications_see() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let ping = |from: usize, to: usize, address: usize| {
        let address = rig.end(to).node.addresses[address];
        let said = run(rig.end(from), &format!("ping -q -c 8 -i 0.2 {address}"));
        // round-trip min/avg/max = 90.1/90.2/90.3 ms
        let times = said.rsplit("= ").next().and_then(|times| times.split('/').next()).expect("times");
        times.parse::<f64>().unwrap()
    };
    assert_rtt(ping(1, 2, 0), 90.0);
    assert_rtt(ping(3, 2, 1), 250.0);
    shaping.fault(between(node("node1"), node("node4")), slower_by_50_ms(), None).unwrap();
    assert_rtt(ping(1, 4, 0), 110.0);
}

#[test]
fn losses_are_binomial_and_heal() {
    const COUNT: u32 = 3000;
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let fault = shaping.fault(one_way("FRA", "IAD"), loss(0.3), None).unwrap().id;
    assert_share(lost(&arrivals(rig.end(1), rig.end(2), COUNT)), 0.3, COUNT);
    assert_eq!(lost(&arrivals(rig.end(2), rig.end(1), COUNT)), 0, "the other way nothing is lost");
    shaping.heal(Some(fault)).unwrap();
    assert_eq!(lost(&arrivals(rig.end(1), rig.end(2), COUNT)), 0, "healed");
}

#[test]
fn a_partition_cuts_and_heals() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let groups = Links::Groups(vec![[zone("FRA"), zone("IAD")].concat(), zone("BOM")]);
    shaping.fault(groups, LinkChange::CUT, None).unwrap();
    assert!(!reaches(rig.end(1), rig.end(3)) && !reaches(rig.end(3), rig.end(2)), "across the cut");
    assert!(reaches(rig.end(1), rig.end(2)) && reaches(rig.end(1), rig.end(4)), "on one side");
    shaping.heal(None).unwrap();
    assert!(reaches(rig.end(1), rig.end(3)) && reaches(rig.end(3), rig.end(2)), "healed");
}

#[test]
fn one_node_is_cut_off_from_its_own_zone_too() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let fault = shaping.fault(Links::Groups(vec![node("node4")]), LinkChange::CUT, None).unwrap().id;
    assert!(!reaches(rig.end(1), rig.end(4)) && !reaches(rig.end(4), rig.end(3)), "node4 is alone");
    assert!(reaches(rig.end(1), rig.end(2)), "the rest is whole");
    shaping.heal(Some(fault)).unwrap();
    assert!(reaches(rig.end(4), rig.end(1)), "healed");
}

#[test]
fn delay_is_added_between_two_nodes_only() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    shaping.fault(between(node("node1"), node("node4")), slower_by_50_ms(), None).unwrap();
    assert_rtt(rtt_ms(rig.end(1), rig.end(4), 0), 110.0);
    assert_rtt(rtt_ms(rig.end(1), rig.end(2), 0), 90.0);
    shaping.heal(None).unwrap();
    assert_rtt(rtt_ms(rig.end(1), rig.end(4), 0), 10.0);
}

#[test]
fn packets_are_duplicated() {
    const COUNT: u32 = 2000;
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let twice = LinkChange { duplicate: Some(0.2), ..LinkChange::default() };
    shaping.fault(one_way("FRA", "IAD"), twice, None).unwrap();
    let times = arrivals(rig.end(1), rig.end(2), COUNT);
    assert!(times.iter().all(|times| (1..=2).contains(times)), "each once or twice");
    let doubled = times.iter().filter(|times| **times == 2).count();
    assert_share(doubled, 0.2, COUNT);
}

#[test]
fn a_rated_link_is_no_faster_than_its_rate() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut shaping = rig.shape().unwrap();
    let narrow = LinkChange { rate: Some(10_000_000), ..LinkChange::default() };
    shaping.fault(between(zone("FRA"), zone("IAD")), narrow, None).unwrap();
    let rate = tcp_bits_per_s(rig.end(1), rig.end(2), Duration::from_secs(1), Duration::from_secs(2));
    eprintln!("TCP over 10 Mbit/s: {:.1} Mbit/s", rate / 1e6);
    assert!(rate < 10_500_000.0, "{rate}");
    assert!(rate > 0.0);
}

#[test]
fn what_was_there_before_is_there_after() {
    needs_namespaces!();
    let rig = Rig::new();
    let state = |rig: &Rig| {
        let firewall = run(rig.end(1), "iptables-save");
        let rules: Vec<&str> = firewall.lines().filter(|line| line.contains("STARLING")).collect();
        (run(rig.end(1), "tc qdisc show dev eth0"), rules.join("\n"), nft_ruleset(rig))
    };
    let before = state(&rig);
    let shaping = rig.shape().unwrap();
    assert_ne!(state(&rig), before, "shaped");
    drop(shaping);
    assert_eq!(state(&rig), before);
}

fn nft_ruleset(rig: &Rig) -> bool {
    run(rig.end(1), "nft list tables").contains("starling_netem")
}

#[test]
fn a_second_run_takes_over_what_a_killed_one_left() {
    needs_namespaces!();
    let rig = Rig::new();
    let mut left: Shaping = rig.shape().unwrap();
    left.fault(between(zone("FRA"), zone("IAD")), LinkChange::CUT, None).unwrap();
    if backend() == starling_netem::Backend::Tc {
        // As a kill would: the kernel's part stays, with the fault in it.
        std::mem::forget(left);
    } else {
        // Its sockets close with the process; only rules can stay.
        drop(left);
        run(rig.end(1), "iptables -t mangle -N STARLING-NETEM-IN");
    }
    let again = rig.shape().unwrap();
    assert_rtt(rtt_ms(rig.end(1), rig.end(2), 0), 90.0);
    drop(again);
    assert!(!run(rig.end(1), "iptables-save").contains("STARLING"));
}

#[test]
fn jitter_and_bursts_from_a_zone_file() {
    const COUNT: u32 = 3000;
    needs_namespaces!();
    let rig = Rig::new();
    let text = Zones::builtin_text().replace(
        "\"IAD\"]\nrtt = \"90ms\"",
        "\"IAD\"]\nrtt = \"90ms\"\njitter = \"4ms\"\ndistribution = \"normal\"\nloss = \"10%\"\nloss_burst = 5.0",
    );
    let _shaping = rig.shape_by(Zones::parse(&text, "test").unwrap()).unwrap();
    let times = arrivals(rig.end(1), rig.end(2), COUNT);
    // Runs of five are about nine times as uncertain as single losses.
    let deviation = (0.1f64 * 0.9 / f64::from(COUNT) * 9.0).sqrt();
    let share = lost(&times) as f64 / f64::from(COUNT);
    assert!((share - 0.1).abs() < 5.0 * deviation, "{share}");
    let runs = times.windows(2).filter(|pair| pair[0] > 0 && pair[1] == 0).count() as f64;
    let mean_run = lost(&times) as f64 / runs;
    assert!((2.5..10.0).contains(&mean_run), "mean run of losses {mean_run}");
}
