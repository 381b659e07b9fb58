//! Nodes in network namespaces on a bridge, one of each zone and a second one in the first.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use starling_netem::{Backend, End, Netns, Node, Scope, ShapeError, Shaping, Zones};

static RIGS: AtomicU32 = AtomicU32::new(0);

/// Namespaces that are gone when this is dropped.
pub struct Rig {
    prefix: String,
    pub ends: Vec<End>,
}

/// Why these tests can't run here, if they can't.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it takes root to make network namespaces");
    }
    let works = |program: &str, argument: &str| {
        Command::new(program)
            .arg(argument)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !works("ip", "-V") {
        return Some("the package iproute2 is missing");
    }
    if !works("ping", "-V") {
        return Some("the package iputils-ping is missing");
    }
    if !works("nft", "-v") && !works("iptables", "-V") {
        return Some("the packages nftables and iptables are missing");
    }
    None
}

/// Says that a test cannot run here, and why; in CI that is a failure.
pub fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI this must run: {why}");
    eprintln!("SKIPPED: {why}");
}

/// The backend to test: forced by the test that boots another kernel.
pub fn backend() -> Backend {
    match std::env::var("NETEM_TEST_BACKEND").as_deref() {
        Ok("tc") => Backend::Tc,
        _ => Backend::Nfqueue,
    }
}

impl Rig {
    /// `node1` FRA, `node2` IAD, `node3` BOM, `node4` FRA.
    pub fn new() -> Self {
        let number = RIGS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("netem-{}-{number}", std::process::id());
        let mut rig = Self { prefix, ends: Vec::new() };
        let switch = rig.namespace("switch");
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
        ip(&format!("-n {switch} link set br0 up"));
        for (index, zone) in ["FRA", "IAD", "BOM", "FRA"].iter().enumerate() {
            rig.add(index + 1, zone);
        }
        rig
    }

    fn add(&mut self, number: usize, zone: &str) {
        let name = format!("node{number}");
        let (switch, namespace) = (self.namespace("switch"), self.namespace(&name));
        let net = match zone {
            "FRA" => 1,
            "IAD" => 2,
            _ => 3,
        };
        let (v4, v6) = (format!("10.77.{net}.{number}"), format!("fd77:0:0:{net}::{number}"));
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {switch} link add port{number} type veth peer name eth0 netns {namespace}"));
        ip(&format!("-n {switch} link set port{number} master br0 up"));
        ip(&format!("-n {namespace} link set lo up"));
        ip(&format!("-n {namespace} addr add {v4}/16 dev eth0"));
        ip(&format!("-n {namespace} addr add {v6}/48 dev eth0 nodad"));
        ip(&format!("-n {namespace} link set eth0 up"));
        let addresses: Vec<IpAddr> = vec![v4.parse().unwrap(), v6.parse().unwrap()];
        let node = Node { name, zone: zone.to_owned(), addresses };
        self.ends.push(End { node, netns: Netns::named(&namespace), device: "eth0".to_owned() });
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// `node1` is number 1.
    pub fn end(&self, number: usize) -> &End {
        &self.ends[number - 1]
    }

    /// All nodes shaped by the paper's matrix.
    pub fn shape(&self) -> Result<Shaping, ShapeError> {
        self.shape_by(Zones::builtin())
    }

    /// All nodes shaped by other zones.
    pub fn shape_by(&self, zones: Zones) -> Result<Shaping, ShapeError> {
        let mut shaping = Shaping::new(zones, Scope::All, Some(backend()), self.end(1))?;
        for end in &self.ends {
            shaping.add(end.clone())?;
        }
        Ok(shaping)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let names = self.ends.iter().map(|end| end.node.name.as_str()).chain(["switch"]);
        for namespace in names.map(|name| self.namespace(name)) {
            if Path::new("/run/netns").join(&namespace).exists() {
                ip(&format!("netns del {namespace}"));
            }
        }
    }
}

/// Runs a tool in a node's namespace and returns what it prints.
pub fn run(end: &End, command: &str) -> String {
    end.netns.run(|| Ok(output(command))).unwrap()
}

fn ip(arguments: &str) {
    output(&format!("ip {arguments}"));
}

fn output(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
