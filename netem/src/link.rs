//! What becomes of each packet on a link: the model behind the user-space shaper, and a simulator's. It reads no clock and
//! draws from the caller's generator, so that one seed replays it exactly.

use std::time::Duration;

use rand::Rng;

use crate::{Distribution, LinkProfile};

/// A queue ahead of a rated link that would last longer than this drops what comes.
const BACKLOG_MAX: Duration = Duration::from_millis(200);
/// As kernel netem does: its tables end at four standard deviations.
const DEVIATIONS_MAX: f64 = 4.0;

/// One direction of a link while packets pass. All times count from one moment of the caller's choice.
#[derive(Debug, Clone)]
pub struct Link {
    profile: LinkProfile,
    /// When the last bit of all accepted packets has left the sender. For rated links.
    line_free: Duration,
    /// Arrival of the latest packet, which jitter must not overtake.
    last_arrival: Duration,
    /// In a run of losses.
    in_burst: bool,
}

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives.
    Arrives {
        /// When.
        at: Duration,
        /// Whether it arrives twice.
        twice: bool,
    },
}

impl Link {
    /// An idle link.
    pub fn new(profile: LinkProfile) -> Self {
        Self { profile, line_free: Duration::ZERO, last_arrival: Duration::ZERO, in_burst: false }
    }

    /// What it does now.
    pub fn profile(&self) -> &LinkProfile {
        &self.profile
    }

    /// From now on it does this. Packets under way keep their times.
    pub fn set_profile(&mut self, profile: LinkProfile) {
        self.profile = profile;
    }

    /// Whether a new link would do the same with what comes from now on.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.line_free <= now && self.last_arrival <= now && !self.in_burst
    }

    /// Sends a packet of `bytes` at `now`. Draws the same number of values whatever happens to the packet, per profile.
    pub fn send(&mut self, now: Duration, bytes: u32, rng: &mut impl Rng) -> Fate {
        let lost = self.loses(rng);
        let delay = self.delay(rng);
        let overtakes = draw(self.profile.reorder, rng);
        let twice = draw(self.profile.duplicate, rng);
        if lost {
            return Fate::Lost;
        }
        let start = now.max(self.line_free);
        let mut sent = start;
        if let Some(rate) = self.profile.rate {
            if start.saturating_sub(now) > BACKLOG_MAX {
                return Fate::Lost;
            }
            sent += Duration::from_secs_f64(f64::from(bytes) * 8.0 / rate as f64);
            self.line_free = sent;
        }
        if overtakes {
            return Fate::Arrives { at: sent, twice };
        }
        let mut at = sent + delay;
        if !self.profile.jitter.is_zero() {
            at = at.max(self.last_arrival);
        }
        self.last_arrival = self.last_arrival.max(at);
        Fate::Arrives { at, twice }
    }

    fn loses(&mut self, rng: &mut impl Rng) -> bool {
        if !self.profile.bursts() {
            return draw(self.profile.loss, rng);
        }
        let (into, back) = self.profile.gilbert();
        let lost = self.in_burst;
        if draw(if lost { back } else { into }, rng) {
            self.in_burst = !lost;
        }
        lost
    }

    fn delay(&self, rng: &mut impl Rng) -> Duration {
        let LinkProfile { delay, jitter, distribution, .. } = self.profile;
        if jitter.is_zero() {
            return delay;
        }
        let deviations = match distribution {
            Distribution::Uniform => rng.random_range(-1.0..=1.0),
            Distribution::Normal => normal(rng),
            // Shape 3, moved and scaled to mean 0 and about one standard deviation, as in netem's table.
            Distribution::Pareto => (open_unit(rng).powf(-1.0 / 3.0) - 1.5) * (4.0 / 3.0),
        };
        let seconds =
            delay.as_secs_f64() + jitter.as_secs_f64() * deviations.clamp(-DEVIATIONS_MAX, DEVIATIONS_MAX);
        Duration::from_secs_f64(seconds.max(0.0))
    }
}

fn draw(probability: f64, rng: &mut impl Rng) -> bool {
    // No draw for what never happens: a link without faults costs nothing.
    probability > 0.0 && rng.random::<f64>() < probability
}

