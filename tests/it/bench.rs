//! `starling bench`, in short: every experiment runs, every table and figure is there, and nothing is left behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str], labs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command.arg("bench").args(arguments).env("STARLING_LAB_DIR", labs).env_remove("RUST_LOG");
    command
}

/// What is left in a folder of labs: its mark alone.
fn left(labs: &Path) -> Vec<String> {
    let entries = labs.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "starling-labs-folder").collect()
}

/// A folder for labs that the nodes' user can pass through.
fn labs() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("starling-bench-it-").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    folder
}

#[test]
fn a_short_bench_of_all_has_every_table_and_figure() {
    let (out, above) = (tempfile::tempdir().unwrap(), labs());
    let labs = above.path().join("labs");
    let folder = out.path().join("report");
    let output = bench(&["all", "--short", "--seed", "7", "--output", folder.to_str().unwrap()], &labs)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(left(&labs), Vec::<String>::new(), "nothing of a lab is left");

    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["format"], &report["complete"], &report["settings"]["seed"]),
        (&1.into(), &true.into(), &7.into())
    );
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len() as u64, report["settings"]["cells"].as_u64().unwrap());
    for cell in cells {
        let requests = cell["requests"].as_u64().unwrap();
        let ended =
            |kinds: &Value| kinds.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
        assert_eq!(
            ended(&cell["results"]) + ended(&cell["refused"]) + ended(&cell["failed"]),
            requests,
            "{cell}"
        );
        assert_eq!(ended(&cell["results"]), cell["succeeded"].as_u64().unwrap(), "{cell}");
        assert!(!cell["series"].as_array().unwrap().is_empty(), "{cell}");
    }
    // All policies of an experiment were asked for the same.
    for experiment in ["routing", "saturation"] {
        let of = cells.iter().filter(|cell| cell["experiment"] == experiment);
        let asked: BTreeSet<u64> = of.map(|cell| cell["requests"].as_u64().unwrap()).collect();
        assert_eq!(asked.len(), 1, "{experiment}: {asked:?}");
    }
    let killed = |experiment: &str| {
        let mut of = cells.iter().filter(|cell| cell["experiment"] == experiment);
        of.next().unwrap()["failure"]["nodes"].as_array().unwrap().len()
    };
    assert_eq!((killed("one-failure"), killed("two-failures")), (1, 2));
    let saturated = cells.iter().find(|cell| cell["experiment"] == "saturation").unwrap();
    assert_eq!(saturated["sent_to"], serde_json::json!(["node1", "node4"]), "the nodes of one region");
    assert_eq!(report["convergence"]["runs_ms"].as_array().unwrap().len(), 2);

    let calibrated = report["calibration"]["rows"].as_array().unwrap();
    assert_eq!(
        calibrated.iter().map(|row| row["profile"].as_str().unwrap()).collect::<Vec<_>>(),
        ["paper", "poster"]
    );
    let validated = report["validation"]["rows"].as_array().unwrap();
    assert!(validated[0]["requests"].as_u64().unwrap() > 0, "{validated:?}");
    let recorded = std::fs::read_to_string(folder.join("validation-1.jsonl")).unwrap();
    // Its first line says of which cluster.
    assert_eq!(recorded.lines().count() as u64, 1 + validated[0]["requests"].as_u64().unwrap());

    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    let tables = [
        "routing-results",
        "routing-work",
        "one-failure-failure",
        "two-failures-failure",
        "saturation-results",
    ];
    for id in tables.into_iter().chain(["convergence", "calibration", "validation"]) {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    for papers in ["95.6 %", "91 %", "25-30 s", "12.4 s", "not known"] {
        assert!(page.contains(papers), "{papers}");
    }
    for asks in ["<script", "<link", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(asks), "the page asks for nothing: {asks}");
    }
    for figure in ["routing-load-0.8-throughput", "saturation-load-0.8-latency"] {
        assert!(page.contains(&format!("<figure id=\"{figure}\">")), "{figure}");
        assert!(folder.join(format!("{figure}.svg")).is_file(), "{figure}");
    }
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("score 0.8/0.2") && shown.contains("one node fails"), "{shown}");
}

#[test]
fn a_bench_that_is_cut_keeps_what_it_has_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let (out, above) = (tempfile::tempdir().unwrap(), labs());
    let labs = above.path().join("labs");
    let folder = out.path().join("report");
    // Minutes, but for the signal.
    let options =
        ["convergence", "--short", "--convergence-runs", "500", "--isolation", "loopback", "--output"];
    let mut command = bench(&[&options[..], &[folder.to_str().unwrap()]].concat(), &labs);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    said.extend(lines.by_ref().take_while(|line| !line.starts_with("[2/500]")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{said:?} {rest:?}");
    assert_eq!(left(&labs), Vec::<String>::new(), "nothing of a lab is left");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["complete"], false);
    assert!(report["convergence"]["runs_ms"].as_array().unwrap().len() >= 2, "{report}");
    assert!(report["notes"][0].as_str().unwrap().starts_with("Cut short"), "{report}");
}
