//! Faults from outside: a Unix socket on which the process that holds links shaped takes orders, one JSON line each.

mod client;
mod holder;
mod message;
mod server;

pub use client::{Client, ClientError};
pub use holder::Holder;
pub use message::{FaultState, LinkState, NodeState, Reply, Request, State};

/// The control socket of a holder that shapes one machine or container.
pub const SOCKET: &str = "/run/starling-netem/control.sock";
/// The name of the control socket in a lab's folder.
pub const LAB_SOCKET: &str = "netem.sock";
/// The mark of the folder that labs make their folders in: a file of this name, whatever it says.
pub const LABS_MARK: &str = "starling-labs-folder";

/// Where this user's labs are if nothing else is said. On disk rather than in /run or /tmp, which are often memory: nodes
/// keep videos there.
pub fn labs_folder() -> std::path::PathBuf {
    format!("/var/tmp/starling-lab-{}", rustix::process::getuid().as_raw()).into()
}
