//! One transcode per content across the cluster, without a coordinator.
//!
//! Every content has a *home*: the live member that a rendezvous hash picks for it, the same on every node whose view
//! is the same. Whoever is about to transcode asks the home first, and is told to go on (a soft lease), to wait for the
//! node that does it already, or who holds the result. A lease lasts for seconds and is renewed while its holder works. Nothing depends on the answer: if the home is gone, slow or sees
//! other members, the worst that happens is double work, never a wait for nothing.

mod home;
mod protocol;
mod table;

pub use home::home_of;
pub use protocol::{Claim, End, Verdict};
pub use table::{LEASE_MAX, LeaseKey, Leases, Lessee};
