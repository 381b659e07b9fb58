//! The tests of `links` again, in Debian's kernel under qemu, with its own netem: this very program runs in there.

use std::path::Path;
use std::process::Command;

use super::rig::skipped;

const PROGRAMS: &[&str] =
    &[env!("CARGO_BIN_EXE_netem"), "ip", "tc", "nft", "iptables", "iptables-save", "ping", "chrt"];
/// Where Debian's iproute2 keeps its tables of distributions.
const TABLES: &str = "/usr/lib/x86_64-linux-gnu/tc";
const MISSING: i32 = 77;

#[test]
fn kernel_netem_shapes_the_same_links() {
    run_in_there("links::");
}

#[test]
fn kernel_netem_takes_the_same_orders() {
    run_in_there("control::");
}

fn run_in_there(tests: &str) {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/run.sh"));
    command.args(["--memory", "768", "--timeout", "2000", "--bin"]).arg(&own);
    for program in PROGRAMS {
        command.args(["--bin", program]);
    }
    for table in ["normal", "pareto"] {
        command.args(["--file", &format!("{TABLES}/{table}.dist:{TABLES}/{table}.dist")]);
    }
    command.args(["--", "env", "NETEM_TEST_BACKEND=tc"]).arg(&own);
    let output = command.args([tests, "--nocapture", "--test-threads=1"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) {
        return skipped(complaints.trim());
    }
    eprintln!("{said}");
    assert!(output.status.success(), "{complaints}");
    assert!(said.contains("test result: ok."), "the tests ran in there");
    assert!(!said.contains("SKIPPED"), "all of them");
}
