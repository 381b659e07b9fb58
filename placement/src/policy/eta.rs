//! `eta`: the node at which the job is likely to be done first. No weights: all is time.
//!
//! ```text
//! done = the offer's round trip                                      (RTT)
//!      + the input's way there, or the wait for a worker there,       (bytes over measured bandwidth; backlog in milliseconds)
//!        whichever is longer: the place is held while the input is on its way
//!      + the work                                                     (the job's work at that node's speed, with the cores that stand idle)
//!      + the result's way back                                        (half an RTT, bytes over measured bandwidth)
//! ```
//!
//! - Jobs that this node has handed over and gossip does not show yet count: see [`super::Ledger`].
//! - Other work on a node's machine makes its jobs take longer, as its CPU shows it: see [`super::OtherWork`].
//! - A peer at which jobs fail takes so many times as long as it needs tries: see [`super::Reliability`].
//! - Hysteresis: the job stays here unless a peer is likely to be done sooner by a margin. What is known of this node is exact, what
//!   is known of others is not.
//! - No herding: a sample is as old as it is, and meanwhile other nodes, which see the same, may have sent a job to the same peer. So a
//!   random part of what one more job would add there is added, at most the sample's age, since no more work can have come up than
//!   that. Peers that are nearly equal are chosen in turns then, and nodes with the same view choose different ones.
//!
//! Source: least expected delay, as in Shreedhar and others' studies of stale load information (Mitzenmacher, "How Useful Is Old
//! Information?", IEEE TPDS 11(1), 2000, for what old samples do to it); the formula is this project's.

use super::roster::Row;
use super::situation::Situation;
use super::wait::Work;
use super::walk::{Node, seconds};
use super::{Forecast, Patience, margin};

/// Two peers whose times differ by less than this part are as good as each other.
const ALIKE_PART: f64 = 0.05;

/// What is the same for all nodes of a decision. Times in seconds.
pub(super) struct Eta {
    /// Until it is done here.
    pub(super) here_s: f64,
    margin_s: f64,
    work: Work,
}

impl Eta {
    pub(super) fn new(situation: &Situation<'_>, own: &Node) -> Self {
        let work = situation.work();
        let here_s = own.wait_s + work.of(None, own);
        Self { here_s, margin_s: margin(seconds(here_s)).as_secs_f64(), work }
    }

    /// The least that the figure of a peer may be of which no more is known than its row says: with nothing drawn. In the order of
    /// [`Self::figure`], so that no rounding makes it more.
    #[inline]
    pub(super) fn least(&self, row: &Row, ways_s: [f64; 2]) -> f64 {
        Self::done_s(row, self.work.of_row(row), row.wait_s, ways_s) + self.margin_s
    }

    /// The figure of a peer; `drawn` is 0 to 1.
    #[inline]
    pub(super) fn figure(&self, row: &Row, node: &Node, drawn: f64) -> f64 {
        if !node.known {
            return f64::INFINITY;
        }
        let done_s = Self::done_s(row, self.work.of_row(row), node.wait_s, node.ways_s);
        let unsure_s = node.one_more_s.min(node.age_s).max(done_s * ALIKE_PART);
        (done_s + drawn * unsure_s) * node.tries + self.margin_s
    }

    #[inline]
    fn done_s(row: &Row, work_s: f64, wait_s: f64, ways_s: [f64; 2]) -> f64 {
        let arrival_s = row.rtt_s / 2.0 + ways_s[0];
        Self::rest_s(row, work_s, ways_s) + arrival_s.max(wait_s)
    }

    /// All but the time until it is begun there.
    #[inline]
    fn rest_s(row: &Row, work_s: f64, ways_s: [f64; 2]) -> f64 {
        row.rtt_s + work_s + row.rtt_s / 2.0 + ways_s[1]
    }

    /// How much may stand before the job at a node, and where its time goes there.
    pub(super) fn promise(&self, row: Option<&Row>, node: &Node) -> (Patience, Option<Forecast>) {
        let Some(row) = row else {
            let here = Forecast::here(seconds(node.wait_s));
            return (Patience::default(), Some(Forecast { slowed: self.work.slowed(None, node), ..here }));
        };
        if !node.known {
            return (Patience::default(), None);
        }
        let bearable =
            seconds((self.here_s - Self::rest_s(row, self.work.of_row(row), node.ways_s)).max(0.0));
        let [there, back] = node.ways_s.map(seconds);
        let slowed = self.work.slowed(Some(row), node);
        let forecast = Forecast { wait: seconds(node.wait_s), there, back, tries: node.tries, slowed };
        (Patience::UpTo(bearable), Some(forecast))
    }
}
