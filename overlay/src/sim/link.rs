//! How datagrams travel between zones.

use std::time::Duration;

/// One direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Standard deviation of the delay; it never lets a datagram arrive before half the delay. Reorders.
    pub jitter: Duration,
    /// Part of the datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// Part of the datagrams that arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Part of the datagrams that arrives with a flipped bit or cut short, 0 to 1.
    pub corrupt: f64,
}

/// Zones and the links between them.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Names of the zones.
    pub zones: Vec<String>,
    /// `links[from][to]`.
    pub links: Vec<Vec<Link>>,
}

impl Topology {
    /// One zone, where every datagram takes `delay` with a tenth of that as jitter.
    pub fn flat(delay: Duration) -> Self {
        let link = Link { delay, jitter: delay / 10, ..Link::default() };
        Self { zones: vec!["A".into()], links: vec![vec![link]] }
    }

    /// Zones by their round-trip times in milliseconds, `rtt_ms[a][b]`; a datagram takes half of it, with a jitter of
    /// 2 %.
    pub fn from_rtts(zones: &[&str], rtt_ms: &[&[f64]]) -> Self {
        let link = |rtt_ms: &f64| {
            let delay = Duration::from_secs_f64(rtt_ms / 2000.0);
            Link { delay, jitter: delay / 50, ..Link::default() }
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
    pub fn with(mut self, change: impl Fn(&mut Link)) -> Self {
        for link in self.links.iter_mut().flatten() {
            change(link);
        }
        self
    }
}
