//! A job on its way through a node, and what becomes of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use starling_overlay::Identity;

use super::Trail;
use crate::content::{ClientTag, MediaInfo};
use crate::http::{ApiError, Deadline};
use crate::profile::Profile;
use crate::route::RouteKind;
use crate::store::{Key, Object, Upload};

/// From an upload's arrival until it is settled whether it is refused.
const SETTLED_WITHIN: Duration = Duration::from_millis(700);
/// The same from the end of its body, where that took long.
const SETTLED_AFTER_BODY: Duration = Duration::from_millis(300);

/// A video that is on this node's disk, and what is to be made of it.
#[derive(Clone)]
pub struct Job {
    /// The video; its file is deleted when the last job that uses it is gone.
    pub upload: Arc<Upload>,
    /// Whose it is: nodes are fair among clients.
    pub client: ClientTag,
    /// What to make.
    pub profile: Arc<Profile>,
    /// By when its request has to be answered.
    pub deadline: Deadline,
    /// How long work on it goes on for requests that came later and wait for the same. Without any it ends with the
    /// request that began it.
    pub limit: Deadline,
    /// What its request leaves for the work, if nothing else stands before it: what its body takes to come, and ffprobe, is
    /// gone whenever it is sent.
    pub time_for_work: Duration,
    /// What ffprobe found in it, once it was asked.
    pub info: Option<Arc<MediaInfo>>,
    /// By when it is settled whether anybody does it, for a job that finds no place: a refusal is to come soon.
    pub settled_by: Instant,
    /// What was done for it, and when.
    pub trail: Trail,
    /// Nodes on which ffprobe or ffmpeg came to grief over it.
    pub(super) crashes: Arc<AtomicU32>,
}

impl Job {
    /// A job of its own for an upload.
    pub fn new(
        upload: Arc<Upload>,
        client: ClientTag,
        profile: Arc<Profile>,
        deadline: Deadline,
        trail: Trail,
    ) -> Self {
        let limit = Deadline { allowed: deadline.allowed * 2, at: deadline.at + deadline.allowed };
        let settled_by = (trail.arrived() + SETTLED_WITHIN).max(Instant::now() + SETTLED_AFTER_BODY);
        let time_for_work = deadline.left();
        Self {
            upload,
            client,
            profile,
            deadline,
            limit,
            time_for_work,
            info: None,
            settled_by,
            trail,
            crashes: Arc::default(),
        }
    }

    /// What it waited for took its time: there is so much more to settle whether anybody does it.
    pub(super) fn settle_within(&mut self, time: Duration) {
        self.settled_by = self.settled_by.max(Instant::now() + time);
    }

    /// What it means that ffprobe or ffmpeg came to grief over it on one more node: that node may be to blame; a second one is
    /// not, and no third one is put at risk.
    pub(super) fn crashed(&self, what: String) -> ApiError {
        match self.crashes.fetch_add(1, Ordering::Relaxed) {
            0 => ApiError::Crashed(what),
            _ => ApiError::Unprocessable(format!("{what}, and it was not the first")),
        }
    }

    /// What its result is called in the cache.
    pub fn key(&self) -> Key {
        Key::new(self.upload.content, &self.profile)
    }
}

/// A finished piece of work, shared by everyone who waited for it.
#[derive(Clone)]
pub struct Done {
    /// The result.
    pub object: Object,
    /// Who transcoded it, or held it.
    pub by: Arc<Identity>,
    /// How far it went.
    pub route: RouteKind,
    /// Whether it was made, or found with a peer.
    pub cache: CacheState,
    /// The candidates and their scores, as they were weighed.
    pub scores: Arc<str>,
}

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
pub struct Served {
    /// The result.
    pub object: Object,
    /// What the cache had to do with it.
    pub cache: CacheState,
    /// Who received the request.
    pub via: Arc<Identity>,
    /// Who transcoded it, or held it.
    pub by: Arc<Identity>,
    /// How far it went.
    pub route: RouteKind,
    /// Bytes of the upload.
    pub bytes_in: u64,
    /// The candidates and their scores, empty for a cache hit.
    pub scores: Arc<str>,
}

impl Served {
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

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.route_text(), self.cache.as_str())
    }
}
