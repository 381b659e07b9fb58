//! This node's load: sampled once a second and after each change of the queue, told to the others by gossip.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use starling_overlay::LoadSample;
use starling_placement::policy::usual_speed;

use super::Node;
use crate::profile::VideoCodec;

/// What a node that takes no work says of how long a job would have to wait for a worker.
const RESTING_BACKLOG_MS: u32 = 24 * 3600 * 1000;
/// How often a sample goes to the overlay when nothing happens.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

impl Node {
    /// The load at this moment: the machine's from the sampler, the queue's from the pool itself.
    pub fn own_load(&self) -> LoadSample {
        let machine = *self.machine.borrow();
        let pool = self.pool.stats();
        let others_speed = *self.others_speed.lock();
        let cpu_permille = {
            let mut other_work = self.other_work.lock();
            other_work.runs(Instant::now(), pool.running, pool.workers);
            other_work.cpu_permille()
        };
        let sample = LoadSample {
            seq: self.sample_seq.load(Ordering::Relaxed),
            // A reading is the mean of a second, and what runs is of now.
            cpu_permille,
            memory_permille: machine.memory_permille,
            // Promised is as good as there.
            queued_jobs: small(pool.queued + pool.reserved),
            queue_capacity_jobs: small(pool.queue_capacity),
            running_jobs: small(pool.running),
            workers: small(pool.workers),
            service_ms: pool.service_ms,
            kilopixels_per_s: pool.speed.map_or(0, |speed| (speed.beside(others_speed) / 1000.0) as u32),
            backlog_ms: pool.wait_ms,
            hardware: VideoCodec::bits(&self.pool.hardware_codecs()),
        };
        // A queue in which nothing may wait is one of no working node; also to older ones it looks like a full one.
        let resting = LoadSample { queue_capacity_jobs: 0, backlog_ms: RESTING_BACKLOG_MS, ..sample };
        if self.rests() { resting } else { sample }
    }

    /// Hands a fresh sample to the overlay; it rides on the next pings and acks.
    pub(super) fn publish_load(&self) {
        self.sample_seq.fetch_add(1, Ordering::Relaxed);
        *self.others_speed.lock() = usual_speed(&self.view(), Instant::now());
        self.load_out.publish(self.own_load());
    }
}

fn small(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Publishes samples for as long as the node lives; aborted when it stops.
pub(super) async fn publish_regularly(node: Arc<Node>) {
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    let mut machine = node.machine.clone();
    loop {
        tokio::select! {
            Ok(()) = machine.changed() => {
                let cpu_permille = machine.borrow_and_update().cpu_permille;
                node.other_work.lock().read(Instant::now(), cpu_permille);
                continue;
            }
            _ = tick.tick() => {}
        }
        node.publish_load();
        node.has_joined();
    }
}
