//! Webhooks by the scheme of Standard Webhooks (standardwebhooks.com): a signed message to a client's own address when its job has ended.
//!
//! What is sent and how often is in src/node/webhooks.rs; here is how: the signature (`secret.rs`), whom a node sends to at all (`target.rs`),
//! and one try (`send.rs`).

mod secret;
mod send;
mod target;

pub use secret::{SecretError, Secrets};
pub use send::{Attempt, Sender};
pub use target::{Target, TargetError, is_public};
