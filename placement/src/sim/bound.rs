//! What no schedule of a run's requests can beat, whoever decides: the trace that `starling-bound` takes.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_bound::{Trace, TraceJob, TraceNode};

use super::client::{CLIENT_RTT, on_line};
use super::network::CARD_BITS_PER_S;
use super::plan::{Planner, Request};
use super::ports::LOOK_TIME;
use super::setup::{Setup, ZONES};

/// Jobs and nodes of a run, multiplied, of which there is a bound.
const BOUNDED_MAX: usize = 2_000_000;
/// Buckets of time that the shortest usual job takes, about, and how many there are at the most.
const BUCKETS_PER_JOB: f64 = 8.0;
const BUCKETS_MAX: f64 = 4_000.0;
/// Answers follow timers.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// What was done in a run, beside what no schedule can beat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounded {
    /// No schedule that serves as many requests has a smaller sum of latencies.
    pub latency_s: f64,
    /// No schedule serves more in time.
    pub in_time: f64,
}

impl Setup {
    /// What comes when, and how long it takes where: without what a node's policy, age of knowledge, questions and foreign work cost.
    /// None for a run whose clients wait for one another, and so depend on what is decided.
    pub fn trace(&self) -> Option<Trace> {
        if self.closed_loop.is_some() || self.comes_back || self.cores.is_some() {
            return None;
        }
        let mut planner = Planner::new(self);
        let requests: Vec<Request> = (0..self.jobs).map(|_| planner.next()).collect();
        let mut wanted: BTreeMap<_, usize> = BTreeMap::new();
        for request in &requests {
            *wanted.entry(request.content).or_default() += 1;
        }
        let speeds: Vec<f64> = (0..self.nodes).map(|node| self.workload.speed(node)).collect();
        let nodes = (0..self.nodes).map(|_| TraceNode { workers: self.workers as u32 }).collect();
        let (mut jobs, mut fixed_s) = (Vec::new(), Vec::new());
        for request in &requests {
            match wanted.get_mut(&request.content) {
                Some(times @ 1..) => {
                    // Another node's request for the same may bring the video, and that node may do the work.
                    let shared = *times > 1;
                    *times = 0;
                    jobs.push(self.job(request, &speeds, shared));
                }
                // Its work is done for another request.
                _ => fixed_s.push((upload(request) + download(request)).as_secs_f64()),
            }
        }
        Some(Trace { nodes, jobs, fixed_s })
    }

    fn job(&self, request: &Request, speeds: &[f64], shared: bool) -> TraceJob {
        // Where nodes die, requests go to other ones.
        let is_anywhere = shared || self.workload.deaths > 0 || !self.mishaps.is_empty();
        let topology = self.topology();
        let way_s = |from: usize, to: usize, bytes: u64| {
            if is_anywhere || from == to {
                return 0.0;
            }
            let link = topology.links[from][to];
            let rate = link.rate.unwrap_or(CARD_BITS_PER_S).max(1);
            link.delay.as_secs_f64() + bytes as f64 * 8.0 / rate as f64
        };
        let (near, workload) = (request.node % ZONES, &self.workload);
        // Nodes of one zone are as near as each other: so they are one to the bound.
        let by_zone = |way_s: &dyn Fn(usize) -> f64| {
            let zones: [f64; ZONES] = std::array::from_fn(way_s);
            zones.into_iter().cycle().take(self.nodes).collect()
        };
        let (before, after) = ((upload(request) + LOOK_TIME).as_secs_f64(), download(request).as_secs_f64());
        let there_s = by_zone(&|zone| before + way_s(near, zone, request.bytes));
        let back_s = by_zone(&|zone| after + way_s(zone, near, request.video.result_bytes));
        let allowed = CLIENT_RTT + workload.deadline + TIMER_SLACK + download(request);
        TraceJob {
            arrival_s: request.at.as_secs_f64(),
            work_s: speeds.iter().map(|speed| (request.video.seconds / speed).max(1e-6)).collect(),
            allowed_s: Some(allowed.as_secs_f64()),
            there_s,
            back_s,
        }
    }

    /// The bound on a run in which so many requests were served; none for one that is too large.
    pub(super) fn bounded(&self, served: usize) -> Option<Bounded> {
        if self.jobs.checked_mul(self.nodes)? > BOUNDED_MAX {
            return None;
        }
        let trace = self.trace()?;
        let buckets = self.span().as_secs_f64() / self.workload.service.as_secs_f64() * BUCKETS_PER_JOB * 2.0;
        // A trace that a run is made of is one.
        let bound = trace.bound_of_schedule(buckets.clamp(1.0, BUCKETS_MAX) as usize, served).ok()?;
        Some(Bounded {
            latency_s: bound.mean_latency_s * served as f64,
            in_time: bound.success_ratio * self.jobs as f64,
        })
    }
}

/// From a client's first byte until its video is at the node.
fn upload(request: &Request) -> Duration {
    CLIENT_RTT + on_line(request.bytes)
}

/// From the result's being at the node until the client has it.
fn download(request: &Request) -> Duration {
    CLIENT_RTT / 2 + on_line(request.video.result_bytes)
}
