//! One log line an event.

use crate::{Event, Subject};

const TARGET: &str = "starling::overlay";

pub(super) fn event(event: &Event) {
    match event {
        Event::Joined(member) => info("joined", member),
        Event::Suspected { member, by } => {
            let by = by.as_ref().map_or("unknown", |name| name.as_str());
            tracing::warn!(
                target: TARGET,
                member = %member.identity.name,
                zone = %member.identity.zone,
                gossip = %member.identity.gossip,
                incarnation = member.incarnation.0,
                rtt_ms = rtt_ms(member),
                by,
                "suspected"
            );
        }
        Event::Refuted(member) => info("refuted", member),
        Event::Failed(member) => warn("failed", member),
        Event::Left(member) => info("left", member),
        Event::Rejoined(member) => info("rejoined", member),
        Event::NameConflict { name, other, superseded } => {
            let advice = if *superseded {
                "the cluster listens to the other one; stop one of them or give it a name of its own"
            } else {
                "the cluster listens to this one; stop one of them or give it a name of its own"
            };
            tracing::error!(target: TARGET, %name, %other, "another live node has this node's name: {advice}");
        }
        Event::Converged(convergence) => tracing::info!(
            target: TARGET,
            members = convergence.members,
            elapsed_ms = convergence.elapsed.as_millis() as u64,
            periods = convergence.periods,
            "converged"
        ),
    }
}

fn info(what: &'static str, member: &Subject) {
    tracing::info!(
        target: TARGET,
        member = %member.identity.name,
        zone = %member.identity.zone,
        gossip = %member.identity.gossip,
        incarnation = member.incarnation.0,
        rtt_ms = rtt_ms(member),
        "{what}"
    );
}

fn warn(what: &'static str, member: &Subject) {
    tracing::warn!(
        target: TARGET,
        member = %member.identity.name,
        zone = %member.identity.zone,
        gossip = %member.identity.gossip,
        incarnation = member.incarnation.0,
        rtt_ms = rtt_ms(member),
        "{what}"
    );
}

/// In milliseconds, to the microsecond; the field is left out where nothing was measured.
fn rtt_ms(member: &Subject) -> Option<f64> {
    member.rtt.map(|rtt| (rtt.mean.as_secs_f64() * 1e6).round() / 1e3)
}
