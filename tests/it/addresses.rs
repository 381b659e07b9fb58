//! Which address a node tells the others, in network namespaces of the test's own; and name servers that do not answer.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::skipped;

/// A node in a network namespace and a mount namespace of its own, and its log. It ends with the test.
struct Lone {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Lines that were read and not asked for yet.
    before: Vec<Value>,
}

impl Lone {
    /// Runs `setup` in the namespaces, then a node with these arguments; none if the machine does not let it.
    fn start(dir: &Path, setup: &str, arguments: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("namespaces need root");
            return None;
        }
        let binary = env!("CARGO_BIN_EXE_starling");
        let data = dir.join("data");
        let node = format!(
            "exec {binary} node --name lone --log json --workers 1 --data-dir {} {arguments}",
            data.display()
        );
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-ec", &format!("ip link set lo up\n{setup}\n{node}")])
            .env("STARLING_DIE_WITH_PARENT", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Some(Self { child, log, before: Vec::new() })
    }

    /// The next line whose message begins so. What comes before it is kept: the order of what happens side by side is nobody's.
    fn logged(&mut self, message: &str) -> Value {
        let is_it = |value: &Value| value["message"].as_str().is_some_and(|text| text.starts_with(message));
        if let Some(place) = self.before.iter().position(is_it) {
            return self.before.remove(place);
        }
        for line in self.log.by_ref() {
            let line = line.unwrap();
            let value: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if is_it(&value) {
                return value;
            }
            self.before.push(value);
        }
        panic!("no {message:?} in:\n{:#?}", self.before);
    }

    /// Runs a command in its network namespace.
    fn inside(&self, command: &str) {
        let pid = self.child.id().to_string();
        let status =
            Command::new("nsenter").args(["--net", "--target", &pid, "sh", "-ec", command]).status().unwrap();
        assert!(status.success(), "{command}");
    }

    fn terminate(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.logged("stopped: every request was answered");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// A link to nowhere, with an address.
const LINK: &str = "ip link add out type veth peer name nowhere\nip link set nowhere up\nip address add 198.51.100.7/24 dev out\nip link set out up";

#[test]
fn a_host_whose_own_name_is_127_0_1_1_does_not_advertise_loopback() {
    let dir = tempfile::tempdir().unwrap();
    // No default route either: the interface's address is all there is.
    let Some(mut node) = Lone::start(dir.path(), LINK, "--join 127.0.1.1:5000") else { return };
    assert_eq!(node.logged("node started")["gossip"], "198.51.100.7:5000");
}

#[test]
fn an_address_that_comes_late_or_changes_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut node) = Lone::start(dir.path(), "", "--gossip [::]:5000") else { return };
    node.logged("this machine has no address yet");
    assert_eq!(node.logged("node started")["gossip"], "127.0.0.1:5000");
    node.inside(LINK);
    assert_eq!(node.logged("this node's address has changed")["to"], "198.51.100.7:5000");
    // Another one beside it changes nothing; only that it is gone does.
    node.inside("ip address add 203.0.113.9/24 dev out; ip address delete 198.51.100.7/24 dev out");
    let changed = node.logged("this node's address has changed");
    assert_eq!((&changed["from"], &changed["to"]), (&"198.51.100.7:5000".into(), &"203.0.113.9:5000".into()));
}

#[test]
fn an_ipv6_wildcard_is_advertised_in_the_seeds_family() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!("{LINK}\nip address add 2001:db8:7::7/64 dev out nodad");
    for (seed, advertised) in
        [("[2001:db8:7::8]:5000", "[2001:db8:7::7]:5000"), ("198.51.100.8:5000", "198.51.100.7:5000")]
    {
        let arguments = format!("--gossip [::]:5000 --http [::]:5000 --join {seed}");
        let Some(mut node) = Lone::start(dir.path(), &both, &arguments) else { return };
        assert_eq!(node.logged("node started")["gossip"], advertised, "{seed}");
    }
}

#[test]
fn what_is_advertised_for_a_port_mapping_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut node) = Lone::start(dir.path(), "", "--advertise [2001:db8::7]:6000") else { return };
    let started = node.logged("node started");
    assert_eq!(
        (&started["gossip"], &started["http"]),
        (&"[2001:db8::7]:6000".into(), &"[2001:db8::7]:6000".into())
    );
}

/// The resolver waits for minutes here, and can't be stopped.
#[test]
fn a_name_server_that_drops_queries_holds_up_neither_the_start_nor_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let resolver = dir.path().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 198.51.100.53\nnameserver 198.51.100.54\nnameserver 198.51.100.55\noptions timeout:30 attempts:5\n").unwrap();
    let setup = format!("{LINK}\nmount --bind {} /etc/resolv.conf", resolver.display());
    let arguments = "--join seed-a.example:5000,seed-b.example:5000,198.51.100.8:5000";
    let Some(mut node) = Lone::start(dir.path(), &setup, arguments) else { return };
    node.logged("node started");
    let waiting = node.logged("waiting for the name server");
    assert_eq!(waiting["seeds"], "seed-a.example:5000,seed-b.example:5000");
    node.terminate();
}
