//! By which routing policy a node decides: `/internal/policy`.

use serde::{Deserialize, Serialize};

/// The answer: what decides now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyJson {
    /// Which node.
    pub node: String,
    /// The policy's name.
    pub policy: String,
    /// Weight of load in `score`.
    pub load_weight: f64,
    /// Weight of round-trip time in `score`.
    pub rtt_weight: f64,
}

/// `POST`: what is to decide. Weights that are left out stay as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// The policy's name.
    pub policy: String,
    /// Weight of load in `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_weight: Option<f64>,
    /// Weight of round-trip time in `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_weight: Option<f64>,
}
