//! Orders to a holder, and the command in namespaces of its own as in containers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use starling_netem::control::{Client, ClientError, Holder, Reply, Request};
use starling_netem::{Backend, LinkChange};

use super::rig::{Rig, backend, missing, run, skipped};
use super::traffic::{reaches, rtt_ms};

/// Ends a test that this machine can't run, saying so.
macro_rules! needs_namespaces {
    () => {
        if let Some(why) = missing() {
            return skipped(why);
        }
    };
}

/// Waits for what another process does; the answer is in the test that follows.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn faults(client: &mut Client) -> usize {
    match client.ask(&Request::Show).unwrap() {
        Reply::State(state) => state.faults.len(),
        other => panic!("{other:?}"),
    }
}

fn partition(groups: &str, for_ms: Option<u64>, lease: bool) -> Request {
    Request::Partition { groups: groups.to_owned(), for_ms, lease }
}

#[test]
fn a_holder_takes_orders_on_its_socket() {
    needs_namespaces!();
    let rig = Rig::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let holder = Holder::start(rig.shape().unwrap(), &socket, 0o600, None).unwrap();
    let mut client = Client::connect(&socket).unwrap();

    let loss = LinkChange { loss: Some(1.0), ..LinkChange::default() };
    let fault = |links: &str| Request::Fault {
        links: links.to_owned(),
        change: loss,
        one_way: false,
        for_ms: None,
        lease: false,
    };
    let Reply::Fault(lossy) = client.ask(&fault("node1-node4")).unwrap() else { panic!("in force") };
    assert_eq!((lossy.links.as_str(), lossy.change.as_str()), ("node1 <-> node4", "loss 100%"));
    assert!(!reaches(rig.end(1), rig.end(4)) && reaches(rig.end(1), rig.end(2)));

    // What is refused changes nothing.
    let refused = |client: &mut Client, request: &Request| match client.ask(request) {
        Err(ClientError::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(&mut client, &fault("node1-node9")).contains("node9"));
    assert!(refused(&mut client, &Request::Heal { id: Some(99) }).contains("99"));
    assert!(refused(&mut client, &Request::Clear).contains("lab"));
    let nothing = Request::Fault {
        links: "all".to_owned(),
        change: LinkChange::default(),
        one_way: false,
        for_ms: None,
        lease: false,
    };
    assert!(refused(&mut client, &nothing).contains("changes nothing"));
    assert_eq!(faults(&mut client), 1);

    // What is no order is answered too, and the connection goes on.
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"{\"do\":\"explode\"}\n{\"do\":\"show\"}\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"error\":\"not an order"));
    assert!(lines.next().unwrap().unwrap().starts_with("{\"state\""));

    assert_eq!(client.ask(&Request::Heal { id: Some(lossy.id) }).unwrap(), Reply::Healed(1));
    assert!(reaches(rig.end(1), rig.end(4)), "healed");
    drop(holder);
    assert!(!socket.exists());
    assert!(matches!(Client::connect(&socket), Err(ClientError::Connect { .. })));
}

#[test]
fn faults_end_with_their_time_and_with_who_holds_them() {
    needs_namespaces!();
    let rig = Rig::new();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let _holder = Holder::start(rig.shape().unwrap(), &socket, 0o600, None).unwrap();
    let mut client = Client::connect(&socket).unwrap();

    client.ask(&partition("BOM", Some(300), false)).unwrap();
    assert_eq!(faults(&mut client), 1);
    wait_until("the fault's time is over", || faults(&mut client) == 0);
    assert!(reaches(rig.end(1), rig.end(3)));

    let mut leasing = Client::connect(&socket).unwrap();
    leasing.ask(&partition("BOM", None, true)).unwrap();
    leasing.ask(&partition("IAD", None, true)).unwrap();
    assert_eq!(faults(&mut client), 2);
    drop(leasing);
    wait_until("the leases have ended", || faults(&mut client) == 0);
    assert!(reaches(rig.end(1), rig.end(3)));
}

/// The `netem` command in one node's namespace.
struct Container {
    rig: Rig,
    folder: tempfile::TempDir,
}

