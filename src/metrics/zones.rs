//! How well this node knows each zone's load: what routing across zones rests on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use starling_overlay::View;

use starling_placement::policy::SAMPLE_AGE_MAX;

/// Zones that are told of: a zone is a label, and members say themselves which one is theirs.
const ZONES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ZoneLabel {
    zone: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PairLabels {
    from: String,
    to: String,
}

/// One zone as this node knows it.
#[derive(Debug, Default, PartialEq)]
struct Zone {
    live: usize,
    /// Ages of the samples held of its live members, the youngest first.
    ages: Vec<Duration>,
    /// Round trips to its live members as far as they are known, the shortest first.
    rtts: Vec<Duration>,
    /// Parts of the pings to its live members that stay without an answer, as far as they are known.
    losses: Vec<f32>,
}

impl Zone {
    fn fresh(&self) -> usize {
        self.ages.partition_point(|age| *age <= SAMPLE_AGE_MAX)
    }

    fn oldest(&self) -> Option<Duration> {
        self.ages.last().copied()
    }

    /// The mean over its members.
    fn loss(&self) -> Option<f64> {
        let sum: f64 = self.losses.iter().copied().map(f64::from).sum();
        (!self.losses.is_empty()).then(|| sum / self.losses.len() as f64)
    }
}

/// Of times in their order.
fn median(times: &[Duration]) -> Option<Duration> {
    let upper = *times.get(times.len() / 2)?;
    let lower = *times.get((times.len() - 1) / 2)?;
    Some((lower + upper) / 2)
}

/// The zones with live members: this node's own, and others by name, as many as are told of.
fn zones(view: &View, now: Instant) -> BTreeMap<String, Zone> {
    let mut zones = BTreeMap::<String, Zone>::new();
    // What only watches has no load to know.
    for member in view.members().filter(|m| m.state.is_live() && !m.identity.is_observer()) {
        let zone = zones.entry(member.identity.zone.to_string()).or_default();
        zone.live += 1;
        zone.ages.extend(member.load.map(|load| load.age(now)));
        zone.rtts.extend(member.rtt.map(|rtt| rtt.mean));
        zone.losses.extend(member.loss);
    }
    let own = view.local.identity.zone.as_str();
    let mut others_left = ZONES_MAX - 1;
    zones.retain(|name, zone| {
        zone.ages.sort_unstable();
        zone.rtts.sort_unstable();
        let told = name == own || others_left > 0;
        others_left -= usize::from(told && name != own);
        told
    });
    zones
}

pub(super) fn register(registry: &mut Registry, view: &View, now: Instant) {
    let live = Family::<ZoneLabel, Gauge<i64, AtomicI64>>::default();
    let fresh = Family::<ZoneLabel, Gauge<i64, AtomicI64>>::default();
    let median_age = Family::<ZoneLabel, Gauge<f64, AtomicU64>>::default();
    let oldest = Family::<ZoneLabel, Gauge<f64, AtomicU64>>::default();
    let rtt = Family::<PairLabels, Gauge<f64, AtomicU64>>::default();
    let loss = Family::<PairLabels, Gauge<f64, AtomicU64>>::default();
    let own = view.local.identity.zone.to_string();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    for (name, zone) in zones(view, now) {
        let pair = PairLabels { from: own.clone(), to: name.clone() };
        let known = [(&rtt, median(&zone.rtts).map(|time| time.as_secs_f64())), (&loss, zone.loss())];
        for (family, value) in known {
            if let Some(value) = value {
                family.get_or_create(&pair).set(value);
            }
        }
        let label = ZoneLabel { zone: name };
        live.get_or_create(&label).set(count(zone.live));
        fresh.get_or_create(&label).set(count(zone.fresh()));
        // Where no sample is held there is no age, rather than one of zero.
        for (family, age) in [(&median_age, median(&zone.ages)), (&oldest, zone.oldest())] {
            if let Some(age) = age {
                family.get_or_create(&label).set(age.as_secs_f64());
            }
        }
    }
    registry.register("zone_live_members", "Live members, this node among them, by zone", live);
    let help = format!(
        "Live members of which a load sample no older than {} s is held, by zone",
        SAMPLE_AGE_MAX.as_secs()
    );
    registry.register("zone_fresh_members", help, fresh);
    let help = "Median age of the load samples held, by zone";
    registry.register_with_unit("zone_sample_age_median", help, Unit::Seconds, median_age);
    let help = "Age of the oldest load sample held, by zone";
    registry.register_with_unit("zone_sample_age_max", help, Unit::Seconds, oldest);
    let help =
        "Median round-trip time from this node to the live members of a zone, by this node's zone and theirs";
    registry.register_with_unit("zone_rtt", help, Unit::Seconds, rtt);
    let help = "Mean part of this node's pings to the live members of a zone that lately had no answer in time, by this node's zone and \
                theirs";
    registry.register_with_unit("zone_loss", help, super::ratio(), loss);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use starling_overlay::{BootEpoch, Identity, Incarnation, Load, LoadSample, Member, MemberState, Stats};

    use super::*;

    fn member(zone: &str, state: MemberState, age_s: Option<u64>, now: Instant) -> Member {
        let identity = Identity {
            name: "node".parse().unwrap(),
            boot: BootEpoch(1),
            gossip: "10.77.1.1:5000".parse().unwrap(),
            http_port: 5000,
            zone: zone.parse().unwrap(),
            capacity_jobs: 1,
            versions: starling_overlay::Versions::SPOKEN,
        };
        let load = age_s.map(|age| Load {
            sample: LoadSample::default(),
            taken: now.checked_sub(Duration::from_secs(age)).unwrap(),
        });
        Member {
            identity: Arc::new(identity),
            state,
            incarnation: Incarnation(0),
            rtt: None,
            load,
            damping: None,
            heard_at: None,
            loss: None,
        }
    }

    fn view(now: Instant, peers: Vec<Member>) -> View {
        let local = member("FRA", MemberState::Alive, Some(1), now);
        View { at: now, local, peers, cluster: None, converged: None, stats: Stats::default() }
    }

    /// Some time after the clock's origin, so that samples may be older than this test.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn each_zone_says_how_old_its_samples_are() {
        use MemberState::{Alive, Dead, Left, Suspect};
        let now = later();
        let peers = vec![
            member("FRA", Alive, Some(5), now),
            member("IAD", Alive, Some(2), now),
            member("IAD", Suspect, Some(10), now),
            member("IAD", Alive, Some(60), now),
            member("IAD", Alive, None, now),
            // Who is gone has no load to be stale.
            member("IAD", Dead, Some(900), now),
            member("BOM", Alive, None, now),
            member("SYD", Left, Some(3), now),
        ];
        let mut registry = Registry::with_prefix("starling");
        register(&mut registry, &view(now, peers), now);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        samples.sort_unstable();
        assert_eq!(
            samples,
            [
                "starling_zone_fresh_members{zone=\"BOM\"} 0",
                "starling_zone_fresh_members{zone=\"FRA\"} 2",
                "starling_zone_fresh_members{zone=\"IAD\"} 2",
                "starling_zone_live_members{zone=\"BOM\"} 1",
                "starling_zone_live_members{zone=\"FRA\"} 2",
                "starling_zone_live_members{zone=\"IAD\"} 4",
                "starling_zone_sample_age_max_seconds{zone=\"FRA\"} 5.0",
                "starling_zone_sample_age_max_seconds{zone=\"IAD\"} 60.0",
                "starling_zone_sample_age_median_seconds{zone=\"FRA\"} 3.0",
                "starling_zone_sample_age_median_seconds{zone=\"IAD\"} 10.0",
            ]
        );
    }

    #[test]
    fn what_is_lost_on_the_way_to_a_zone_is_the_mean_of_its_members() {
        let now = later();
        let with = |zone, loss| Member { loss, ..member(zone, MemberState::Alive, None, now) };
        let dead = Member { state: MemberState::Dead, ..with("IAD", Some(1.0)) };
        let peers =
            vec![with("IAD", Some(0.5)), with("IAD", Some(0.0)), with("IAD", None), dead, with("BOM", None)];
        let mut registry = Registry::with_prefix("starling");
        register(&mut registry, &view(now, peers), now);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let told: Vec<_> =
            text.lines().filter(|line| line.starts_with("starling_zone_loss_ratio{")).collect();
        assert_eq!(told, ["starling_zone_loss_ratio{from=\"FRA\",to=\"IAD\"} 0.25"]);
    }

    #[test]
    fn no_cluster_makes_more_than_so_many_labels() {
        let now = later();
        let peers = (0..1000).map(|n| member(&format!("A{n}"), MemberState::Alive, Some(1), now)).collect();
        let zones = zones(&view(now, peers), now);
        assert_eq!(zones.len(), ZONES_MAX);
        assert_eq!(zones["FRA"].live, 1, "a node's own zone is always told of");
    }
}
