//! `GET /members` as a type, and as a table for people.

use std::time::Duration;

use bytes::Bytes;
use comfy_table::{Table, presets};
use serde::Deserialize;

use super::http::nonsense;
use super::{Client, ClientError, Endpoint};
use crate::printable;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The membership as one node sees it.
#[derive(Debug, Clone, Deserialize)]
pub struct Members {
    /// Every member the node knows of, itself included.
    pub members: Vec<Member>,
    /// Whether the view has come to rest and all live members hold the same.
    #[serde(default)]
    pub converged: bool,
    /// How long that took, from the start of the last disturbance.
    #[serde(default)]
    pub converged_ms: Option<f64>,
}

/// One member, as the asked node sees it; its words are [printable].
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Unique in the cluster.
    #[serde(deserialize_with = "printable::word")]
    pub name: String,
    /// Where it is.
    #[serde(deserialize_with = "printable::word")]
    pub zone: String,
    /// `alive`, `suspect`, `dead` or `left`.
    #[serde(deserialize_with = "printable::word")]
    pub state: String,
    /// Of the member's own statements about itself.
    pub incarnation: u64,
    /// Measured round trip; 0 for the node itself.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// What it last said about its load.
    #[serde(default)]
    pub load: Option<Load>,
    /// How old that is.
    #[serde(default)]
    pub load_age_ms: Option<f64>,
    /// Whether it only watches: it takes no uploads.
    #[serde(default)]
    pub observer: bool,
    /// Where its HTTP service is, as it advertises it.
    #[serde(default, deserialize_with = "printable::optional_word")]
    pub http: Option<String>,
}

/// A load sample.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Whether its operator has it take no work.
    pub resting: bool,
    /// Of the machine (or its container).
    pub cpu_percent: Option<f64>,
    /// Of the machine (or its container).
    pub memory_percent: Option<f64>,
    /// Jobs that wait.
    pub queued: Option<u64>,
    /// Jobs that run.
    pub running: Option<u64>,
    /// Jobs that can run at once.
    pub workers: Option<u64>,
}

impl Members {
    /// Asks a node; the answer as it came, and read.
    pub async fn fetch(client: &Client, endpoint: &Endpoint) -> Result<(Bytes, Self), ClientError> {
        let raw = client.get(endpoint, "/members", TIMEOUT).await?;
        let members = serde_json::from_slice(&raw).map_err(|error| nonsense(endpoint, &error))?;
        Ok((raw, members))
    }

    /// How many are alive.
    pub fn alive(&self) -> usize {
        self.members.iter().filter(|member| member.state == "alive").count()
    }

    /// The table that `starling members` prints.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "NAME", "ZONE", "STATE", "INC", "RTT", "CPU", "MEM", "RUNNING", "QUEUED", "LOAD AGE",
        ]);
        for member in &self.members {
            table.add_row(row(member));
        }
        trim_lines(&table.to_string())
    }
}

fn row(member: &Member) -> [String; 10] {
    let load = member.load.clone().unwrap_or_default();
    let running = match (load.running, load.workers) {
        (Some(running), Some(workers)) => format!("{running}/{workers}"),
        (running, _) => or_dash(running, |n| n.to_string()),
    };
    [
        member.name.clone(),
        member.zone.clone(),
        if load.resting { format!("{}, rests", member.state) } else { member.state.clone() },
        member.incarnation.to_string(),
        or_dash(member.rtt_ms, |ms| format!("{ms:.1} ms")),
        or_dash(load.cpu_percent, |percent| format!("{percent:.0} %")),
        or_dash(load.memory_percent, |percent| format!("{percent:.0} %")),
        running,
        or_dash(load.queued, |n| n.to_string()),
        or_dash(member.load_age_ms, |ms| format!("{:.1} s", ms / 1000.0)),
    ]
}

fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// Tables pad their outer columns; people copy lines.
pub(crate) fn trim_lines(table: &str) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_is_known_and_a_dash_for_the_rest() {
        let members: Members = serde_json::from_str(
            r#"{"converged":true,"converged_ms":412,"members":[
                {"name":"node1","zone":"FRA","state":"alive","incarnation":0,"rtt_ms":0,"load_age_ms":12,"gossip":"x",
                 "load":{"cpu_percent":12.4,"memory_percent":40,"queued":1,"queue_capacity":64,"running":2,"workers":2}},
                {"name":"node2","zone":"IAD","state":"suspect","incarnation":3,"rtt_ms":90.24,"load":null,"load_age_ms":null}]}"#,
        )
        .unwrap();
        assert_eq!(members.alive(), 1);
        insta::assert_snapshot!(members.table(), @r"
        NAME   ZONE  STATE    INC  RTT      CPU   MEM   RUNNING  QUEUED  LOAD AGE
        node1  FRA   alive    0    0.0 ms   12 %  40 %  2/2      1       0.0 s
        node2  IAD   suspect  3    90.2 ms  -     -     -        -       -
        ");
    }
}
