//! What is asked and answered.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::fault::LinkChange;
use crate::units::{format_delay, format_percent, format_rate};
use crate::{Backend, LinkProfile, Scope};

/// An order to the process that holds links shaped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Change links.
    Fault {
        /// `FRA-BOM`, `node3`, `all`.
        links: String,
        /// What becomes of them.
        change: LinkChange,
        /// Only from the first to the second.
        one_way: bool,
        /// It ends by itself after so long.
        for_ms: Option<u64>,
        /// It ends when the connection does.
        lease: bool,
    },
    /// Cut links.
    Partition {
        /// `FRA,IAD / BOM`, `node3`.
        groups: String,
        /// It ends by itself after so long.
        for_ms: Option<u64>,
        /// It ends when the connection does.
        lease: bool,
    },
    /// End one fault, or all.
    Heal {
        /// `None` for all.
        id: Option<u32>,
    },
    /// Say how things are.
    Show,
    /// Restore everything and exit, if the holder is there for nothing else.
    Clear,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// To a fault or a partition: in force.
    Fault(FaultState),
    /// To heal: how many faults ended.
    Healed(usize),
    /// To show.
    State(Box<State>),
    /// To clear: what is shaped is restored as soon as the connection ends.
    Clearing,
    /// Nothing was changed, because of this.
    Error(String),
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What shapes the links.
    pub backend: Backend,
    /// Why it is this one and not kernel netem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not_tc: Option<String>,
    /// Whose ends of the links are shaped here.
    pub scope: Scope,
    /// The process that holds them shaped.
    pub pid: u32,
    /// Nodes whose ends are shaped here.
    pub nodes: Vec<NodeState>,
    /// Links between zones, as they are under the faults that strike whole zones.
    pub links: Vec<LinkState>,
    /// Faults in force, oldest first.
    pub faults: Vec<FaultState>,
}

/// A shaped node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its device.
    pub device: String,
    /// Its addresses.
    pub addresses: Vec<std::net::IpAddr>,
}

/// One direction of a link between zones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkState {
    /// Zone.
    pub from: String,
    /// Zone.
    pub to: String,
    /// One way.
    pub delay_ms: f64,
    /// Spread of the delay.
    pub jitter_ms: f64,
    /// Shape of the jitter.
    pub distribution: crate::Distribution,
    /// 0..=1.
    pub loss: f64,
    /// Mean run of losses, in packets.
    pub loss_burst: f64,
    /// 0..=1.
    pub duplicate: f64,
    /// 0..=1.
    pub reorder: f64,
    /// `None` for no limit.
    pub rate_bits_per_s: Option<u64>,
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultState {
    /// For `netem heal ID`.
    pub id: u32,
    /// `FRA <-> BOM`, `node3 / the rest`.
    pub links: String,
    /// `delay +100ms loss 30%`, `cut`.
    pub change: String,
    /// Until it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
}

impl LinkState {
    pub(crate) fn new(from: &str, to: &str, link: &LinkProfile) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            delay_ms: link.delay.as_secs_f64() * 1e3,
            jitter_ms: link.jitter.as_secs_f64() * 1e3,
            distribution: link.distribution,
            loss: link.loss,
            loss_burst: link.loss_burst,
            duplicate: link.duplicate,
            reorder: link.reorder,
            rate_bits_per_s: link.rate,
        }
    }
}

impl std::fmt::Display for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let delay = |ms: f64| format_delay(std::time::Duration::from_secs_f64(ms / 1e3));
        let mut text = format!("{} -> {}  {}", self.from, self.to, delay(self.delay_ms));
        if self.jitter_ms > 0.0 {
            write!(text, " ± {} {}", delay(self.jitter_ms), self.distribution.name())?;
        }
        for (name, share) in [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)] {
            if share > 0.0 {
                write!(text, "  {name} {}", format_percent(share))?;
            }
        }
        if self.loss_burst > 1.0 && self.loss > 0.0 {
            write!(text, " in runs of {}", self.loss_burst)?;
        }
        if let Some(rate) = self.rate_bits_per_s {
            write!(text, "  {}", format_rate(rate))?;
        }
        f.write_str(&text)
    }
}
