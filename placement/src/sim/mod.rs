//! A whole cluster's work in virtual time: what a node runs, and not a model of it, places jobs here.
//!
//! Real are the overlay's state machines (in its own simulated world), and of each node the desk, the leases, the router with its
//! policy, the standings and the journeys. Modelled are what lies around them: how long a job keeps a worker, how long a look at a
//! video takes, what goes over the links and when, and the clients.
//!
//! ```text
//!  plan.rs     which requests come, by workload.rs's table        run.rs      one run: requests, mishaps, checkers
//!              replay.rs or as they were recorded
//!  client.rs   a client, and a node's HTTP server in short         cluster.rs  all nodes, and what goes wrong
//!  node.rs     a node; ports.rs, peers.rs its ports;               gossip.rs   the overlay's world under it
//!              bench.rs its workers, offers.rs what it holds       network.rs  links for bodies and questions
//!  bound.rs    what no schedule of the same requests can beat
//!  process.rs  a boot that runs, is stopped, or is gone            record.rs   trace, figures (tally.rs), checkers (check.rs)
//! ```
//!
//! A run is on one thread, on tokio's paused clock: time passes when nothing is left to do. Whatever draws draws from the seed, maps
//! are ordered, selects are biased: so the same setup is the same run, and [`Outcome::trace_hash`] shows it.

mod bench;
mod bound;
mod check;
mod client;
mod cluster;
mod decider;
mod gossip;
pub mod interval;
mod network;
mod node;
mod offers;
mod omniscient;
mod peers;
mod plan;
mod ports;
mod process;
mod record;
mod replay;
mod report;
mod run;
mod setup;
mod tally;
#[cfg(test)]
mod tests;
mod trace;
mod workload;

pub use check::{Rule, Violation};
pub use decider::{Decider, Truth, UnknownDecider};
pub use replay::Recorded;
pub use report::{Figures, OfSeed, Outcome, simulate};
pub use setup::Setup;
pub use workload::{UnknownWorkload, WORKLOADS, Workload};
