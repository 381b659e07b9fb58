//! What a lab says of itself when it is ready.

use std::io::Write;
use std::path::Path;

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use super::node::NodeState;
use crate::client::trim_lines;

/// The lab: the line of `--json`, the answer of `ctl status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What `starling lab ctl --lab` takes.
    pub id: String,
    /// By number.
    pub nodes: Vec<NodeReport>,
    /// What shapes the links: `tc`, `nfqueue` or `none`.
    pub backend: String,
    /// `namespaces`, `user-namespaces` or `loopback`.
    pub isolation: String,
    /// How many cores each node may use, where that is limited.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// What its user opens in a browser: the dashboard, with buttons that break things. Whoever has it may use them.
    #[serde(default)]
    pub dashboard: Option<String>,
    /// From the start of the first node's process until all were ready and saw each other.
    pub converged_ms: u64,
    /// The folder with a log file for each node.
    pub logs: String,
    /// The file with the key that the lab made for its nodes, if it did.
    #[serde(default)]
    pub key_file: Option<String>,
    /// The number of the user that the nodes run as, where that is not the lab's own.
    #[serde(default)]
    pub user: Option<u32>,
}

/// One node of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeReport {
    /// `node1` and so on.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// On the host: `127.0.0.1:5001`.
    pub http: String,
    /// Inside the lab: `10.77.1.1:5000`.
    pub gossip: String,
    /// Of its process.
    pub state: NodeState,
}

impl Report {
    /// A row a node.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["NODE", "ZONE", "STATE", "HTTP", "GOSSIP"]);
        for node in &self.nodes {
            let http = format!("http://{}", node.http);
            table.add_row([&node.name, &node.zone, node.state.name(), &http, &node.gossip]);
        }
        trim_lines(&table.to_string())
    }

    /// As JSON, in one line.
    pub fn line(&self) -> String {
        // Strings and numbers only: there is nothing in it that cannot be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The table, how it came about, and what to try next. `folder`: where the lab has its files, if not where others
    /// look for them. `once`: the lab ends by itself, and there is nothing to try.
    pub fn text(&self, folder: Option<&Path>, once: bool) -> String {
        let what = format!(
            "{table}\n\n\
             converged in {ms} ms; links: {links}; logs: {logs}",
            table = self.table(),
            ms = self.converged_ms,
            links = self.links(),
            logs = self.logs,
        );
        if once {
            return what;
        }
        let ctl = folder.map_or_else(String::new, |base| format!(" --dir {}", base.display()));
        let socket = folder.map_or_else(String::new, |base| {
            format!(" --socket {}", base.join(&self.id).join(starling_netem::control::LAB_SOCKET).display())
        });
        let first = self.nodes.first().map_or("127.0.0.1:5001", |node| &*node.http);
        let second = self.nodes.get(1).map_or(first, |node| &*node.http);
        let both = if first == second { first.to_owned() } else { format!("{first},{second}") };
        format!(
            "{what}\n\n\
             {dashboard}try, in another terminal:\n  \
             curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' -o small.mp4 -D- http://{first}/upload\n  \
             starling upload clip.mp4 --node {second}\n  \
             starling members --watch --node {first}\n  \
             starling lab ctl{ctl} kill {last}     (restart, stop, continue, add, status)\n{faults}{policy}\
             Ctrl-C ends the lab and removes all of it",
            faults = if self.backend == "none" {
                String::new()
            } else {
                format!(
                    "  netem{socket} fault FRA-BOM --loss 30% --delay +100ms     (partition, heal, show)\n"
                )
            },
            policy = self.key_file.as_ref().map_or_else(String::new, |key| {
                format!("  starling policy set eta --node {both} --key-file {key}\n")
            }),
            dashboard = self.dashboard.as_ref().map_or_else(String::new, |url| {
                format!("see it, and break it, in a browser: {url}\n  (and what one node sees: http://{first}/)\n\n")
            }),
            last = self.nodes.last().map_or("node1", |node| &node.name),
        )
    }

    fn links(&self) -> String {
        match self.backend.as_str() {
            "none" => format!("not shaped ({})", self.isolation),
            backend => format!("shaped by {backend} ({})", self.isolation),
        }
    }
}

/// To stdout, at once.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_try_names_each_node_once() {
        let node = |number: u16| NodeReport {
            name: format!("node{number}"),
            zone: "FRA".into(),
            http: format!("127.0.0.1:{}", 5000 + number),
            gossip: format!("10.77.1.{number}:5000"),
            state: NodeState::Running,
        };
        let policy = |nodes: u16| {
            let report = Report {
                id: "1".into(),
                nodes: (1..=nodes).map(node).collect(),
                backend: "none".into(),
                isolation: "loopback".into(),
                cpus: None,
                dashboard: None,
                converged_ms: 1,
                logs: "logs".into(),
                key_file: Some("key".into()),
                user: None,
            };
            let text = report.text(None, false);
            text.lines().find_map(|line| Some(line.split_once("policy set eta ")?.1.to_owned())).unwrap()
        };
        assert_eq!(policy(1), "--node 127.0.0.1:5001 --key-file key");
        assert_eq!(policy(2), "--node 127.0.0.1:5001,127.0.0.1:5002 --key-file key");
    }
}
