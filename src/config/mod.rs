//! What a node is told: raw options from flags, environment and file, then one step to a validated configuration.

mod advertise;
mod error;
mod keys;
mod list;
mod options;
mod otlp;
#[cfg(test)]
mod tests;
mod validated;
mod values;

pub use advertise::{Advertise, AdvertiseError};
pub use error::{ConfigError, ConfigErrors};
pub use keys::{KeyFile, KeyFileError, NewKeyFileError};
pub use list::List;
pub use options::{LogFormat, NodeOptions, SandboxMode};
pub use validated::{DEFAULT_CLUSTER, NodeConfig};
pub use values::DEADLINE_MAX;

/// A TOML file with every key, and what each does: what `starling config example` prints.
pub const EXAMPLE: &str = include_str!("example.toml");
