//! Backend `tc`: kernel netem on what a device sends. A classful root, a class per destination network, netem in each.

mod commands;
mod device;
#[cfg(test)]
mod tests;

pub use commands::ClassTree;
pub(crate) use device::{Device, probe, remove_leftover};