/// In (0, 1].
fn open_unit(rng: &mut impl Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

/// Box and Muller, 1958.
fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * open_unit(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const PACKETS: u32 = 100_000;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One packet a millisecond; arrivals by packet.
    fn run(profile: LinkProfile) -> Vec<Option<(Duration, bool)>> {
        let (mut link, mut rng) = (Link::new(profile), rng());
        (0..PACKETS)
            .map(|i| match link.send(ms(u64::from(i)), 1000, &mut rng) {
                Fate::Lost => None,
                Fate::Arrives { at, twice } => Some((at.saturating_sub(ms(u64::from(i))), twice)),
            })
            .collect()
    }

    fn near(measured: f64, expected: f64, deviation: f64) {
        assert!(
            (measured - expected).abs() < 5.0 * deviation,
            "{measured} is not {expected} ± 5 x {deviation}"
        );
    }

    fn binomial_deviation(p: f64) -> f64 {
        (p * (1.0 - p) / f64::from(PACKETS)).sqrt()
    }

    #[test]
    fn a_perfect_wire_delays_and_loses_nothing() {
        assert!(run(LinkProfile::PERFECT).iter().all(|fate| *fate == Some((Duration::ZERO, false))));
    }

    #[test]
    fn a_plain_link_delays_all_alike() {
        let plain = LinkProfile { delay: ms(45), ..LinkProfile::PERFECT };
        assert!(run(plain).iter().all(|fate| *fate == Some((ms(45), false))));
    }

    #[test]
    fn uniform_losses_and_duplicates_come_at_their_rates() {
        let fates = run(LinkProfile { loss: 0.3, duplicate: 0.1, ..LinkProfile::PERFECT });
        let lost = fates.iter().filter(|fate| fate.is_none()).count() as f64 / f64::from(PACKETS);
        let twice = fates.iter().flatten().filter(|(_, twice)| *twice).count() as f64 / f64::from(PACKETS);
        near(lost, 0.3, binomial_deviation(0.3));
        near(twice, 0.1 * 0.7, binomial_deviation(0.07));
    }

    #[test]
    fn bursts_keep_the_rate_and_come_in_runs() {
        let fates = run(LinkProfile { loss: 0.1, loss_burst: 10.0, ..LinkProfile::PERFECT });
        let lost = fates.iter().filter(|fate| fate.is_none()).count() as f64;
        let runs = fates.windows(2).filter(|pair| pair[0].is_some() && pair[1].is_none()).count() as f64;
        // Neighbours are alike, so that the rate's deviation is that of lost/burst independent draws.
        near(lost / f64::from(PACKETS), 0.1, binomial_deviation(0.1) * 20f64.sqrt());
        near(lost / runs, 10.0, 10.0 / runs.sqrt());
    }

    #[test]
    fn jitter_spreads_as_its_distribution_says() {
        for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Pareto] {
            // Far apart, so that no packet waits for another.
            let (mut link, mut rng) = (
                Link::new(LinkProfile { delay: ms(50), jitter: ms(5), distribution, ..LinkProfile::PERFECT }),
                rng(),
            );
            let delays: Vec<f64> = (0..20_000)
                .map(|i| match link.send(ms(i * 1000), 100, &mut rng) {
                    Fate::Arrives { at, .. } => at.saturating_sub(ms(i * 1000)).as_secs_f64() * 1e3,
                    Fate::Lost => panic!("nothing is lost here"),
                })
                .collect();
            let mean = delays.iter().sum::<f64>() / delays.len() as f64;
            let deviation =
                (delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / delays.len() as f64).sqrt();
            let expected = if distribution == Distribution::Uniform { 5.0 / 3f64.sqrt() } else { 5.0 };
            assert!((mean - 50.0).abs() < 0.5, "{distribution:?}: mean {mean}");
            assert!((deviation - expected).abs() < 1.0, "{distribution:?}: deviation {deviation}");
        }
    }

    #[test]
    fn a_rated_link_takes_its_time_and_drops_beyond_its_queue() {
        let mut link =
            Link::new(LinkProfile { delay: ms(10), rate: Some(8_000_000), ..LinkProfile::PERFECT });
        let fates: Vec<Fate> = (0..300).map(|_| link.send(ms(0), 1000, &mut rng())).collect();
        assert_eq!(fates[0], Fate::Arrives { at: ms(11), twice: false });
        assert_eq!(fates[99], Fate::Arrives { at: ms(110), twice: false });
        let arrived = fates.iter().filter(|fate| **fate != Fate::Lost).count();
        assert_eq!(arrived, 201, "200 ms of queue at 1 ms a packet, and the one that is being sent");
    }

    #[test]
    fn reordered_packets_overtake() {
        let fates = run(LinkProfile { delay: ms(45), reorder: 0.02, ..LinkProfile::PERFECT });
        let early = fates.iter().flatten().filter(|(delay, _)| delay.is_zero()).count() as f64;
        near(early / f64::from(PACKETS), 0.02, binomial_deviation(0.02));
    }

    proptest! {
        #[test]
        fn jitter_alone_never_reorders(seed: u64, jitter_ms in 1u64..200, gaps_us in prop::collection::vec(0u64..5000, 1..100)) {
            let profile = LinkProfile { delay: ms(45), jitter: ms(jitter_ms), distribution: Distribution::Pareto, ..LinkProfile::PERFECT };
            let (mut link, mut rng) = (Link::new(profile), ChaCha8Rng::seed_from_u64(seed));
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            for gap in gaps_us {
                now += Duration::from_micros(gap);
                if let Fate::Arrives { at, .. } = link.send(now, 100, &mut rng) {
                    prop_assert!(at >= last && at >= now);
                    last = at;
                }
            }
        }
    }
}
