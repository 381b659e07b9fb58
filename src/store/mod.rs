//! What a node keeps on its disk, behind one door.
//!
//! - [`folder`]: the data folder: files in the making, locked to one node, swept at the start;
//! - [`receive`]: bodies to disk, hashed on the way, within the budget for uploads;
//! - [`cache`]: finished results, found by what they were made of; small ones also in memory;
//! - [`files`]: a result is a set of named files: how a set of more than one lies in one object.

pub mod cache;
pub mod files;
pub mod folder;
pub mod receive;

pub use folder::{DataDir, DataDirError, Scratch, is_full};
