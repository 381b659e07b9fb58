//! The home of a content: highest random weight (rendezvous) hashing, Thaler and Ravishankar, 1998.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use starling_overlay::{Identity, MemberState, View};

use crate::content::ContentId;
use crate::profile::ProfileName;

/// The live member that works, with the greatest hash of its name, this content and this profile. A member that comes or goes
/// moves only the contents that it gets or had.
pub fn home_of<'a>(view: &'a View, content: &ContentId, profile: &ProfileName) -> &'a Arc<Identity> {
    // What is the same for all of them. A byte that no name has keeps profile and name apart.
    let same =
        Sha256::new().chain_update(content.as_bytes()).chain_update(profile.as_str()).chain_update([0]);
    let weight = |identity: &Identity| -> [u8; 32] {
        let mut hash = same.clone();
        hash.update(identity.name.as_str());
        hash.finalize().into()
    };
    let live =
        view.peers.iter().filter(|peer| peer.state == MemberState::Alive && !peer.identity.is_observer());
    let mut best = (&view.local.identity, weight(&view.local.identity));
    for peer in live {
        let weight = weight(&peer.identity);
        if weight > best.1 {
            best = (&peer.identity, weight);
        }
    }
    best.0
}
