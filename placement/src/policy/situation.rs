//! What a policy looks at.

use std::time::{Duration, Instant};

use starling_overlay::{BootEpoch, Identity, LoadSample, NodeName, View};

use super::{Concern, Experience, wait};
use crate::desk::Backlog;
use crate::profile::ProfileName;

/// A load sample older than this says nothing about its node any more (the paper's limit).
pub const SAMPLE_AGE_MAX: Duration = Duration::from_secs(10);

/// All that a decision may depend on, beside the seed of its generator.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The membership with its round-trip times and gossiped loads, and their ages.
    pub view: &'a View,
    /// What is to be done.
    pub job: Demand<'a>,
    /// This node's own figures, read now and not gossiped.
    pub own: OwnDesk,
    /// What this node knows by its own doing: hand-offs that gossip does not show yet, bandwidths, failures.
    pub experience: &'a Experience,
    /// Peers that did something wrong lately, by name.
    pub avoided: &'a [Avoided],
    /// How many decisions this node has made before.
    pub turn: u64,
    /// The moment of the decision.
    pub now: Instant,
}

/// A job, as far as a policy is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// What is made.
    pub profile: &'a ProfileName,
    /// Length of the input.
    pub bytes: u64,
    /// What it costs, in pixels of work; none where nobody has looked at it yet.
    pub work_pixels: Option<u64>,
    /// Until its deadline.
    pub left: Duration,
    /// The bit of [`LoadSample::hardware`] that stands for an encoder in hardware that may do it; 0: none may.
    pub hardware: u8,
}

/// What the deciding node's own desk says.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnDesk {
    /// Its load.
    pub load: LoadSample,
    /// What stands before the job here, without the place that it may hold already.
    pub backlog: Backlog,
    /// How long the job would keep a worker here, once enough like it was done to tell.
    pub service: Option<Duration>,
}

/// A peer that did something wrong lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Avoided {
    /// Its name.
    pub name: NodeName,
    /// Which boot of it; none: all of them.
    pub boot: Option<BootEpoch>,
    /// [`Concern::Unreachable`] or [`Concern::Distrusted`].
    pub concern: Concern,
}

impl Situation<'_> {
    /// How long the job keeps a worker, on any node.
    pub(super) fn work(&self) -> wait::Work {
        wait::Work::new(&self.job, self.own)
    }

    /// How long the job waits for a worker on this node.
    pub(super) fn wait_here(&self) -> Duration {
        match self.own.backlog.wait_ms {
            Some(ms) => Duration::from_millis(ms.into()),
            // The load sample counts the job's own place.
            None => wait::wait_behind(&self.own.load, self.own.backlog.jobs_per_worker_permille),
        }
    }
}

impl Avoided {
    pub(super) fn is(&self, identity: &Identity) -> bool {
        self.name == identity.name && self.boot.is_none_or(|boot| boot == identity.boot)
    }
}
