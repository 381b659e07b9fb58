//! What is in `deploy/` for systemd and Kubernetes, by their own tools. The package, and the unit under a systemd that runs, are
//! tried by `scripts/deb.sh`.

use std::process::{Command, Output};

use crate::support::{fetched, skipped};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// By `systemd-analyze security`: 0 is shut in, 10 is open to all; in tenths. Without its sandbox the unit would have 9.2.
const EXPOSURE_MAX: &str = "15";

#[test]
fn the_unit_is_what_systemd_takes_and_shut_in() {
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).output();
    if !analyze(&["--version"]).is_ok_and(|output| output.status.success()) {
        skipped("systemd-analyze is not installed (Debian's package systemd)");
        return;
    }
    let unit = std::fs::read_to_string(format!("{FOLDER}/systemd/starling.service")).unwrap();
    // It asks for the program where the package puts it.
    let here = unit
        .replace("ExecStart=/usr/bin/starling ", concat!("ExecStart=", env!("CARGO_BIN_EXE_starling"), " "));
    assert_ne!(unit, here);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("starling.service");
    std::fs::write(&file, here).unwrap();
    let file = file.to_str().unwrap();
    let output = analyze(&["verify", "--man=no", file]).unwrap();
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
    let output =
        analyze(&["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX, file]).unwrap();
    assert!(output.status.success() && said(&output).contains("Overall exposure level"), "{}", said(&output));
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    let Some(python) = fetched("deploy/python") else {
        skipped("kubernetes-validate is not in target/tools (scripts/deps.sh test fetches it by pip)");
        return;
    };
    let output = Command::new("python3")
        .env("PYTHONPATH", &python)
        .args(["-m", "kubernetes_validate", "--strict", &format!("{FOLDER}/kubernetes/starling.yaml")])
        .output()
        .unwrap();
    let told = said(&output);
    assert!(output.status.success() && told.matches(" passed for ").count() >= 5, "{told}");
    // What is there to be let in by its operator is right, too.
    let text = std::fs::read_to_string(format!("{FOLDER}/kubernetes/starling.yaml")).unwrap();
    let opened: Vec<_> = text.lines().map(opened).collect();
    assert_eq!(opened.iter().zip(text.lines()).filter(|(new, old)| *new != old).count(), 10, "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("opened.yaml");
    std::fs::write(&file, opened.join("\n")).unwrap();
    let output = Command::new("python3")
        .env("PYTHONPATH", &python)
        .args(["-m", "kubernetes_validate", "--strict", file.to_str().unwrap()])
        .output()
        .unwrap();
    let told = said(&output);
    assert!(output.status.success() && told.matches(" passed for ").count() >= 5, "{told}");
}

/// A rule that stands there as a comment, as one.
fn opened(line: &str) -> String {
    match line.split_once("# ") {
        Some((indent, rule)) if indent.trim().is_empty() && is_rule(rule) => format!("{indent}{rule}"),
        _ => line.to_owned(),
    }
}

fn is_rule(text: &str) -> bool {
    let text = text.trim_start().trim_start_matches("- ");
    ["to:", "ports:", "{port: ", "ipBlock: ", "namespaceSelector:", "matchLabels: "]
        .iter()
        .any(|key| text.starts_with(key))
}

/// The variables that the manifests set for a node.
fn settings() -> Vec<String> {
    let text = std::fs::read_to_string(format!("{FOLDER}/kubernetes/starling.yaml")).unwrap();
    let names = text.split("name: STARLING_").skip(1);
    names
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').next().unwrap())
        .map(|name| format!("STARLING_{name}"))
        .collect()
}

#[test]
fn the_manifests_set_what_a_node_asks_for() {
    let help = Command::new(env!("CARGO_BIN_EXE_starling")).args(["node", "--help"]).output().unwrap();
    let help = said(&help);
    let settings = settings();
    assert!(settings.len() >= 7, "{settings:?}");
    for name in settings {
        assert!(help.contains(&format!("[env: {name}=")), "no option of `starling node` is set by {name}");
    }
}
