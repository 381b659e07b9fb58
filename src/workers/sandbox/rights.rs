//! Capabilities: none of them stays.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Drops all capabilities, of every set. A user who is root keeps root's name and files, and no power beyond them.
///
/// To take one out of the bounding set needs a capability itself. Where that is missing, the set does no harm: without new
/// privileges an exec gives nothing that was not there before.
pub(super) fn drop_all() -> rustix::io::Result<()> {
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there was none.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    for capability in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last one, or not allowed to.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(error) => return Err(error),
        }
    }
    set_capabilities(None, NONE)
}

/// Whether this process has none.
pub(super) fn are_dropped() -> bool {
    capabilities(None).is_ok_and(|sets| sets == NONE)
}
