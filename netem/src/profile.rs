//! What one direction of a link does to packets. Shared by the kernel backend, the user-space shaper and the overlay's
//! simulator, so that a named link means the same thing everywhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One direction of a link. The default is a perfect wire.
///
/// Probabilities are 0..=1 and each packet's, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkProfile {
    /// One-way delay.
    pub delay: Duration,
    /// Spread of the delay: half width of `Uniform`, standard deviation of the others. Jitter alone never reorders: a
    /// packet that would overtake waits for the one before it.
    pub jitter: Duration,
    /// Shape of the jitter.
    pub distribution: Distribution,
    /// Share of the packets that are lost.
    pub loss: f64,
    /// Mean length of a run of losses, in packets. At most 1: each packet is lost on its own. Above: a simple Gilbert
    /// model whose long-run share of losses is `loss`.
    pub loss_burst: f64,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is not delayed, and so overtakes those before it.
    pub reorder: f64,
    /// Bits a second, `None` for no limit.
    pub rate: Option<u64>,
}

/// How the delays of single packets spread around the link's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Anywhere in delay ± jitter, alike.
    #[default]
    Uniform,
    /// A bell.
    Normal,
    /// Mostly close, with a long tail of late packets, as queues in routers make it.
    Pareto,
}

impl Distribution {
    /// Its name in zone files and for tc.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Pareto => "pareto",
        }
    }
}

impl Default for LinkProfile {
    fn default() -> Self {
        Self::PERFECT
    }
}

impl LinkProfile {
    /// A wire without any delay or loss.
    pub const PERFECT: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        distribution: Distribution::Uniform,
        loss: 0.0,
        loss_burst: 1.0,
        duplicate: 0.0,
        reorder: 0.0,
        rate: None,
    };

    /// Link presets by name: `perfect`, `lan`, `regional` (10 ms RTT), `atlantic` (90 ms), `eurasia` (200 ms), `far`
    /// (250 ms), `wifi`, `mobile`, `satellite`, `lossy`, `bursty`, `cut`.
    pub const PRESETS: &[(&'static str, Self)] = &[
        ("perfect", Self::PERFECT),
        (
            "lan",
            Self { delay: Duration::from_micros(250), jitter: Duration::from_micros(50), ..Self::PERFECT },
        ),
        ("regional", Self { delay: Duration::from_millis(5), ..Self::PERFECT }),
        ("atlantic", Self { delay: Duration::from_millis(45), ..Self::PERFECT }),
        ("eurasia", Self { delay: Duration::from_millis(100), ..Self::PERFECT }),
        ("far", Self { delay: Duration::from_millis(125), ..Self::PERFECT }),
        (
            "wifi",
            Self {
                delay: Duration::from_millis(3),
                jitter: Duration::from_millis(4),
                distribution: Distribution::Pareto,
                loss: 0.01,
                loss_burst: 3.0,
                rate: Some(100_000_000),
                ..Self::PERFECT
            },
        ),
        (
            "mobile",
            Self {
                delay: Duration::from_millis(35),
                jitter: Duration::from_millis(15),
                distribution: Distribution::Pareto,
                loss: 0.005,
                loss_burst: 4.0,
                rate: Some(20_000_000),
                ..Self::PERFECT
            },
        ),
        (
            "satellite",
            Self {
                delay: Duration::from_millis(300),
                jitter: Duration::from_millis(10),
                distribution: Distribution::Normal,
                loss: 0.01,
                rate: Some(25_000_000),
                ..Self::PERFECT
            },
        ),
        ("lossy", Self { delay: Duration::from_millis(45), loss: 0.4, ..Self::PERFECT }),
        ("bursty", Self { delay: Duration::from_millis(45), loss: 0.1, loss_burst: 10.0, ..Self::PERFECT }),
        ("cut", Self { loss: 1.0, ..Self::PERFECT }),
    ];

    /// A preset by its name.
    pub fn preset(name: &str) -> Option<Self> {
        Self::PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, profile)| *profile)
    }

    /// Says what is wrong with values that no link can have.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{name} is {value}: expected a probability from 0 to 1"));
            }
        }
        if !self.loss_burst.is_finite() || self.loss_burst < 0.0 {
            return Err(format!(
                "loss_burst is {}: expected a mean number of packets, such as 5",
                self.loss_burst
            ));
        }
        if self.bursts() && self.loss < 1.0 && self.gilbert().0 > 1.0 {
            return Err(format!(
                "losses of {} in bursts of {} packets leave no room between the bursts: expected longer bursts",
                crate::units::format_percent(self.loss),
                self.loss_burst
            ));
        }
        Ok(())
    }

    /// Whether losses come in runs.
    pub fn bursts(&self) -> bool {
        self.loss > 0.0 && self.loss < 1.0 && self.loss_burst > 1.0
    }

    /// Probabilities of going from the good state to the bad one, and back, for [`Self::bursts`].
    pub fn gilbert(&self) -> (f64, f64) {
        let back = 1.0 / self.loss_burst;
        (back * self.loss / (1.0 - self.loss), back)
    }

    /// How many packets the link holds before it drops: as many as are under way, and 200 ms of queue where a rate
    /// makes them wait.
    pub fn queue_packets(&self) -> u32 {
        const PACKETS_MAX: u64 = 100_000;
        const PACKET_BITS: f64 = 1500.0 * 8.0;
        const QUEUE: Duration = Duration::from_millis(200);
        let Some(rate) = self.rate else { return PACKETS_MAX as u32 };
        let held = (self.delay + self.jitter + QUEUE).as_secs_f64();
        ((rate as f64 * held / PACKET_BITS).ceil() as u64).clamp(100, PACKETS_MAX) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_link_that_can_be() {
        for (name, profile) in LinkProfile::PRESETS {
            assert_eq!(profile.check(), Ok(()), "{name}");
            assert_eq!(LinkProfile::preset(name), Some(*profile));
        }
        assert_eq!(LinkProfile::preset("nowhere"), None);
    }

    #[test]
    fn impossible_links_are_named() {
        let bad = LinkProfile { loss: 1.5, ..LinkProfile::PERFECT };
        assert!(bad.check().unwrap_err().starts_with("loss is 1.5"));
        let crowded = LinkProfile { loss: 0.9, loss_burst: 2.0, ..LinkProfile::PERFECT };
        assert!(crowded.check().unwrap_err().contains("leave no room"));
    }

    #[test]
    fn a_rated_link_queues_200_ms_beyond_what_is_under_way() {
        let link =
            LinkProfile { delay: Duration::from_millis(100), rate: Some(12_000_000), ..LinkProfile::PERFECT };
        assert_eq!(link.queue_packets(), 300);
    }
}
