//! Where and when a job runs: what one node takes on, in which order, and what it promises.
//!
//! What lives for long (desk, policies, leases) is plain structures whose functions take `now`. The story of one request is `async`
//! code over a few traits and tokio's clock. No file, no socket, no process and no thread is known here. A node has threads and HTTP
//! around it, a simulator has a loop and a paused clock; both run the same functions.
//!
//! - [`journey`]: one request from its upload to its result: claim, dispatch, attempts, work here, hand-over;
//! - [`desk`]: one node's queue, admission, bookings, learned speeds and estimates;
//! - [`policy`]: where a job should run, by what gossip says and this node knows;
//! - [`lease`]: the home of a content, and what it gives;
//! - [`offers`]: what a node holds for peers whose offers it accepted;
//! - [`standing`]: what a node holds against its peers;
//! - [`error`]: how work ends where it has no result;
//! - [`content`]: what a piece of video and its result are called, and whose it is;
//! - [`profile`]: what a thing that can be made of it is called;
//! - `sim`, with the feature of that name: a whole cluster's work in virtual time.

pub mod content;
pub mod desk;
pub mod error;
pub mod journey;
pub mod lease;
pub mod offers;
mod once;
pub mod policy;
pub mod profile;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod standing;
#[cfg(test)]
mod testing;
