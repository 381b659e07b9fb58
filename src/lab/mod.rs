//! A whole cluster on one machine: each node in a network namespace of its own, on a bridge with shaped links, its
//! HTTP port published on 127.0.0.1.
//!
//! Two processes make a lab. The *launcher* ([`launch`]) is what the user started: it finds out what the kernel
//! allows, sweeps what killed labs left, starts the *supervisor* and passes signals on. The supervisor
//! ([`supervise`]) lives in mount and PID namespaces of its own (without root also in a user namespace), makes the
//! network, starts the nodes and answers `starling lab ctl`.
//!
//! Nothing is ever made in the host's network, and all network namespaces are held by the supervisor's mount
//! namespace alone. So the kernel itself removes namespaces, links and processes when the supervisor's world ends,
//! however it ends. Only a folder of files can outlive a lab that was killed; the next one removes it.
//!
//! ```text
//! launcher --stdin pipe (lifeline)--> supervisor --fork, nsenter--> node1, node2, …
//!    ^ signals                            ^ ctl.sock
//! ```
//!
//! Where namespaces are not to be had, the nodes run on loopback addresses, unshaped, and the lab says so.

mod cgroup;
mod command;
mod ctl;
mod error;
mod files;
mod folder;
mod isolation;
mod launch;
mod links;
mod network;
mod node;
mod page;
mod plan;
mod ready;
mod report;
mod supervisor;
mod user;
mod zones;

pub use command::CommandError;
pub use ctl::{Answer, Request, request};
pub use error::LabError;
pub use folder::find;
pub use isolation::Isolation;
pub use launch::{DIE_WITH_PARENT, launch};
pub use links::LinkBackend;
pub use plan::{NODES_MAX, NodePlan};
pub use report::{NodeReport, Report};
pub use supervisor::supervise;

use std::path::PathBuf;
use std::time::Duration;

/// What a lab is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes to start with.
    pub nodes: u8,
    /// Zones and the links between them; None is the paper's.
    pub zone_file: Option<PathBuf>,
    /// HTTP of node N is published on 127.0.0.1, this port + N - 1; 0 takes free ports.
    pub base_port: u16,
    /// The lab's dashboard is on 127.0.0.1, this port; on a free one where it is 0 or taken.
    pub dashboard_port: u16,
    /// How nodes are kept apart.
    pub isolation: Isolation,
    /// What shapes the links.
    pub backend: LinkBackend,
    /// Where the lab's folder is made.
    pub base_folder: PathBuf,
    /// Where the nodes' logs go, and stay; None puts them in the lab's folder, which goes with the lab.
    pub logs: Option<PathBuf>,
    /// CPU limit of each node, in cores.
    pub cpus: Option<f64>,
    /// One line of JSON on stdout instead of the table.
    pub json: bool,
    /// Shell command to run when the lab is ready.
    pub run: Option<String>,
    /// Whether the lab ends with that command.
    pub once: bool,
    /// How long the cluster may take until it is ready.
    pub ready_within: Duration,
    /// The user that the nodes of root's lab run as; None picks one without rights.
    pub user: Option<String>,
    /// Whether the nodes share a key that is made for this lab, unless their options name one.
    pub key: bool,
    /// Further options of every node.
    pub node_args: Vec<String>,
}
