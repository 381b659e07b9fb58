//! What a change does to the simulator's figures: a few fixed runs, beside what they were at the base. Nothing fails by it: a difference is
//! seen, and `scripts/sim-figures.sh` makes it the new base.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_overlay::sim::Scenario;

use super::*;
use crate::sim::{Outcome, simulate};

/// Figures by their names.
type Figures = BTreeMap<String, f64>;

/// Where those of the base are, beside this crate's manifest.
const BASE: &str = "tests/figures.json";
/// Writes the base anew.
const UPDATE: &str = "STARLING_FIGURES_UPDATE";
/// What differs by less than this part is the same.
const SAME: f64 = 1e-9;

/// The overlay: twenty nodes, of which three are killed.
fn overlay(figures: &mut Figures) {
    let (mut detected, mut bytes) = (Vec::new(), Vec::new());
    for seed in 1..=3 {
        let mut scenario = Scenario::new(seed);
        scenario.kill = 3;
        scenario.duration = Duration::from_secs(20);
        let report = starling_overlay::sim::run(&scenario);
        detected.extend(report.detect_full_ms.map(|spread| spread.median));
        bytes.extend(report.bytes_per_node_per_s);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    figures.insert("overlay: death known to all, ms".to_owned(), mean(&detected));
    figures.insert("overlay: bytes a node and second at rest".to_owned(), mean(&bytes));
}

/// Work: a few workloads under the two policies that matter.
fn work(figures: &mut Figures) {
    for name in ["uniform", "saturated-region", "two-failures", "short-jobs"] {
        for kind in [PolicyKind::Score, PolicyKind::Eta] {
            let setup = Setup::new(workload(name), decider(kind), 9, 150, 1).load(0.8);
            let Outcome { figures: of, violations, .. } = simulate(&setup, 2);
            assert!(violations.is_empty(), "{name}: {violations:?}");
            let mut add = |what: &str, value: Option<f64>| {
                if let Some(value) = value {
                    figures.insert(format!("{name} {}: {what}", kind.as_str()), value);
                }
            };
            add("success", Some(of.success_ratio));
            add("mean ms", of.mean_ms);
            add("over the bound", of.bound_ratio);
            add("MB between zones", Some(of.cross_region_bytes as f64 / 1e6));
            add("offers a job", Some(of.offers_per_job));
        }
    }
}

/// What has changed, a line for each figure, and how many are as they were.
fn beside(base: &Figures, head: &Figures) -> String {
    let mut told = String::new();
    let names: std::collections::BTreeSet<_> = base.keys().chain(head.keys()).collect();
    let mut same = 0;
    for name in names {
        let number =
            |figures: &Figures| figures.get(name).map_or("-".to_owned(), |value| format!("{value:.3}"));
        let line = match (base.get(name), head.get(name)) {
            (Some(base), Some(head)) if (head - base).abs() <= SAME * base.abs().max(1.0) => {
                same += 1;
                continue;
            }
            (Some(base), Some(head)) if *base != 0.0 => format!("{:+.1} %", (head / base - 1.0) * 100.0),
            _ => String::new(),
        };
        writeln!(told, "  {name:<48} {:>12} {:>12} {line:>9}", number(base), number(head)).unwrap();
    }
    if told.is_empty() {
        return format!("simulated figures: all {same} as at the base\n");
    }
    format!(
        "simulated figures, base beside head ({same} are as they were; scripts/sim-figures.sh makes these the base):\n{told}"
    )
}

fn target() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| own.join("../target"), PathBuf::from)
}

#[test]
fn figures_beside_those_of_the_base() {
    let mut head = Figures::new();
    overlay(&mut head);
    work(&mut head);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BASE);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&head).unwrap() + "\n").unwrap();
    }
    let base: Figures = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let told = beside(&base, &head);
    println!("{told}");
    let target = target();
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("sim-figures.json"), serde_json::to_string_pretty(&head).unwrap()).unwrap();
    std::fs::write(target.join("sim-figures.txt"), told).unwrap();
}

#[test]
fn what_has_changed_is_told_and_what_has_not_is_counted() {
    let figures =
        |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let base: Figures = figures(&[("a", 1.0), ("b", 2.0), ("gone", 1.0)]);
    assert_eq!(beside(&base, &base), "simulated figures: all 3 as at the base\n");
    let told = beside(&base, &figures(&[("a", 1.0), ("b", 3.0), ("new", 0.5)]));
    assert!(told.contains("1 are as they were") && told.contains("+50.0 %"), "{told}");
    assert!(
        told.lines().any(|line| line.contains("gone") && line.ends_with('-') || line.contains("gone")),
        "{told}"
    );
    assert!(told.lines().any(|line| line.contains("new") && line.contains("0.500")), "{told}");
}
