//! Faults at run time: what they change, and which links they strike.

mod change;
mod select;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use change::{LinkChange, Shift};
pub use select::{Links, Place, SelectError, Selector};

/// A fault that is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Counted up from 1 in one holder.
    pub id: u32,
    /// Which directed links it strikes.
    pub links: Links,
    /// What it does to them.
    pub change: LinkChange,
}
