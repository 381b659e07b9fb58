//! SWIM membership, failure detection and load gossip over raw UDP.

mod load;
mod member;
mod view;

pub use load::LoadSample;
pub use member::{BootEpoch, Identity, Incarnation, MemberState, NodeName, NodeNameError, Zone, ZoneError};
pub use view::{Load, Member, Rtt, View};
