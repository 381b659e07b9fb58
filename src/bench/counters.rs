//! What the nodes of a lab counted: read from `GET /metrics`, kept of nodes that die.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use starling_placement::policy::RouteKind;

use crate::client::{Client, Endpoint};

const TIMEOUT: Duration = Duration::from_secs(5);
const OFFERS: &str = "starling_offers_sent_total{answer=\"";

/// Of all nodes together, since they were started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Times that ffmpeg was started.
    pub transcodes: u64,
    /// Those of them without a result.
    pub transcode_failures: u64,
    /// Jobs that peers took.
    pub offloads: ByRegion,
    /// Those of them that peers did not do.
    pub offloads_failed: ByRegion,
    /// Results given to peers for their jobs.
    pub responses: ByRegion,
    /// Jobs offered to peers, by their answers.
    pub offers: BTreeMap<String, u64>,
}

/// Within a region, and between regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByRegion {
    /// Within one.
    pub same_region: u64,
    /// Between two.
    pub cross_region: u64,
}

impl ByRegion {
    /// Both.
    pub const fn all(self) -> u64 {
        self.same_region + self.cross_region
    }

    /// The part within a region; none of nothing.
    pub fn same_ratio(self) -> Option<f64> {
        ratio(self.same_region, self.all())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            same_region: self.same_region + other.same_region,
            cross_region: self.cross_region + other.cross_region,
        }
    }
}

/// A part of a whole, if there is one.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Counters {
    /// From the text of one node.
    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let found =
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
            found.map_or(0, |value: f64| value as u64)
        };
        let by_region = |name: &str, more: &str| {
            let of = |route: RouteKind| value(&format!("{name}{{route=\"{}\"{more}}}", route.as_str()));
            ByRegion { same_region: of(RouteKind::SameRegion), cross_region: of(RouteKind::CrossRegion) }
        };
        let offers = text.lines().filter_map(|line| {
            let (answer, count) = line.strip_prefix(OFFERS)?.split_once("\"} ")?;
            Some((answer.to_owned(), count.parse::<f64>().ok()? as u64))
        });
        let failed = by_region("starling_offloads_total", ",outcome=\"failed\"");
        Self {
            transcodes: value("starling_transcodes_total"),
            transcode_failures: value("starling_transcode_failures_total"),
            offloads: by_region("starling_offloads_total", ",outcome=\"done\"").plus(failed),
            offloads_failed: failed,
            responses: by_region("starling_responses_total", ""),
            offers: offers.filter(|(_, count)| *count > 0).collect(),
        }
    }

    fn add(mut self, other: &Self) -> Self {
        self.transcodes += other.transcodes;
        self.transcode_failures += other.transcode_failures;
        self.offloads = self.offloads.plus(other.offloads);
        self.offloads_failed = self.offloads_failed.plus(other.offloads_failed);
        self.responses = self.responses.plus(other.responses);
        for (answer, count) in &other.offers {
            *self.offers.entry(answer.clone()).or_default() += count;
        }
        self
    }
}

/// Reads the counters of some nodes.
#[derive(Debug)]
pub(super) struct Meter {
    client: Client,
    nodes: Vec<(Endpoint, Counters)>,
}

impl Meter {
    pub(super) fn new(nodes: impl Iterator<Item = Endpoint>) -> Self {
        Self { client: Client::new(), nodes: nodes.map(|node| (node, Counters::default())).collect() }
    }

    /// Reads all nodes that answer; of the others the last reading counts.
    pub(super) async fn read(&mut self) {
        let client = &self.client;
        join_all(self.nodes.iter_mut().map(async |(node, counters)| {
            match client.get(node, "/metrics", TIMEOUT).await {
                Ok(text) => *counters = Counters::parse(&String::from_utf8_lossy(&text)),
                Err(error) => tracing::debug!(%error, "its last reading counts"),
            }
        }))
        .await;
    }

    /// All nodes together.
    pub(super) fn sum(&self) -> Counters {
        self.nodes.iter().fold(Counters::default(), |sum, (_, counters)| sum.add(counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_nodes_are_summed_by_region() {
        let text = "# HELP starling_offloads …\nstarling_transcodes_total 12\n\
            starling_offloads_total{route=\"same-region\",outcome=\"done\"} 3\n\
            starling_offloads_total{route=\"same-region\",outcome=\"failed\"} 1\n\
            starling_offloads_total{route=\"cross-region\",outcome=\"done\"} 4\n\
            starling_responses_total{route=\"cross-region\"} 5\n\
            starling_offers_sent_total{answer=\"accepted\"} 8\n\
            starling_offers_sent_total{answer=\"refused\"} 0\n";
        let one = Counters::parse(text);
        assert_eq!((one.transcodes, one.transcode_failures), (12, 0));
        let both = Counters::default().add(&one).add(&one);
        assert_eq!(both.offloads, ByRegion { same_region: 8, cross_region: 8 });
        assert_eq!(both.offloads_failed, ByRegion { same_region: 2, cross_region: 0 });
        assert_eq!(both.responses.same_ratio(), Some(0.0));
        assert_eq!(both.offers, [("accepted".to_owned(), 16)].into());
        assert_eq!(ByRegion::default().same_ratio(), None);
    }
}
