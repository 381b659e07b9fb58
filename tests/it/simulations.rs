//! `starling sim`, as people and scripts use it.

use std::io::Read;
use std::process::Command;

use serde_json::json;

use crate::cli::{json_lines, starling, stderr, stdout};

#[test]
fn a_simulation_says_which_faults_did_what() {
    let faults = ["--fault", "nat", "--fault", "upgrade", "--fault", "mtu"];
    let output = starling(&[&["sim", "--nodes", "8", "--duration", "8s", "--json"][..], &faults].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let report = &json_lines(&output)[0];
    assert!(report["fired"]["rebound"].as_u64() > Some(0), "{report}");
    assert_eq!(report["fired"]["upgraded"], 8);
    assert_eq!(report["fired"]["corrupted"], 0);
    assert_eq!((&report["false_failures"], &report["violations"]), (&json!(0), &json!([])));

    let table = stdout(&starling(&["sim", "--nodes", "5", "--duration", "8s", "--fault", "duplicate"]));
    let fired = table.lines().find(|line| line.contains("what faults did")).expect("a row");
    assert!(fired.contains("duplicated ") && !fired.contains("corrupted"), "{fired}");

    let unknown = starling(&["sim", "--fault", "gremlins"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("non-transitive"), "it says which there are: {}", stderr(&unknown));
}

#[test]
fn a_fault_that_does_nothing_fails_the_simulation() {
    let output = starling(&["sim", "--fault", "replay", "--duration", "1ms", "--seeds", "2", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("starling sim: seed 8: at "), "{told}");
    assert!(told.contains("the fault replay did nothing in 1ms"), "{told}");
    assert!(told.contains("2 of 2 runs broke a rule; the same options with --seed 7 --seeds 1"), "{told}");
    assert_eq!(stdout(&output), "");
    let output = starling(&["sim", "--fault", "buffer", "--seeds", "3"]);
    assert!(
        stdout(&output).starts_with("3 runs, no rule broken; faults: overflowed "),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_simulation_refuses_options_that_it_cannot_follow() {
    let refused: [(&[&str], &str); 13] = [
        (&["--mixed", "--nodes", "100"], "--nodes <N>"),
        (&["--mixed", "--nodes", "100", "--loss", "50%", "--kill", "3"], "--loss <SHARE>"),
        (&["--mixed", "--links", "flat"], "--links <LINKS>"),
        (&["--mixed", "--duration", "5s"], "--duration <TIME>"),
        (&["--experiment", "lifeguard", "--nodes", "50"], "--nodes <N>"),
        (&["--kill", "50"], "of 20 nodes 19 at most can be killed; give a smaller --kill or more --nodes"),
        (&["--kill", "20"], "of 20 nodes 19 at most can be killed"),
        (&["--slow-nodes", "30"], "there are 20 nodes; give a smaller --slow-nodes or more --nodes"),
        (&["--nodes", "2", "--fault", "bridge"], "needs 3 nodes: give --nodes 3 or more"),
        (&["--seed", "18446744073709551615", "--seeds", "2"], "give --seeds 1 at most, or a smaller --seed"),
        (&["--seed", "18446744073709551614", "--seeds", "5"], "give --seeds 2 at most, or a smaller --seed"),
        (&["--duration", "0s"], "give 1ms to 365days"),
        (&["--partition", "soon"], "give a time such as 40s or 2m"),
    ];
    for (options, why) in refused {
        let output = starling(&[&["sim"], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(stderr(&output).contains(why), "{options:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{options:?}");
    }
}

#[test]
fn a_simulation_does_all_that_can_be_done() {
    let short = ["sim", "--nodes", "3", "--duration", "1s", "--json"];
    let with = |options: &[&str]| json_lines(&starling(&[&short[..], options].concat()));
    let seeds: Vec<_> = with(&["--seed", "18446744073709551614", "--seeds", "2"])
        .iter()
        .map(|report| report["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [u64::MAX - 1, u64::MAX]);
    assert_eq!(with(&["--kill", "2"])[0]["fired"]["killed"], 2);
    assert_eq!(with(&["--slow-nodes", "3"])[0]["violations"], json!([]));
}

#[test]
fn a_simulation_has_null_for_what_it_did_not_measure() {
    let report = &json_lines(&starling(&["sim", "--mixed", "--json"]))[0];
    assert_eq!(report["violations"], json!([]));
    for (key, value) in report.as_object().unwrap() {
        let is_known =
            ["nodes", "seed", "sim_seconds", "wall_seconds", "fired", "violations"].contains(&&**key);
        assert_eq!(value.is_null(), !is_known, "{key}: {value}");
    }
    let table = stdout(&starling(&["sim", "--mixed"]));
    assert!(table.contains("rules broken") && !table.contains("sent at rest"), "{table}");
}

#[test]
fn a_simulation_whose_reader_has_enough_ends_quietly() {
    let run = |options: &[&str], reads_errors: bool| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (error_reader, error_writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        command.arg("sim").args(options).stdout(writer).stderr(error_writer);
        // Nobody reads, from the first line on.
        drop(reader);
        let error_reader = reads_errors.then_some(error_reader);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut told = String::new();
        if let Some(mut error_reader) = error_reader {
            error_reader.read_to_string(&mut told).unwrap();
        }
        (child.wait().unwrap().code(), told)
    };
    let short = ["--nodes", "3", "--duration", "1s"];
    for options in [&["--json", "--seeds", "50"][..], &["--seeds", "2"], &[]] {
        for reads_errors in [true, false] {
            let (code, told) = run(&[&short, options].concat(), reads_errors);
            assert_eq!((code, &*told), (Some(0), ""), "{options:?}");
        }
    }
    // A rule that was broken is told all the same; what nobody reads is not simulated any more.
    let broken = ["--json", "--seeds", "9", "--fault", "replay", "--duration", "1ms"];
    let (code, told) = run(&broken, true);
    assert_eq!(code, Some(1));
    assert!(told.contains("1 of 1 runs broke a rule"), "{told}");
    assert_eq!(run(&broken, false).0, Some(1));
}
