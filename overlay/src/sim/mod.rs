//! Thousands of nodes in one thread, in virtual time: the same state machine as the real node, over links that delay,
//! lose, duplicate and reorder, under faults.
//!
//! A run is a function of its seed. Events happen in the order `(time, number)`, where the number counts what was
//! scheduled, so nothing depends on the content of a datagram or on addresses in memory.

mod link;
mod world;

#[cfg(test)]
mod tests;

pub use link::{Link, Topology};
pub use world::{Entry, World};
