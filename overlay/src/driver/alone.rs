//! A node that has seeds and is alone nevertheless.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;

/// How often it is said again.
const AGAIN: Duration = Duration::from_secs(600);
/// Most addresses that a line names: as many as are tried at once.
const ADDRESSES_MAX: usize = 32;

/// Says that none of the seeds answers, once that has been so for a while.
#[derive(Debug)]
pub(super) struct Alone {
    after: Duration,
    since: Option<Instant>,
    pace: Pace,
    /// Addresses where nobody listens, as their machines say.
    refused: BTreeSet<SocketAddr>,
}

impl Alone {
    /// A node that may be alone for so long before anything is said of it.
    pub fn new(after: Duration) -> Self {
        Self { after, since: None, pace: Pace::new(AGAIN), refused: BTreeSet::new() }
    }

    /// Nobody listens at this address.
    pub fn refused(&mut self, address: SocketAddr) {
        if self.since.is_some() && self.refused.len() < ADDRESSES_MAX {
            self.refused.insert(address);
        }
    }

    /// The seeds are tried. If it is to be said that none of them answers: for how long that has been so.
    fn still(&mut self, now: Instant, alone: bool) -> Option<Duration> {
        if !alone {
            *self = Self::new(self.after);
            return None;
        }
        let time = now - *self.since.get_or_insert(now);
        (time >= self.after && self.pace.happened(now).is_some()).then_some(time)
    }

    /// The seeds, by these names and at these other addresses than this node's own, are tried.
    pub fn tell(&mut self, now: Instant, alone: bool, seeds: &[&str], others: &[SocketAddr], resolved: bool) {
        let Some(time) = self.still(now, alone) else { return };
        let refused: Vec<_> =
            others.iter().filter(|address| self.refused.contains(address)).copied().collect();
        let advice = if others.is_empty() && resolved {
            "every seed is this node itself; name another member with --join, or none on a cluster's first node"
        } else {
            "no seed answers; they are tried until one does. Check that they run, that UDP gets there and back, and \
             that --cluster and --key-file are the same here and there"
        };
        tracing::warn!(
            target: "starling::overlay",
            seeds = seeds.join(","),
            tried = list(others),
            refused = list(&refused),
            alone_s = time.as_secs(),
            "alone: {advice}"
        );
        self.refused.clear();
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().take(ADDRESSES_MAX).map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_after_a_while_then_rarely_and_anew_when_company_is_gone() {
        let mut alone = Alone::new(Duration::from_secs(5));
        let begin = Instant::now();
        let mut told = |seconds: std::ops::Range<u64>, is_alone| -> Vec<u64> {
            seconds
                .filter(|second| alone.still(begin + Duration::from_secs(*second), is_alone).is_some())
                .collect()
        };
        assert_eq!(told(0..1000, true), [5, 605]);
        assert!(told(1000..2000, false).is_empty());
        assert_eq!(told(2000..2010, true), [2005]);
        // Whoever is alone for a moment only need not know.
        assert!(told(2010..2011, false).is_empty());
        assert!(told(2011..2016, true).is_empty());
    }
}
