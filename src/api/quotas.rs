//! What nodes tell each other of tokens' quotas.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;

/// Tokens that one [`QuotasUsed`] may name: with the longest names it has 16 KiB still.
pub const TOKENS_TOLD_MAX: usize = 64;

/// What tokens have used at one node, by their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuotasUsed {
    /// Where.
    pub from: NodeName,
    /// Since which start of it.
    pub boot: u64,
    /// How much, of those of which anything has changed.
    pub used: BTreeMap<String, TokenUse>,
}

/// What one token has used there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Uploads since the start.
    pub uploads: f64,
    /// Bytes since the start. A little less than before where more was announced than came.
    pub bytes: f64,
    /// Uploads under way, and jobs that have not come to their end.
    pub at_once: u32,
    /// What lacks of all uploads that there may be at once, by what that node has heard of all.
    pub uploads_lacking: f64,
    /// The same of bytes.
    pub bytes_lacking: f64,
}

impl TokenUse {
    /// Whether there is nothing new beside another one: what lacks becomes less by itself.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.uploads, self.bytes, self.at_once) == (other.uploads, other.bytes, other.at_once)
    }
}
