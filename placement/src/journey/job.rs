//! A job on its way through a node, and what becomes of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use starling_overlay::Identity;

use super::{Facts, Things, TimeBudget, Timings};
use crate::content::{ClientTag, ContentId, Key};
use crate::desk::Backlog;
use crate::error::WorkError;
use crate::policy::{Demand, RouteKind};

/// A video that is on this node, and what is to be made of it.
pub struct Job<P: Things> {
    /// What its result is called.
    pub key: Key,
    /// Length of the video.
    pub bytes: u64,
    /// Whose it is: nodes are fair among clients.
    pub client: ClientTag,
    /// The time of its request.
    pub budget: TimeBudget,
    /// The bit of [`starling_overlay::LoadSample::hardware`] that stands for an encoder in hardware that may do it; 0: none may.
    pub hardware: u8,
    /// What was found in the video, once it was looked at.
    pub facts: Option<P::Facts>,
    /// What was done for it, and when.
    pub timings: Timings,
    /// The video itself, and what is to be made of it, as the node has them.
    pub input: P::Input,
    /// Nodes on which a tool came to grief over it.
    crashes: Arc<AtomicU32>,
}

impl<P: Things> Clone for Job<P> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            bytes: self.bytes,
            client: self.client,
            budget: self.budget,
            hardware: self.hardware,
            facts: self.facts.clone(),
            timings: self.timings.clone(),
            input: self.input.clone(),
            crashes: Arc::clone(&self.crashes),
        }
    }
}

impl<P: Things> Job<P> {
    /// A job for a video that has come.
    pub fn new(
        (key, bytes): (Key, u64),
        client: ClientTag,
        mut budget: TimeBudget,
        timings: Timings,
        input: P::Input,
    ) -> Self {
        budget.received();
        Self { key, bytes, client, budget, hardware: 0, facts: None, timings, input, crashes: Arc::default() }
    }

    /// The job as a routing policy sees it.
    pub(super) fn demand(&self) -> Demand<'_> {
        Demand {
            profile: &self.key.profile,
            bytes: self.bytes,
            work_pixels: self.facts.as_ref().map(Facts::work_pixels),
            left: self.budget.left(),
            hardware: self.hardware,
        }
    }

    /// The video's name.
    pub const fn content(&self) -> ContentId {
        self.key.content
    }

    /// What it means that a tool came to grief over it on one more node: that node may be to blame; a second one is
    /// not, and no third one is put at risk.
    pub(super) fn crashed(&self, how: String) -> WorkError {
        match self.crashes.fetch_add(1, Ordering::Relaxed) {
            0 => WorkError::Crashed { how },
            _ => WorkError::Unusable { why: format!("{how}, and it was not the first") },
        }
    }
}

/// All that a peer is told of a job before it takes it.
#[derive(Clone, Debug)]
pub struct Proposal<F> {
    /// What the result is called.
    pub key: Key,
    /// Length of the video.
    pub bytes: u64,
    /// Whose it is.
    pub client: ClientTag,
    /// The time of its request.
    pub budget: TimeBudget,
    /// What was found in the video; none where nobody has looked yet.
    pub facts: Option<F>,
    /// What stands before the job here, where the peer is to compare.
    pub backlog: Option<Backlog>,
}

impl<F: Clone> Proposal<F> {
    pub(super) fn new<P: Things<Facts = F>>(job: &Job<P>, backlog: Option<Backlog>) -> Self {
        let Job { key, bytes, client, budget, facts, .. } = job;
        let (bytes, client, budget) = (*bytes, *client, *budget);
        Self { key: key.clone(), bytes, client, budget, facts: facts.clone(), backlog }
    }
}

/// A finished piece of work, shared by all requests that waited for it.
#[derive(Clone, Debug)]
pub struct Done<O> {
    /// The result.
    pub object: O,
    /// The node that transcoded it, or held it.
    pub by: Arc<Identity>,
    /// How far it went.
    pub route: RouteKind,
    /// Whether it was made, or found with a peer.
    pub cache: CacheState,
    /// The candidates and their scores, as they were weighed.
    pub scores: Arc<str>,
}

/// How a piece of work ended, for all requests that waited for it.
pub type Outcome<O> = Result<Done<O>, WorkError>;

/// What the cache had to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheState {
    /// The result was there.
    Hit,
    /// It was made for this request.
    Miss,
    /// It was being made for another request already.
    Joined,
}

impl CacheState {
    /// The word in the X-Cache header, the log and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Joined => "joined",
        }
    }
}

/// A request's answer and where it came from.
#[derive(Clone)]
pub struct Served<O> {
    /// The result.
    pub object: O,
    /// What the cache had to do with it.
    pub cache: CacheState,
    /// The node that received the request.
    pub via: Arc<Identity>,
    /// The node that transcoded it, or held it.
    pub by: Arc<Identity>,
    /// How far it went.
    pub route: RouteKind,
    /// Bytes of the upload.
    pub bytes_in: u64,
    /// The candidates and their scores, empty for a cache hit.
    pub scores: Arc<str>,
}

impl<O> Served<O> {
    /// A result that was here.
    pub fn hit(here: &Arc<Identity>, bytes_in: u64, object: O) -> Self {
        Self {
            object,
            cache: CacheState::Hit,
            via: Arc::clone(here),
            by: Arc::clone(here),
            route: RouteKind::Local,
            bytes_in,
            scores: "".into(),
        }
    }

    /// The X-Route header's value: the nodes and zones that the job went through.
    pub fn route_text(&self) -> String {
        let hop = |node: &Identity| format!("{}/{}", node.name, node.zone);
        match self.route {
            RouteKind::Local => hop(&self.via),
            RouteKind::SameRegion | RouteKind::CrossRegion => {
                format!("{} -> {}", hop(&self.via), hop(&self.by))
            }
        }
    }
}

impl<O> fmt::Debug for Served<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.route_text(), self.cache.as_str())
    }
}
