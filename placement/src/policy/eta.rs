//! `eta`: the node at which the job is likely to be done first. No weights: all is time.
//!
//! ```text
//! done = the offer's round trip                                      (RTT)
//!      + the input's way there, or the wait for a worker there,       (bytes over measured bandwidth; backlog in milliseconds)
//!        whichever is longer: the place is held while the input is on its way
//!      + the work                                                     (the job's work at that node's speed)
//!      + the result's way back                                        (half an RTT, bytes over measured bandwidth)
//! ```
//!
//! - Jobs that this node has handed over and gossip does not show yet count: see [`super::Ledger`].
//! - A peer at which jobs fail takes so many times as long as it needs tries: see [`super::Reliability`].
//! - Hysteresis: the job stays here unless a peer is likely to be done sooner by a margin. What is known of this node is exact, what
//!   is known of others is not.
//! - No herding: a sample is as old as it is, and meanwhile other nodes, which see the same, may have sent a job to the same peer. So a
//!   random part of what one more job would add there is added, at most the sample's age, since no more work can have come up than
//!   that. Peers that are nearly equal are chosen in turns then, and nodes with the same view choose different ones.
//!
//! Source: least expected delay, as in Shreedhar and others' studies of stale load information (Mitzenmacher, "How Useful Is Old
//! Information?", IEEE TPDS 11(1), 2000, for what old samples do to it); the formula is this project's.

use std::time::Duration;

use rand::{Rng, RngCore};
use starling_overlay::Zone;

use super::bandwidth::Direction;
use super::situation::{Seen, Situation};
use super::{Patience, RTT_UNKNOWN, RouteKind, wait};

/// A peer has to be likely to be done sooner than this node by this part of this node's time, ...
const MARGIN_PART: f64 = 0.05;
/// ... and by this at the least.
const MARGIN_S_MIN: f64 = 0.020;
/// Two peers whose times differ by less than this part are as good as each other.
const ALIKE_PART: f64 = 0.05;

pub(super) fn weigh<'a>(situation: &'a Situation<'a>, nodes: &mut [Seen<'a>], rng: &mut dyn RngCore) {
    let here_s = situation.wait_here().as_secs_f64() + situation.work_here_s();
    let margin_s = (here_s * MARGIN_PART).max(MARGIN_S_MIN);
    let mut ways = Ways::new(situation);
    for node in nodes {
        if node.is_local() {
            node.score = here_s;
            continue;
        }
        let Some(load) = node.load else {
            node.score = f64::INFINITY;
            continue;
        };
        let (there_s, back_s) = ways.of(node);
        let rtt_s = node.rtt.unwrap_or(RTT_UNKNOWN).as_secs_f64();
        let (wait_s, one_more_s) = waits_s(node);
        let rest_s = rtt_s + situation.work_s(Some(load)) + rtt_s / 2.0 + back_s;
        let arrival_s = rtt_s / 2.0 + there_s;
        let done_s = rest_s + arrival_s.max(wait_s);
        let unsure_s = one_more_s.min(node.age.as_secs_f64()).max(done_s * ALIKE_PART);
        let drawn: f64 = rng.random();
        node.score = (done_s + drawn * unsure_s) * node.tries + margin_s;
        let bearable_s = (here_s - rest_s).max(0.0);
        node.patience = Patience::UpTo(Duration::try_from_secs_f64(bearable_s).unwrap_or(Duration::MAX));
    }
}

/// How long a job waits for a worker at a peer, and how much longer if one more came before it.
fn waits_s(node: &Seen<'_>) -> (f64, f64) {
    let Some(load) = node.load else { return (0.0, 0.0) };
    let wait = wait::wait(load, &node.handed);
    let mut more = node.handed;
    more.jobs += 1;
    more.work = more.work.saturating_add(wait::usual(load));
    let with_one_more = wait::wait(load, &more);
    (wait.as_secs_f64(), with_one_more.saturating_sub(wait).as_secs_f64())
}

/// How long the input's bytes take to a peer, and the result's back.
struct Ways<'a> {
    situation: &'a Situation<'a>,
    bytes: [f64; 2],
    /// Seconds a byte of the zones met so far: they are few, and asked for each of their nodes.
    zones: Vec<(&'a Zone, [f64; 2])>,
}

impl<'a> Ways<'a> {
    fn new(situation: &'a Situation<'a>) -> Self {
        let job = &situation.job;
        let result_bytes = situation.experience.sizes.estimate(job.profile, job.bytes);
        Self { situation, bytes: [job.bytes as f64, result_bytes as f64], zones: Vec::new() }
    }

    fn of(&mut self, node: &Seen<'a>) -> (f64, f64) {
        let identity = &node.member.identity;
        let zone = self.zone(&identity.zone, node.route);
        let (bandwidths, now) = (&self.situation.experience.bandwidths, self.situation.now);
        let seconds = |direction: Direction| {
            let per_byte = bandwidths.of_peer(now, &identity.name, direction);
            per_byte.unwrap_or(zone[direction as usize]) * self.bytes[direction as usize]
        };
        (seconds(Direction::There), seconds(Direction::Back))
    }

    fn zone(&mut self, zone: &'a Zone, route: RouteKind) -> [f64; 2] {
        if let Some((_, per_byte)) = self.zones.iter().find(|(known, _)| *known == zone) {
            return *per_byte;
        }
        let (bandwidths, now) = (&self.situation.experience.bandwidths, self.situation.now);
        let per_byte =
            [Direction::There, Direction::Back].map(|way| bandwidths.of_zone(now, zone, route, way));
        self.zones.push((zone, per_byte));
        per_byte
    }
}
