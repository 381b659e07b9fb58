//! What the overlay counts: datagrams that it ignores, what happens to the membership, and this node's own freezes.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use starling_overlay::{DatagramKind, Rejection, Stats};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrafficLabels {
    direction: &'static str,
    kind: &'static str,
}

/// Each counter is there from the start, also those at zero: what is not there has no rate.
pub(super) fn register(registry: &mut Registry, stats: &Stats) {
    let rejected = Family::<ReasonLabel, Counter<u64, AtomicU64>>::default();
    for why in Rejection::ALL {
        rejected.get_or_create(&ReasonLabel { reason: why.as_str() }).inc_by(stats.rejected.of(why));
    }
    registry.register("gossip_rejected", "Datagrams that were ignored, by reason", rejected);
    let help =
        "Datagrams that were not sent, because nothing of their address had shown that it is a member's";
    registry.register("gossip_held_back", help, ConstCounter::new(stats.datagrams_held_back));
    let events = Family::<EventLabel, Counter<u64, AtomicU64>>::default();
    for (event, count) in stats.events.named() {
        events.get_or_create(&EventLabel { event }).inc_by(count);
    }
    registry.register("membership_events", "What this node saw happen to the membership, by event", events);
    register_suspicions(registry, stats);
    register_traffic(registry, stats);
    let help = "Times this node found itself held up: stopped, starved of CPU, or its machine asleep";
    registry.register("freezes", help, ConstCounter::new(stats.freezes));
    let help = "Turns to ping a member that this node left out because it was behind with its work";
    registry.register("turns_shed", help, ConstCounter::new(stats.turns_shed));
    let help = "Pings for other members that this node left out for the same reason";
    registry.register("relays_shed", help, ConstCounter::new(stats.relays_shed));
    let help =
        "Members believed alive of which nothing was heard, while this node has not converged for long";
    registry.register("unheard_members", help, ConstGauge::new(stats.unheard_members.cast_signed()));
}

/// Whether failure detection is right.
fn register_suspicions(registry: &mut Registry, stats: &Stats) {
    let mut count = |name: &str, help: &str, count: u64| {
        registry.register(name, help, ConstCounter::new(count));
    };
    count("suspicions", "Members that came to be suspected", stats.events.suspected);
    let help = "Suspicions of members that then showed that they live";
    count("false_suspicions", help, stats.events.refuted);
    count("refutations", "Times this node refuted what was said of it", stats.refutations);
    count("probes_failed", "Probes that ended without an answer", stats.probes_failed);
}

fn register_traffic(registry: &mut Registry, stats: &Stats) {
    let datagrams = Family::<TrafficLabels, Counter<u64, AtomicU64>>::default();
    let bytes = Family::<TrafficLabels, Counter<u64, AtomicU64>>::default();
    for (direction, traffic) in [("sent", &stats.sent), ("received", &stats.received)] {
        for kind in DatagramKind::ALL {
            let (labels, count) = (TrafficLabels { direction, kind: kind.as_str() }, traffic.of(kind));
            datagrams.get_or_create(&labels).inc_by(count.datagrams);
            bytes.get_or_create(&labels).inc_by(count.bytes);
        }
    }
    let help = "Gossip's datagrams, by direction and by what they are for; those that were ignored are not among them";
    registry.register("gossip_datagrams", help, datagrams);
    registry.register_with_unit("gossip", "Their payload", Unit::Bytes, bytes);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use starling_overlay::{BootEpoch, Config, Identity, Input, Swim, Time, Versions};

    use super::*;

    fn samples(stats: &Stats) -> Vec<String> {
        let mut registry = Registry::with_prefix("starling");
        register(&mut registry, stats);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut samples: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        samples.sort_unstable();
        samples
    }

    #[test]
    fn every_counter_is_there_from_the_start() {
        let all = samples(&Stats::default());
        let (traffic, others): (Vec<_>, Vec<_>) = all
            .iter()
            .map(String::as_str)
            .partition(|sample| sample.starts_with("starling_gossip_") && sample.contains("direction="));
        assert_eq!(traffic.len(), 2 * 2 * DatagramKind::ALL.len());
        assert!(
            traffic.contains(&"starling_gossip_bytes_total{direction=\"sent\",kind=\"ping_req\"} 0"),
            "{traffic:?}"
        );
        assert_eq!(
            others,
            [
                "starling_false_suspicions_total 0",
                "starling_freezes_total 0",
                "starling_gossip_held_back_total 0",
                "starling_gossip_rejected_total{reason=\"ahead\"} 0",
                "starling_gossip_rejected_total{reason=\"checksum\"} 0",
                "starling_gossip_rejected_total{reason=\"echo\"} 0",
                "starling_gossip_rejected_total{reason=\"keyless\"} 0",
                "starling_gossip_rejected_total{reason=\"length\"} 0",
                "starling_gossip_rejected_total{reason=\"malformed\"} 0",
                "starling_gossip_rejected_total{reason=\"other-cluster\"} 0",
                "starling_gossip_rejected_total{reason=\"unopened\"} 0",
                "starling_gossip_rejected_total{reason=\"unsealed\"} 0",
                "starling_gossip_rejected_total{reason=\"version\"} 0",
                "starling_membership_events_total{event=\"converged\"} 0",
                "starling_membership_events_total{event=\"failed\"} 0",
                "starling_membership_events_total{event=\"joined\"} 0",
                "starling_membership_events_total{event=\"left\"} 0",
                "starling_membership_events_total{event=\"name_conflict\"} 0",
                "starling_membership_events_total{event=\"refuted\"} 0",
                "starling_membership_events_total{event=\"rejoined\"} 0",
                "starling_membership_events_total{event=\"suspected\"} 0",
                "starling_probes_failed_total 0",
                "starling_refutations_total 0",
                "starling_relays_shed_total 0",
                "starling_suspicions_total 0",
                "starling_turns_shed_total 0",
                "starling_unheard_members 0",
            ]
        );
    }

    #[test]
    fn they_say_what_the_overlay_has_counted() {
        let gossip: SocketAddr = "10.77.1.1:5000".parse().unwrap();
        let identity = Identity {
            name: "node".parse().unwrap(),
            boot: BootEpoch(1),
            gossip,
            http_port: 5000,
            zone: "FRA".parse().unwrap(),
            capacity_jobs: 1,
            versions: Versions::SPOKEN,
        };
        let mut swim = Swim::new(&Config::new(identity), 1, Time::ZERO);
        for mut bytes in [vec![1; 3], vec![1; 3], vec![200; 40]] {
            swim.handle(Time::ZERO, Input::Datagram { from: gossip, bytes: &mut bytes });
        }
        // An hour late, it finds that it is alone and at rest.
        swim.handle(Time::from_micros(3_600_000_000), Input::Timeout);
        let counted: Vec<_> =
            samples(swim.stats()).into_iter().filter(|sample| !sample.ends_with(" 0")).collect();
        assert_eq!(
            counted,
            [
                "starling_freezes_total 1",
                "starling_gossip_rejected_total{reason=\"length\"} 2",
                "starling_gossip_rejected_total{reason=\"version\"} 1",
                "starling_membership_events_total{event=\"converged\"} 1",
            ]
        );
    }
}
