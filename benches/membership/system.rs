//! What is compared: how a node is started, and what its log lines mean.

use std::path::Path;
use std::process::Command;

use crate::network::address;

/// A membership system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Debian's `serf` package: memberlist with Lifeguard, TCP probes and TCP push/pull.
    Serf,
    /// The whole `starling node`, HTTP server and worker pool included, without a key as serf is without one.
    Starling,
}

/// What a line says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The process itself was started: it knows nobody yet.
    Started,
    Live(String),
    Failed(String),
    Left(String),
    Suspected(String),
}

impl System {
    /// Those that this machine has.
    pub fn installed() -> Vec<Self> {
        let serf = Command::new("serf").arg("version").output();
        if serf.is_err() {
            eprintln!(
                "serf is not installed (Debian's package serf): without it there is nothing to compare with"
            );
        }
        serf.is_ok().then_some(Self::Serf).into_iter().chain([Self::Starling]).collect()
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Serf => "serf",
            Self::Starling => "starling",
        }
    }

    /// A node that joins through the node `seed` alone.
    pub fn command(self, node: usize, seed: usize, data: &Path) -> Command {
        match self {
            Self::Serf => {
                let mut command = Command::new("serf");
                command.args(["agent", "-profile=lan", "-log-level=info", "-retry-interval=1s"]);
                command.arg(format!("-node={}", name(node)));
                command.arg(format!("-bind={}:7946", address(node)));
                command.arg(format!("-rpc-addr={}:7373", address(node)));
                command.arg(format!("-retry-join={}:7946", address(seed)));
                command
            }
            Self::Starling => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
                command.args(["node", "--log", "json", "--timing", "lan", "--name", &name(node)]);
                command.args(["--gossip", &format!("{}:5000", address(node))]);
                command.args(["--http", &format!("{}:5000", address(node))]);
                command.args(["--join", &format!("{}:5000", address(seed))]);
                command.arg("--data-dir").arg(data);
                command
            }
        }
    }

    /// What a log line says, if it says anything of a member.
    pub fn change(self, line: &str) -> Option<Change> {
        match self {
            Self::Serf => serf_change(line),
            Self::Starling => starling_change(line),
        }
    }
}

/// A node's name in the cluster.
pub fn name(node: usize) -> String {
    format!("n{node}")
}

fn serf_change(line: &str) -> Option<Change> {
    let word_after = |mark: &str| {
        let rest = line.split_once(mark)?.1;
        Some(rest.split_whitespace().next()?.to_owned())
    };
    word_after("serf: EventMemberJoin: ")
        .map(Change::Live)
        .or_else(|| word_after("serf: EventMemberFailed: ").map(Change::Failed))
        .or_else(|| word_after("serf: EventMemberLeave: ").map(Change::Left))
        .or_else(|| word_after("memberlist: Suspect ").map(Change::Suspected))
}

fn starling_change(line: &str) -> Option<Change> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let member = line.get("member")?.as_str()?.to_owned();
    match line.get("message")?.as_str()? {
        "joined" | "rejoined" => Some(Change::Live(member)),
        "failed" => Some(Change::Failed(member)),
        "left" => Some(Change::Left(member)),
        "suspected" => Some(Change::Suspected(member)),
        _ => None,
    }
}
