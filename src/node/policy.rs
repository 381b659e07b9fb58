//! By which routing policy this node decides.

use super::Node;
use starling_placement::policy::Policy;

impl Node {
    /// By what it is decided where jobs go.
    pub fn policy(&self) -> Policy {
        self.router.policy()
    }

    /// Decides by another policy from now on, until the node stops.
    pub fn set_policy(&self, policy: Policy) {
        let before = self.router.set_policy(policy);
        if before != policy {
            let (load_weight, rtt_weight) = (policy.weights.load(), policy.weights.rtt());
            let (before, policy) = (before.kind.as_str(), policy.kind.as_str());
            tracing::info!(policy, before, load_weight, rtt_weight, "routing policy changed");
        }
    }
}
