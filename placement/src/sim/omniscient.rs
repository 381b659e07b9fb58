//! `omniscient`: a policy that knows every desk as it is at this moment, and what each job takes in truth. No node can have it; what
//! it reaches shows what the age and the errors of knowledge cost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use starling_overlay::{Load, View};

use super::cluster::index_of;
use super::node::SimNode;
use crate::journey::clock;
use crate::policy::{Candidate, Concern, Patience, Question, RouteKind};

/// What it takes a place for of which nothing is known yet, where nothing was learned.
const RESERVED_GUESS_S: f64 = 4.0;

impl SimNode {
    /// When a worker here is free for one more job, in seconds from now: all that is here comes before it.
    fn true_wait_s(&self) -> f64 {
        let bench = self.bench();
        let rate = self.cluster.rate(self.index, bench.running().max(1));
        let mut running: Vec<f64> = Vec::new();
        let mut waiting: Vec<f64> = Vec::new();
        for task in bench.tasks.values() {
            let left = *task.left.lock();
            if task.running.load(Ordering::Relaxed) { running.push(left) } else { waiting.push(left) }
        }
        // Other places are kept for jobs that are at peers.
        waiting.extend(std::iter::repeat_n(RESERVED_GUESS_S, self.offers.len()));
        // In microseconds, so that they can be put in order.
        let micros = |seconds: f64| (seconds * 1e6) as u64;
        let mut free: BinaryHeap<Reverse<u64>> =
            running.into_iter().map(|left| Reverse(micros(left))).collect();
        while free.len() < bench.desk.workers() {
            free.push(Reverse(0));
        }
        for work in waiting {
            let Reverse(at) = free.pop().unwrap_or_default();
            free.push(Reverse(at + micros(work)));
        }
        free.pop().map_or(0.0, |Reverse(at)| at as f64 / 1e6) / rate.max(1e-3)
    }

    /// A view in which each node's load is as it is now.
    pub(super) fn with_true_loads(&self, view: &Arc<View>) -> Arc<View> {
        let (mut view, now) = (View::clone(view), clock::now());
        for peer in &mut view.peers {
            if let Some(node) = self.cluster.node(index_of(&peer.identity.name)) {
                peer.load = Some(Load { sample: node.load(), taken: now });
            }
        }
        Arc::new(view)
    }

    /// The nodes by when the job would be done there in truth.
    pub(super) fn rank_by_truth(&self, question: &Question<'_>, count_max: usize) -> Vec<Candidate> {
        let Question { view, job, .. } = question;
        let work_s = job.work_pixels.map_or(RESERVED_GUESS_S, |pixels| pixels as f64 / 100e6);
        let network = &self.cluster.network;
        let mut ranked: Vec<Candidate> = self
            .cluster
            .live()
            .into_iter()
            .filter(|node| !node.draining.load(Ordering::Relaxed) && !network.is_cut(self.index, node.index))
            .map(|node| {
                let is_local = node.index == self.index;
                let rtt = if is_local { Duration::ZERO } else { network.rtt(self.index, node.index) };
                let there_s = if is_local { 0.0 } else { network.seconds(self.index, node.index, job.bytes) };
                let speed =
                    self.cluster.setup.workload.speed(node.index) * self.cluster.foreign_share(node.index);
                let way_s = rtt.as_secs_f64() * if is_local { 0.0 } else { 2.5 } + there_s;
                let takes_s = work_s / speed.max(1e-3);
                let score = way_s.max(node.true_wait_s()) + takes_s + there_s * 0.4;
                let route = if is_local {
                    RouteKind::Local
                } else {
                    RouteKind::between(&self.identity.zone, &node.identity.zone)
                };
                Candidate {
                    identity: Arc::clone(&node.identity),
                    route,
                    score,
                    rtt: Some(rtt),
                    load: view
                        .peers
                        .iter()
                        .find(|peer| peer.identity.name == node.identity.name)
                        .and_then(|peer| peer.load)
                        .map(|load| load.sample),
                    concern: Concern::None,
                    patience: Patience::Any,
                    work: Duration::from_secs_f64(takes_s),
                    hardware: false,
                    forecast: None,
                }
            })
            .collect();
        ranked
            .sort_by(|a, b| a.score.total_cmp(&b.score).then_with(|| a.identity.name.cmp(&b.identity.name)));
        let own = ranked.iter().position(Candidate::is_local);
        if let Some(own) = own.filter(|own| *own >= count_max) {
            ranked.swap(own, count_max);
            ranked.truncate(count_max + 1);
        } else {
            ranked.truncate(count_max);
        }
        ranked
    }
}
