//! What peers did wrong, by kind, and how many are avoided for it.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::gauge;
use crate::offload::{Fault, StandingStats};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabel {
    fault: &'static str,
}

pub(super) fn register(registry: &mut Registry, standings: &StandingStats) {
    let faults = Family::<FaultLabel, Counter<u64, AtomicU64>>::default();
    // Each is there from the start: what is not there has no rate.
    for fault in Fault::ALL {
        drop(faults.get_or_create(&FaultLabel { fault: fault.as_str() }));
    }
    for (fault, count) in &standings.faults {
        faults.get_or_create(&FaultLabel { fault: fault.as_str() }).inc_by(*count);
    }
    registry.register("peer_faults", "What peers did wrong as this node saw it, by kind", faults);
    registry.register(
        "avoided_peers",
        "Peers that get no work from this node now, for what they did wrong",
        gauge(standings.avoided),
    );
}
