//! `starling lab`: what it makes, what it does with nodes, and that nothing outlives it, however it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::lab::{
    AS_NOBODY, Lab, alive, command, command_line, is_root, no_namespaces, processes_naming,
};
use crate::support::{Clip, Http, eventually, skipped};
use starling_netem::control::{Reply, Request};
use starling_netem::{LinkChange, Shift};

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_in_namespaces_of_their_own() {
    let mut lab = Lab::start(&[]);
    if no_namespaces(&lab.report) {
        return;
    }
    let nodes = lab.report["nodes"].as_array().unwrap();
    let told: Vec<_> = nodes
        .iter()
        .map(|node| ["name", "zone", "gossip"].map(|key| node[key].as_str().unwrap()).join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "node1 FRA 10.77.1.1:5000",
            "node2 IAD 10.77.2.2:5000",
            "node3 BOM 10.77.3.3:5000",
            "node4 FRA 10.77.1.4:5000",
            "node5 IAD 10.77.2.5:5000"
        ]
    );
    assert!(lab.report["converged_ms"].as_u64().unwrap() > 0);
    assert!(["tc", "nfqueue", "none"].contains(&lab.report["backend"].as_str().unwrap()));
    for node in nodes {
        let http = Http::new(node["http"].as_str().unwrap());
        assert_eq!(alive(&http).await, 5);
        assert_eq!(http.get("/ready").await.status, 200);
    }
    lab.node("node3").upload(Clip { tag: 301, ..Clip::default() }.make()).await.assert_video();
    // Nothing of it is on the host: not a device, not an address, not a named namespace.
    let host = Command::new("ip").args(["-brief", "address"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&host.stdout).contains("10.77."));
    lab.signal("-TERM");
    lab.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_lab_share_a_key_that_nobody_else_has() {
    let mut lab = Lab::start(&["--nodes", "2", "--", "--deadline", "5m"]);
    let file = PathBuf::from(lab.report["key_file"].as_str().unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others can read it: {mode:o}");
    assert!(starling::config::KeyFile::read(file.clone()).is_ok());
    let offer = lab.node("node1").ask_node("/internal/offers", "{}").await;
    offer.assert_problem(401, "unauthorized");
    lab.node("node1").upload(Clip { tag: 302, ..Clip::default() }.make()).await.assert_video();
    lab.ctl(&["restart", "node2"]).unwrap();
    lab.ctl(&["add"]).unwrap();
    let node1 = lab.node("node1");
    eventually("all have the key", async || alive(&node1).await == 3).await;
    lab.signal("-TERM");
    lab.gone().await;
    assert!(!file.exists());

    let mut open = Lab::start(&["--nodes", "1", "--no-key"]);
    assert_eq!(open.report["key_file"], Value::Null);
    open.node("node1").ask_node("/internal/offers", "{}").await.assert_problem(400, "bad-request");
    open.signal("-TERM");
    open.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_finds_a_labs_nodes_in_it_and_goes_nowhere_from_outside() {
    let clips = tempfile::tempdir().unwrap();
    std::fs::write(clips.path().join("clip.mp4"), Clip { tag: 303, ..Clip::default() }.make()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("labs");
    let load = "\"$BINARY\" load \"$CLIPS\" --discover --parallel 4 --duration 3s --json";
    let mut inside = command(&[], &base, &["--nodes", "3", "--json", "--once", "--run", load]);
    let inside =
        inside.env("BINARY", env!("CARGO_BIN_EXE_starling")).env("CLIPS", clips.path()).output().unwrap();
    let said = String::from_utf8_lossy(&inside.stderr);
    assert_eq!(inside.status.code(), Some(0), "{said}");
    let lines: Vec<Value> = inside
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines[1]["cluster"]["nodes"], 3, "{lines:?}");
    assert_eq!(lines[1]["requests"], lines[1]["succeeded"], "{lines:?}");

    let mut lab = Lab::start(&["--nodes", "2"]);
    if no_namespaces(&lab.report) {
        return;
    }
    let entry = lab.report["nodes"][0]["http"].as_str().unwrap();
    let outside = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(["load", clips.path().to_str().unwrap(), "--to", entry, "--discover", "--duration", "1s"])
        .output()
        .unwrap();
    assert_eq!(outside.status.code(), Some(1));
    let said = String::from_utf8_lossy(&outside.stderr);
    assert!(said.contains("node2 at 10.77.2.2:5000") && said.contains("Name every node by --to"), "{said}");
    lab.signal("-TERM");
    lab.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_killed_restarted_frozen_and_added() {
    let mut lab = Lab::start(&["--nodes", "3", "--", "--timing", "local"]);
    let node1 = lab.node("node1");
    assert_eq!(alive(&node1).await, 3);

    let report = lab.ctl(&["kill", "node3"]).unwrap();
    assert_eq!(report["nodes"][2]["state"], "down");
    let logs = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(["lab", "ctl", "--dir"])
        .arg(&lab.base)
        .args(["logs", "-n", "2", "node3", "node1"])
        .output()
        .unwrap();
    let logs = String::from_utf8(logs.stdout).unwrap();
    let of = |node: &str| logs.lines().filter(|line| line.starts_with(&format!("{node} | "))).count();
    assert_eq!((of("node1"), of("node3"), logs.lines().count()), (2, 2, 4), "{logs}");
    assert!(lab.ctl(&["kill", "node3"]).unwrap_err().contains("node3 is down"));
    assert!(lab.ctl(&["stop", "node9"]).unwrap_err().contains("no node \"node9\""));
    eventually("node3 is seen to be dead", async || alive(&node1).await == 2).await;
    lab.ctl(&["restart", "node3"]).unwrap();
    eventually("node3 is back", async || alive(&node1).await == 3).await;

    lab.ctl(&["stop", "node2"]).unwrap();
    eventually("node2 is seen to be frozen", async || alive(&node1).await == 2).await;
    lab.ctl(&["continue", "node2"]).unwrap();
    eventually("node2 is back", async || alive(&node1).await == 3).await;

    let report = lab.ctl(&["add", "--zone", "BOM"]).unwrap();
    assert_eq!(report["nodes"][3]["name"], "node4");
    assert_eq!(report["nodes"][3]["zone"], "BOM");
    eventually("node4 has joined", async || alive(&node1).await == 4).await;
    assert!(lab.ctl(&["add", "--zone", "SYD"]).unwrap_err().contains("expected one of"));
    // A published port is free again at once: it is the same one.
    lab.ctl(&["restart", "node1"]).unwrap();
    eventually("node1 is back on its port", async || alive(&node1).await == 4).await;

    lab.ctl(&["stop", "node2"]).unwrap();
    lab.signal("-INT");
    lab.gone().await;
}

async fn rtt_ms(from: &Http, to: &str) -> f64 {
    let members = from.json("/members").await;
    let member = members["members"].as_array().unwrap().iter().find(|member| member["name"] == to).cloned();
    member.and_then(|member| member["rtt_ms"].as_f64()).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_felt_and_healed() {
    let mut lab = Lab::start(&["--nodes", "3", "--", "--timing", "local"]);
    if lab.report["backend"] == "none" {
        return skipped("links cannot be shaped here");
    }
    let node1 = lab.node("node1");
    let mut netem = lab.netem();
    eventually("FRA-IAD is 90 ms", async || (85.0..150.0).contains(&rtt_ms(&node1, "node2").await)).await;

    let change = LinkChange { delay: Some(Shift::parse("+100ms").unwrap()), ..LinkChange::default() };
    let fault =
        Request::Fault { links: "FRA-IAD".into(), change, one_way: false, for_ms: None, lease: false };
    assert!(matches!(netem.ask(&fault), Ok(Reply::Fault(_))));
    eventually("FRA-IAD is 290 ms", async || rtt_ms(&node1, "node2").await > 250.0).await;
    assert!(matches!(netem.ask(&Request::Heal { id: None }), Ok(Reply::Healed(1))));
    eventually("FRA-IAD is 90 ms again", async || rtt_ms(&node1, "node2").await < 150.0).await;

    let partition = Request::Partition { groups: "BOM".into(), for_ms: None, lease: false };
    assert!(matches!(netem.ask(&partition), Ok(Reply::Fault(_))));
    eventually("node3 is cut off", async || alive(&node1).await == 2).await;
    assert!(matches!(netem.ask(&Request::Heal { id: None }), Ok(Reply::Healed(1))));
    eventually("node3 is back", async || alive(&node1).await == 3).await;
    lab.signal("-TERM");
    lab.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_takes_the_lab_with_it() {
    let mut lab = Lab::start(&["--nodes", "2"]);
    lab.signal("-KILL");
    lab.gone().await;
}

/// Kills them; some may die of the death of those before them.
fn kill_all(pids: &[String]) {
    let output = Command::new("kill").arg("-KILL").args(pids).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.lines().all(|line| line.contains("No such process")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_leaves_nothing() {
    let mut lab = Lab::start(&["--nodes", "2"]);
    let pids = lab.supervisor_tree();
    assert!(!pids.is_empty());
    kill_all(&pids);
    lab.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_loopback_nodes_die_with_a_killed_supervisor() {
    let mut lab = Lab::start(&["--nodes", "2", "--isolation", "loopback"]);
    assert_eq!(lab.report["isolation"], "loopback");
    assert_eq!(lab.report["backend"], "none");
    let pids = lab.supervisor_tree();
    assert_eq!(pids.len(), 1);
    assert!(Command::new("kill").args(["-KILL", &pids[0]]).status().unwrap().success());
    lab.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_lab_sweeps_what_a_killed_one_left_and_spares_a_living_one() {
    let mut living = Lab::start(&["--nodes", "1"]);
    let base = living.base.clone();
    let mut killed = Lab::start_in(&[], &base, &["--nodes", "1"]);
    // Both at once, so that neither can clean up.
    let mut pids = killed.supervisor_tree();
    let living_pids = living.supervisor_tree();
    let id = killed.report["id"].as_str().unwrap().to_owned();
    pids.push(killed.launcher.id().to_string());
    kill_all(&pids);
    killed.launcher.wait().unwrap();
    assert!(base.join(&id).exists(), "someone cleaned up: this test tests nothing");

    let mut next = Lab::start_in(&[], &base, &["--nodes", "1"]);
    assert!(!base.join(&id).exists());
    assert!(living_pids.iter().all(|pid| command_line(pid).is_some()), "a living lab was swept");
    assert_eq!(alive(&living.node("node1")).await, 1);
    assert!(next.ctl(&["status"]).unwrap_err().contains("several labs are running"));
    let id = next.report["id"].as_str().unwrap().to_owned();
    assert_eq!(next.ctl(&["--lab", &id, "status"]).unwrap()["id"], id.as_str());
    next.signal("-TERM");
    next.launcher.wait().unwrap();
    living.signal("-TERM");
    living.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_root_a_lab_lives_in_a_user_namespace() {
    let user: &[&str] = if is_root() { &AS_NOBODY } else { &[] };
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let runs = Command::new(user.first().unwrap_or(&"true"))
        .args(user.get(1..).unwrap_or_default())
        .args([env!("CARGO_BIN_EXE_starling"), "--version"])
        .stdout(Stdio::null())
        .status();
    if !runs.is_ok_and(|status| status.success()) {
        return skipped("nobody cannot run the binary where it lies");
    }
    let mut lab = Lab::start_in(user, &folder.path().join("labs"), &["--nodes", "2"]);
    if no_namespaces(&lab.report) {
        return;
    }
    assert_eq!(lab.report["isolation"], "user-namespaces");
    assert_eq!(alive(&lab.node("node2")).await, 2);
    lab.signal("-TERM");
    lab.gone().await;
}

#[test]
fn a_folder_that_holds_anything_else_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("thesis.tex"), "x").unwrap();
    for args in
        [&["--nodes", "1", "--isolation", "loopback"][..], &["--nodes", "1", "--once", "--run", "true"]]
    {
        let output = command(&[], folder.path(), args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is no folder of labs") && said.contains("/precious was not made"), "{said}");
        assert_eq!(output.stdout, b"");
    }
    let ctl = Command::new(env!("CARGO_BIN_EXE_starling"))
        .args(["lab", "ctl", "--dir"])
        .arg(folder.path())
        .arg("status")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ctl.stderr);
    assert_eq!(ctl.status.code(), Some(2), "{said}");
    assert!(said.contains("is no folder of labs"), "{said}");
    // The part that the lab starts itself, by hand.
    let inside =
        command(&[], folder.path(), &["--inside", "precious", "--isolation", "loopback"]).output().unwrap();
    assert_eq!(inside.status.code(), Some(2), "{}", String::from_utf8_lossy(&inside.stderr));
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((names(folder.path()), names(&precious)), (1, 1));
    assert_eq!(std::fs::read(precious.join("thesis.tex")).unwrap(), b"x");
}

#[test]
fn a_node_that_cannot_start_ends_the_lab_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("labs");
    let output = command(&[], &base, &["--nodes", "2", "--", "--workers", "none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("exited with status 2 before the cluster was ready"), "{said}");
    assert!(said.contains("invalid value 'none'"), "{said}");
    assert_eq!(processes_naming(base.to_str().unwrap()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(&base).unwrap().count(), 1, "only the mark of all labs stays");
}

#[test]
fn a_command_can_run_in_the_lab_and_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("labs");
    let script =
        "\"$BINARY\" members --json --node \"$STARLING_NODE\" && \"$BINARY\" lab ctl --json status && exit 7";
    let output = command(&[], &base, &["--nodes", "1", "--json", "--once", "--run", script])
        .env("BINARY", env!("CARGO_BIN_EXE_starling"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[1]["members"][0]["name"], "node1");
    assert_eq!(lines[2]["id"], lines[0]["id"], "`lab ctl` in it means this lab: {text}");
}

#[test]
fn a_bad_zone_file_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let zones = folder.path().join("zones.toml");
    std::fs::write(
        &zones,
        "[zones.A]\nsubnet = \"10.1.0.0/24\"\n[[link]]\nbetween = [\"A\", \"A\"]\nrtt = \"ten\"\n",
    )
    .unwrap();
    let base = folder.path().join("labs");
    let output = command(&[], &base, &["--zones", zones.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("zones.toml:5:"), "{said}");
}