impl Container {
    fn new() -> Self {
        Self { rig: Rig::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn socket(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("node{number}.sock"))
    }

    fn netem(&self, number: usize, arguments: &[&str]) -> Output {
        let mut command = Command::new(netem());
        command.args(arguments).env("NETEM_SOCKET", self.socket(number));
        self.rig.end(number).netns.run(|| command.output()).unwrap()
    }

    fn must(&self, number: usize, arguments: &[&str]) -> String {
        let output = self.netem(number, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn apply(&self, number: usize) {
        let name = format!("node{number}");
        self.must(number, &["apply", "--name", &name, "--backend", backend().name()]);
    }

    fn shaped(&self, number: usize) -> bool {
        let end = self.rig.end(number);
        match backend() {
            Backend::Tc => run(end, "tc qdisc show dev eth0").contains("netem"),
            Backend::Nfqueue => {
                run(end, "iptables-save").contains("STARLING")
                    || run(end, "nft list tables").contains("starling")
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for number in 1..=4 {
            if self.socket(number).exists() {
                self.netem(number, &["clear"]);
            }
        }
    }
}

fn netem() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_netem"))
}

#[test]
fn the_command_shapes_a_container_and_restores_it() {
    needs_namespaces!();
    let boxes = Container::new();
    let before = run(boxes.rig.end(1), "tc qdisc show dev eth0");
    boxes.apply(1);
    boxes.apply(3);
    assert!((rtt_ms(boxes.rig.end(1), boxes.rig.end(3), 0) - 200.0).abs() < 20.0, "zones found by addresses");
    boxes.apply(1); // Again, with the same result.
    assert!((rtt_ms(boxes.rig.end(1), boxes.rig.end(3), 0) - 200.0).abs() < 20.0);

    let state: serde_json::Value = serde_json::from_str(&boxes.must(1, &["show", "--json"])).unwrap();
    assert_eq!(state["backend"], backend().name());
    assert_eq!(state["nodes"][0]["zone"], "FRA");

    // One end alone makes both directions feel it.
    boxes.must(1, &["fault", "FRA-BOM", "--delay", "+50ms"]);
    let rtt = rtt_ms(boxes.rig.end(1), boxes.rig.end(3), 0);
    assert!((rtt - 300.0).abs() < 30.0, "50 ms each way: {rtt}");
    boxes.must(1, &["partition", "FRA,IAD", "/", "BOM"]);
    assert!(!reaches(boxes.rig.end(1), boxes.rig.end(3)) && !reaches(boxes.rig.end(3), boxes.rig.end(1)));
    assert!(reaches(boxes.rig.end(1), boxes.rig.end(2)));
    assert_eq!(boxes.must(1, &["heal"]), "healed: 2\n");
    assert!(reaches(boxes.rig.end(3), boxes.rig.end(1)));

    let refused = boxes.netem(1, &["fault", "SYD", "--loss", "3%"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("FRA, IAD, BOM"));
    assert!(!boxes.netem(1, &["fault", "FRA-BOM", "--loss", "0.3"]).status.success());

    boxes.must(1, &["clear"]);
    assert!(!boxes.shaped(1));
    assert_eq!(run(boxes.rig.end(1), "tc qdisc show dev eth0"), before);
}

#[test]
fn what_holds_the_links_is_killed_and_the_device_is_restored() {
    needs_namespaces!();
    let boxes = Container::new();
    boxes.apply(1);
    boxes.must(1, &["partition", "node1"]);
    assert!(!reaches(boxes.rig.end(1), boxes.rig.end(2)));
    let state: serde_json::Value = serde_json::from_str(&boxes.must(1, &["show", "--json"])).unwrap();
    let pid = i32::try_from(state["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("restored by the guard", || !boxes.shaped(1));
    assert!(reaches(boxes.rig.end(1), boxes.rig.end(2)));
    boxes.apply(1);
    assert!(boxes.shaped(1), "and shaped again, at once");
}

#[test]
fn a_timeline_plays_and_its_faults_end_with_it() {
    needs_namespaces!();
    let boxes = Container::new();
    boxes.apply(1);
    let timeline = boxes.folder.path().join("timeline");
    std::fs::write(
        &timeline,
        "at 0s partition FRA / BOM\nat 100ms fault FRA-IAD --loss 100%\nat 300ms end\n",
    )
    .unwrap();
    let output = boxes.netem(1, &["play", timeline.to_str().unwrap()]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 3, "{said}");
    let mut client = Client::connect(&boxes.socket(1)).unwrap();
    wait_until("its faults have ended", || faults(&mut client) == 0);
    std::fs::write(&timeline, "at 0s partition FRA BOM\nat soon heal\n").unwrap();
    let output = boxes.netem(1, &["play", timeline.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("timeline:2: \"soon\""));
}

#[test]
fn a_users_own_qdisc_is_left_alone() {
    needs_namespaces!();
    let boxes = Container::new();
    let end = boxes.rig.end(1);
    run(end, "tc qdisc add dev eth0 root tbf rate 100mbit burst 64kb latency 50ms");
    let before = run(end, "tc qdisc show dev eth0");
    let refused = boxes.netem(1, &["apply", "--backend", "tc"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("qdisc of its own (tbf"), "{refused:?}");
    assert_eq!(run(end, "tc qdisc show dev eth0"), before);
    // The other backend needs no qdisc, so the choice is made for it.
    boxes.must(1, &["apply"]);
    let state: serde_json::Value = serde_json::from_str(&boxes.must(1, &["show", "--json"])).unwrap();
    assert_eq!(state["backend"], "nfqueue");
    boxes.must(1, &["clear"]);
    assert_eq!(run(end, "tc qdisc show dev eth0"), before);
}
