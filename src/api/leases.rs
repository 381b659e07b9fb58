//! What a node and a content's home say to each other.

use serde::{Deserialize, Serialize};
use starling_overlay::{BootEpoch, NodeName};

use crate::content::ContentId;
use crate::profile::ProfileName;

/// `POST /internal/leases`: may I make this? The same again by who has the lease renews it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// SHA-256 of the video.
    pub content: ContentId,
    /// What is to be made of it.
    pub profile: ProfileName,
    /// The recipe that has this name at the asker: [`crate::profile::Profile::recipe_id`]. None from an older node, which means the
    /// built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<ContentId>,
    /// Who asks.
    pub from: NodeName,
    /// Which boot of it.
    pub boot: BootEpoch,
    /// Milliseconds for which the lease is asked; [`starling_placement::lease::LEASE_MAX`] is the most that is given.
    pub lease_ms: u64,
    /// Milliseconds to wait for another one's lease to end before the answer is [`super::Verdict::Busy`].
    pub wait_ms: u64,
}

/// `POST /internal/leases/end`: done, or given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// SHA-256 of the video.
    pub content: ContentId,
    /// What was to be made of it.
    pub profile: ProfileName,
    /// By which recipe, as in [`Claim::recipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<ContentId>,
    /// Whose lease it was.
    pub from: NodeName,
    /// Which boot of it.
    pub boot: BootEpoch,
    /// Which nodes hold the result now; none if there is none.
    pub holders: Vec<NodeName>,
}
