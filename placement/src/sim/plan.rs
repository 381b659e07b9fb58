//! Which requests come when, and to whom: all drawn from the seed before the first one comes.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::node::Video;
use super::setup::{Setup, ZONES};
use crate::content::{ClientTag, ContentId};

/// Pixels of work that a usual worker does in a second.
pub(super) const PIXELS_PER_S: f64 = 100e6;
/// Clients of each zone.
const CLIENTS: u64 = 8;
/// Sigma of the lengths of videos.
const BYTES_SIGMA: f64 = 0.5;
/// A result's length, as a part of its video's.
const RESULT_PART: f64 = 0.4;
/// Requests for one shared content, on average.
const SHARED_BY: usize = 10;
/// Nothing is longer than so many times the mean.
const TIMES_MAX: f64 = 8.0;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub number: u64,
    /// When it is sent.
    pub at: Duration,
    /// To which node.
    pub node: usize,
    pub client: ClientTag,
    pub content: ContentId,
    pub bytes: u64,
    pub video: Video,
    /// Whether its client tells the digest before the body.
    pub announces: bool,
}

/// What makes requests.
pub(super) struct Planner<'a> {
    setup: &'a Setup,
    rng: StdRng,
    at: f64,
    made: u64,
}

impl<'a> Planner<'a> {
    pub fn new(setup: &'a Setup) -> Self {
        Self { setup, rng: StdRng::seed_from_u64(setup.seed ^ 0x0009_1a77), at: 0.0, made: 0 }
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        let setup = self.setup;
        if let Some(recorded) = setup.recorded.as_ref().and_then(|all| all.get(self.made as usize)) {
            self.made += 1;
            return recorded.request(self.made - 1, setup.decider.knows_sizes());
        }
        let at = Duration::from_secs_f64(self.at);
        // Arrivals of a Poisson process, whose rate goes up and down.
        let gap = -(1.0 - self.rng.random::<f64>()).ln() / (setup.rate() * setup.workload.rate(at));
        self.at += gap;
        self.one(Duration::from_secs_f64(self.at))
    }

    /// A request at this time.
    pub fn one(&mut self, at: Duration) -> Request {
        let number = self.made;
        self.made += 1;
        let node = self.node(at);
        let content = self.content(number);
        let client = (node % ZONES) as u64 * CLIENTS + self.rng.random_range(0..CLIENTS);
        // All slots of a load generator are on one machine.
        let client = if self.setup.closed_loop.is_some() { 0 } else { client };
        let announces = self.setup.announces && self.rng.random_bool(0.25);
        let (video, bytes) = video(self.setup, content, node);
        Request {
            number,
            at,
            node,
            client: ClientTag(client),
            content: ContentId::of(&content.to_le_bytes()),
            bytes,
            video,
            announces,
        }
    }

    fn node(&mut self, at: Duration) -> usize {
        let zones = self.setup.workload.zones(at);
        // A small cluster has no node in some zones.
        let there: Vec<(usize, f64)> =
            (0..ZONES.min(self.setup.nodes)).map(|zone| (zone, zones[zone])).collect();
        let mut drawn = self.rng.random::<f64>() * there.iter().map(|(_, part)| part).sum::<f64>();
        let found = there.iter().find(|(_, part)| {
            drawn -= part;
            drawn < 0.0
        });
        let zone = found.map_or(0, |(zone, _)| *zone);
        let count = (self.setup.nodes - zone).div_ceil(ZONES);
        zone + ZONES * self.rng.random_range(0..count)
    }

    fn content(&mut self, number: u64) -> u64 {
        if let Some(contents) = self.setup.contents {
            return self.rng.random_range(0..contents as u64);
        }
        if self.rng.random_range(0..100) < self.setup.workload.own_content_percent {
            return (1 << 32) + number;
        }
        // Zipf's law by its continuous inverse: a content of rank r is wanted as 1 / r.
        let count = (self.setup.jobs / SHARED_BY).max(1) as f64;
        ((count + 1.0).powf(self.rng.random::<f64>()) - 1.0) as u64
    }
}

/// A content's video: the same, whoever sends it.
fn video(setup: &Setup, content: u64, requester: usize) -> (Video, u64) {
    let mut rng =
        StdRng::seed_from_u64(setup.seed.rotate_left(17) ^ content.wrapping_mul(0xd134_2543_de82_ef95));
    let workload = &setup.workload;
    let told_s = workload.service.as_secs_f64() * spread(&mut rng, workload.service_sigma);
    let seconds = told_s * spread(&mut rng, workload.estimate_sigma);
    let bytes = (workload.bytes as f64 * spread(&mut rng, BYTES_SIGMA)) as u64;
    let result_bytes = (bytes as f64 * RESULT_PART) as u64;
    let looks_like_s = if setup.decider.knows_sizes() { seconds } else { told_s };
    (Video { pixels: (looks_like_s * PIXELS_PER_S) as u64, seconds, result_bytes, requester }, bytes)
}

/// A log-normal factor with a mean of 1.
fn spread(rng: &mut StdRng, sigma: f64) -> f64 {
    // Box and Muller, 1958.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.random::<f64>()).cos();
    (sigma * normal - sigma * sigma / 2.0).exp().min(TIMES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::sim::{Decider, WORKLOADS};

    #[test]
    fn requests_come_as_often_as_the_load_says_and_to_whom_the_workload_says() {
        for workload in WORKLOADS {
            let decider = Decider::Policy(Policy::default());
            let setup = Setup::new(workload, decider, 10, 6_000, 3).load(0.8);
            let mut planner = Planner::new(&setup);
            let requests: Vec<_> = (0..setup.jobs).map(|_| planner.next()).collect();
            let span = requests.last().unwrap().at.as_secs_f64() / setup.span().as_secs_f64();
            assert!((0.8..1.2).contains(&span), "{}: {span}", workload.name);
            let work: f64 =
                requests.iter().map(|request| request.video.seconds).sum::<f64>() / setup.jobs as f64;
            let mean = work / workload.service.as_secs_f64();
            assert!((0.85..1.15).contains(&mean), "{}: {mean}", workload.name);
            let mut contents: Vec<_> = requests.iter().map(|request| request.content).collect();
            contents.sort_unstable();
            contents.dedup();
            let own = contents.len() as f64 / setup.jobs as f64;
            assert_eq!(own > 0.9, workload.own_content_percent == 100, "{}: {own}", workload.name);
        }
    }
}
