//! One transcode per content across the cluster, without a coordinator.
//!
//! Every content has a *home*: the live member that a rendezvous hash picks for it, the same on every node whose view
//! is the same. A node that is about to transcode asks the home first, and is told to go on (a soft lease), to wait for the
//! node that does it already, or which nodes hold the result. A lease lasts for seconds and is renewed while its holder works.
//! Nothing depends on the answer: if the home is gone, slow or sees other members, the worst that happens is double work,
//! never a wait for nothing.

mod home;
mod table;

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

pub use home::home_of;
pub use table::{LEASE_MAX, Leases, Lessee};

/// A home's answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Go on: no other node is at it.
    Yours,
    /// A node is at it and was not done within the wait.
    Busy {
        /// Which one: whoever waits for it can ask that node how far it is.
        by: NodeName,
    },
    /// The result is there.
    Held {
        /// Which nodes have it.
        holders: Vec<NodeName>,
    },
}
