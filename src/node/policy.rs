//! By which routing policy this node decides.

use super::Node;
use crate::events::NodeEvent;
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
            self.events.tell(&NodeEvent::PolicyChanged { policy, before });
        }
    }
}
