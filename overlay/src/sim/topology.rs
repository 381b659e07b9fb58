//! Zones and the links between them.

use std::time::Duration;

use starling_netem::{Distribution, LinkProfile};

/// Zones and what a datagram meets between them. The links are those of `starling-netem`: a named link means the same
/// in the simulator, in the lab and in a container.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Names of the zones.
    pub zones: Vec<String>,
    /// `links[from][to]`.
    pub links: Vec<Vec<LinkProfile>>,
}

impl Topology {
    /// One zone, where every datagram takes `delay`.
    pub fn flat(delay: Duration) -> Self {
        let link = LinkProfile { delay, ..LinkProfile::PERFECT };
        Self { zones: vec!["A".into()], links: vec![vec![link]] }
    }

    /// Zones by their round-trip times in milliseconds, `rtt_ms[a][b]`; a datagram takes half of it, with a jitter of
    /// 2 %.
    pub fn from_rtts(zones: &[&str], rtt_ms: &[&[f64]]) -> Self {
        let link = |rtt_ms: &f64| {
            let delay = Duration::from_secs_f64(rtt_ms / 2000.0);
            let distribution = Distribution::Normal;
            LinkProfile { delay, jitter: delay / 50, distribution, ..LinkProfile::PERFECT }
        };
        Self {
            zones: zones.iter().map(|zone| (*zone).into()).collect(),
            links: rtt_ms.iter().map(|row| row.iter().map(link).collect()).collect(),
        }
    }

    /// The paper's three zones: Frankfurt, Ashburn, Mumbai.
    pub fn paper() -> Self {
        Self::from_rtts(
            &["FRA", "IAD", "BOM"],
            &[&[10.0, 90.0, 200.0], &[90.0, 10.0, 250.0], &[200.0, 250.0, 10.0]],
        )
    }

    /// Changes every link.
    #[must_use]
    pub fn with(mut self, change: impl Fn(&mut LinkProfile)) -> Self {
        for link in self.links.iter_mut().flatten() {
            change(link);
        }
        self
    }
}
