//! Thousands of nodes in one thread, in virtual time: the same state machine as the real node, over links that delay,
//! lose, duplicate and reorder, under faults.
//!
//! A run is a function of its seed. Events happen in the order `(time, number)`, where the number counts what was
//! scheduled, so nothing depends on the content of a datagram or on addresses in memory.

mod check;
mod contact;
mod cpu;
mod crowd;
mod fault;
mod fired;
#[cfg(test)]
mod hostile;
mod kind;
mod lifeguard;
mod mass_death;
mod mixed;
mod network;
mod nodes;
mod queue;
mod report;
mod routing;
mod scenario;
mod schedule;
mod topology;
mod truth;
mod watch;
mod world;

#[cfg(test)]
mod tests;

pub use check::{Checker, Violation};
pub use crowd::{CrowdRow, crowd};
pub use fault::Fault;
pub use fired::Fired;
pub use kind::{FaultKind, FaultKindError};
pub use lifeguard::{LifeguardRow, lifeguard};
pub use mass_death::{MassDeathRow, mass_death};
pub use mixed::{run_mixed, run_mixed_shown, run_mixed_with_ids};
pub use report::{Report, Spread};
pub use scenario::{Scenario, run, run_shown};
pub use schedule::mixed_faults;
pub use starling_netem::LinkProfile;
pub use topology::Topology;
pub use watch::Watcher;
pub use world::{Entry, World};
