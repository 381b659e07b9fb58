//! Where and when a job runs: what one node takes on, in which order, and what it promises.
//!
//! All of it is plain structures whose functions take `now`: no clock, no file, no socket, no process and no thread is known
//! here. A node has threads and HTTP around it, a simulator has a loop; both run the same functions.
//!
//! - [`policy`]: where a job should run, by what gossip says and this node knows;
//! - [`desk`]: one node's queue, admission, bookings, learned speeds and estimates;
//! - [`content`]: what a piece of video is called, and whose it is;
//! - [`profile`]: what a thing that can be made of it is called.

pub mod content;
pub mod desk;
pub mod policy;
pub mod profile;
#[cfg(test)]
mod testing;
