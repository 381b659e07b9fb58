//! A run of recorded requests: what came to real nodes, when, and what each of it took a worker, under any policy.

use std::sync::Arc;
use std::time::Duration;

use super::decider::Decider;
use super::node::Video;
use super::plan::{PIXELS_PER_S, Request};
use super::setup::Setup;
use super::workload::{WORKLOADS, Workload};
use crate::content::{ClientTag, ContentId};

/// A request as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// When it was sent, after the first one could be.
    pub at: Duration,
    /// To which node, from 0 on.
    pub node: usize,
    /// What it sends: requests of one number are for the same.
    pub content: u64,
    /// Length of its video.
    pub bytes: u64,
    /// Length of its result.
    pub result_bytes: u64,
    /// How long it keeps a worker.
    pub work: Duration,
    /// What a look at the video tells of that, in pixels of work.
    pub work_pixels: u64,
}

impl Setup {
    /// A run of these requests, in their order, each of which has to be done within `deadline`; all are one client's, as those of a
    /// load generator are. Nodes of one worker each stand in the paper's zones in turn.
    pub fn replay(
        decider: Decider,
        nodes: usize,
        deadline: Duration,
        requests: Vec<Recorded>,
        seed: u64,
    ) -> Self {
        let workload =
            Workload { name: "replay", about: "requests that were recorded", deadline, ..WORKLOADS[0] };
        let mut setup = Self::new(workload, decider, nodes, requests.len(), seed);
        setup.workers = 1;
        setup.recorded = Some(Arc::new(requests));
        setup
    }
}

impl Recorded {
    /// As the simulated clients send it. `is_known`: whether a look at its video tells what it takes in truth.
    pub(super) fn request(&self, number: u64, is_known: bool) -> Request {
        let Self { at, node, content, bytes, result_bytes, work, work_pixels } = *self;
        let pixels = if is_known { (work.as_secs_f64() * PIXELS_PER_S) as u64 } else { work_pixels };
        let video = Video { pixels, seconds: work.as_secs_f64(), result_bytes, requester: node };
        let content = ContentId::of(&content.to_le_bytes());
        Request { number, at, node, client: ClientTag(0), content, bytes, video, announces: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::sim::simulate;

    #[test]
    fn recorded_requests_take_what_they_took_and_wait_for_each_other() {
        let second = Duration::from_secs(1);
        let mut content = 0;
        let mut request = |tens_of_s: u32, node| Recorded {
            at: tens_of_s * 10 * second,
            node,
            content: {
                content += 1;
                content
            },
            bytes: 1_000,
            result_bytes: 500,
            work: 2 * second,
            work_pixels: 1_000,
        };
        // One at a time, and then four at once to a cluster of three workers.
        let mut requests: Vec<_> = (0..4).map(|n| request(n, n as usize % 3)).collect();
        requests.extend([0, 1, 2, 0].map(|node| request(4, node)));
        // The last one sends what the first one did: its result is there.
        requests.push(Recorded { content: 1, ..request(6, 1) });
        let setup = Setup::replay(Decider::Policy(Policy::default()), 3, 40 * second, requests, 1);
        let outcome = simulate(&setup, 1);
        let figures = &outcome.figures;
        assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
        assert_eq!((figures.requests, figures.transcodes), (9, 8));
        assert!((figures.success_ratio - 1.0).abs() < 1e-9);
        let (p50, p99) = (figures.p50_ms.unwrap(), figures.p99_ms.unwrap());
        assert!((2_000.0..2_600.0).contains(&p50), "the work, and the way: {p50}");
        assert!((3_900.0..4_900.0).contains(&p99), "twice the work: {p99}");
        assert_eq!(simulate(&setup, 1).trace_hash, outcome.trace_hash);
    }
}
