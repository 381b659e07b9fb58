//! What a node is told: raw options from flags, environment and file, then one step to a validated configuration.

mod options;
#[cfg(test)]
mod tests;
mod validated;

pub use options::{LogFormat, NodeOptions};
pub use validated::{ConfigError, NodeConfig};
