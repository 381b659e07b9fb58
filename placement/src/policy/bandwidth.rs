//! How fast bytes go to a peer and come from it, by the transfers that were seen.
//!
//! What is averaged is the time that a byte takes, and not the rate: times are what is to be predicted, and of two transfers the slow
//! one counts for more of them. A peer of which nothing is known is taken for one of its zone, and a zone of which nothing is
//! known for a fast network within one's own, and for a slower one beyond.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, NodeName, Zone};

use super::RouteKind;

/// A shorter transfer says more of buffers and round trips than of bandwidth.
const BYTES_MIN: u64 = 256 * 1024;
/// Weight of a transfer against all before it.
const WEIGHT: f64 = 0.25;
/// What was seen longer ago says nothing any more.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Peers and zones remembered at the most; the one that was heard of longest ago is forgotten then.
const PEERS_MAX: usize = 4096;
const ZONES_MAX: usize = 64;
/// What is thought before anything was seen: a gigabit a second within a zone, a tenth of it to another one.
const BYTES_PER_S_NEAR: f64 = 125e6;
const BYTES_PER_S_FAR: f64 = 12.5e6;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A job's input, to the peer.
    There,
    /// Its result, from the peer.
    Back,
}

impl Direction {
    pub(super) const BOTH: [Self; 2] = [Self::There, Self::Back];
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    seconds_per_byte: f64,
    at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ways([Option<Seen>; 2]);

impl Ways {
    fn learn(&mut self, direction: Direction, seconds_per_byte: f64, now: Instant) {
        let way = &mut self.0[direction as usize];
        let mean = match way.filter(|seen| now.saturating_duration_since(seen.at) < AGE_MAX) {
            Some(seen) => seen.seconds_per_byte + WEIGHT * (seconds_per_byte - seen.seconds_per_byte),
            None => seconds_per_byte,
        };
        *way = Some(Seen { seconds_per_byte: mean, at: now });
    }

    fn seconds_per_byte(&self, direction: Direction, now: Instant) -> Option<f64> {
        let seen = self.0[direction as usize]?;
        (now.saturating_duration_since(seen.at) < AGE_MAX).then_some(seen.seconds_per_byte)
    }

    fn heard(&self) -> Option<Instant> {
        self.0.iter().flatten().map(|seen| seen.at).max()
    }
}

/// Measured bandwidths, by peer and by zone.
#[derive(Clone, Debug, Default)]
pub struct Bandwidths {
    peers: BTreeMap<NodeName, Ways>,
    zones: BTreeMap<Zone, Ways>,
}

impl Bandwidths {
    /// A transfer is over. One that is too short to tell anything is ignored.
    pub fn learn(&mut self, now: Instant, peer: &Identity, direction: Direction, bytes: u64, took: Duration) {
        if bytes < BYTES_MIN || took.is_zero() {
            return;
        }
        let seconds_per_byte = took.as_secs_f64() / bytes as f64;
        entry(&mut self.peers, &peer.name, PEERS_MAX).learn(direction, seconds_per_byte, now);
        entry(&mut self.zones, &peer.zone, ZONES_MAX).learn(direction, seconds_per_byte, now);
    }

    /// How long so many bytes are likely to take, without the round trips before the first and after the last one.
    pub fn estimate(
        &self,
        now: Instant,
        peer: &Identity,
        route: RouteKind,
        direction: Direction,
        bytes: u64,
    ) -> Duration {
        let per_byte = self.of_peer(now, &peer.name, direction);
        let per_byte = per_byte.unwrap_or_else(|| self.of_zone(now, &peer.zone, route, direction));
        Duration::try_from_secs_f64(per_byte * bytes as f64).unwrap_or(Duration::MAX)
    }

    /// The peers of which something is known.
    pub(super) fn by_name(&self) -> impl Iterator<Item = (&NodeName, ())> {
        self.peers.keys().map(|name| (name, ()))
    }

    /// Seconds a byte, of this peer alone.
    pub(super) fn of_peer(&self, now: Instant, peer: &NodeName, direction: Direction) -> Option<f64> {
        self.peers.get(peer)?.seconds_per_byte(direction, now)
    }

    /// Seconds a byte, of a peer of which nothing is known but its zone.
    pub(super) fn of_zone(&self, now: Instant, zone: &Zone, route: RouteKind, direction: Direction) -> f64 {
        let seen = self.zones.get(zone).and_then(|ways| ways.seconds_per_byte(direction, now));
        seen.unwrap_or(match route {
            RouteKind::Local | RouteKind::SameRegion => 1.0 / BYTES_PER_S_NEAR,
            RouteKind::CrossRegion => 1.0 / BYTES_PER_S_FAR,
        })
    }
}

fn entry<'a, K: Ord + Clone>(map: &'a mut BTreeMap<K, Ways>, key: &K, max: usize) -> &'a mut Ways {
    if map.len() >= max
        && !map.contains_key(key)
        && let Some(oldest) = map.iter().min_by_key(|(_, ways)| ways.heard()).map(|(key, _)| key.clone())
    {
        map.remove(&oldest);
    }
    map.entry(key.clone()).or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::identity;
    use super::*;
    use crate::testing::start;

    const MIB: u64 = 1024 * 1024;
    const SECOND: Duration = Duration::from_secs(1);

    fn there(bandwidths: &Bandwidths, now: Instant, name: &str, zone: &str) -> Duration {
        let route = if zone == "FRA" { RouteKind::SameRegion } else { RouteKind::CrossRegion };
        bandwidths.estimate(now, &identity(name, zone), route, Direction::There, MIB)
    }

    #[test]
    fn a_peer_goes_before_its_zone_and_that_before_a_guess() {
        let (mut bandwidths, now) = (Bandwidths::default(), start());
        let guess = there(&bandwidths, now, "b", "IAD");
        assert!((guess.as_secs_f64() - MIB as f64 / BYTES_PER_S_FAR).abs() < 1e-6);
        assert!(there(&bandwidths, now, "b", "FRA") < guess);
        bandwidths.learn(now, &identity("b", "IAD"), Direction::There, MIB, SECOND);
        bandwidths.learn(now, &identity("c", "IAD"), Direction::There, MIB, 3 * SECOND);
        assert_eq!(there(&bandwidths, now, "b", "IAD"), SECOND);
        assert_eq!(there(&bandwidths, now, "c", "IAD"), 3 * SECOND);
        assert_eq!(there(&bandwidths, now, "d", "IAD"), SECOND.mul_f64(1.5), "a quarter of the way");
        assert!(there(&bandwidths, now, "d", "BOM") < SECOND, "of another zone");
        let back =
            bandwidths.estimate(now, &identity("b", "IAD"), RouteKind::CrossRegion, Direction::Back, MIB);
        assert_eq!(back, guess, "the other way was not seen");
        assert_eq!(there(&bandwidths, now + AGE_MAX, "b", "IAD"), guess, "forgotten");
    }

    #[test]
    fn what_tells_nothing_is_not_learned() {
        let (mut bandwidths, now) = (Bandwidths::default(), start());
        bandwidths.learn(now, &identity("b", "IAD"), Direction::There, BYTES_MIN - 1, SECOND);
        bandwidths.learn(now, &identity("b", "IAD"), Direction::There, MIB, Duration::ZERO);
        assert!(bandwidths.peers.is_empty() && bandwidths.zones.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut bandwidths, mut now) = (Bandwidths::default(), start());
        for number in 0..PEERS_MAX + 10 {
            now += Duration::from_millis(1);
            let peer = identity(&format!("node{number}"), &format!("zone{number}"));
            bandwidths.learn(now, &peer, Direction::Back, MIB, SECOND);
        }
        assert_eq!((bandwidths.peers.len(), bandwidths.zones.len()), (PEERS_MAX, ZONES_MAX));
        assert!(!bandwidths.peers.contains_key(&"node0".parse().unwrap()), "the oldest");
    }

    proptest! {
        /// Whatever was seen, the estimate lies between the fastest and the slowest of it.
        #[test]
        fn an_estimate_is_a_mean(took_ms in prop::collection::vec(1u64..100_000, 1..20)) {
            let (mut bandwidths, mut now) = (Bandwidths::default(), start());
            for took in &took_ms {
                now += SECOND;
                bandwidths.learn(now, &identity("b", "IAD"), Direction::There, MIB, Duration::from_millis(*took));
            }
            let estimate = there(&bandwidths, now, "b", "IAD").as_secs_f64() * 1e3;
            let (least, most) = (*took_ms.iter().min().unwrap() as f64, *took_ms.iter().max().unwrap() as f64);
            prop_assert!(estimate >= least - 0.01 && estimate <= most + 0.01, "{} of {:?}", estimate, took_ms);
        }
    }
}
