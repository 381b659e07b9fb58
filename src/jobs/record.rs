//! What is kept of a job.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;
use starling_placement::error::WorkError;

use super::{JobId, JobNumber, Keeping};
use crate::api::{JobState, NoticeState, Priority};
use crate::content::{ClientTag, ContentId};
use crate::profile::ProfileName;
use crate::store::{Meta, Upload};

/// A job as the journal has it. Fields may be added, with a default: older journals lack them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub number: JobNumber,
    /// The nodes that keep it.
    pub keeping: Keeping,
    /// Whose it is.
    pub client: ClientTag,
    /// What is asked for.
    pub ask: Ask,
    /// The job that it does again, which had failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<JobId>,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// How often work on it was begun. More than once where the node ended meanwhile, or nobody had a place for it.
    pub begun: u32,
    /// How often the node ended while it was at it.
    pub interrupted: u32,
    /// How far it is.
    pub stage: Stage,
    /// The message that says so to its client; none where none is wanted, and before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

/// What became of the message to a client's webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// It is to be sent.
    Pending {
        /// How often it was tried in vain.
        tries: u32,
        /// When it is tried next, in milliseconds since 1970.
        next_ms: u64,
        /// How the last try failed.
        why: Option<String>,
    },
    /// The receiver has it.
    Delivered {
        /// How often it was tried.
        tries: u32,
        /// Since when, in milliseconds since 1970.
        at_ms: u64,
    },
    /// It is given up.
    Dead {
        /// How often it was tried.
        tries: u32,
        /// Since when, in milliseconds since 1970.
        at_ms: u64,
        /// How the last try failed.
        why: String,
    },
}

impl Notice {
    /// Of a job that has ended now.
    pub const fn new(now_ms: u64) -> Self {
        Self::Pending { tries: 0, next_ms: now_ms, why: None }
    }

    /// The word for it.
    pub const fn state(&self) -> NoticeState {
        match self {
            Self::Pending { .. } => NoticeState::Pending,
            Self::Delivered { .. } => NoticeState::Delivered,
            Self::Dead { .. } => NoticeState::Dead,
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// SHA-256 of the video.
    pub content: ContentId,
    /// Its length.
    pub bytes: u64,
    /// What is to become of it.
    #[serde(flatten)]
    pub wish: Wish,
}

/// The same before the video has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What the client calls it.
    pub filename: Option<String>,
    /// What is to be made of it, in the order in which it was asked for.
    pub profiles: Vec<ProfileName>,
    /// Whether a result of a damaged video is a failure.
    pub strict: bool,
    /// What comes first.
    pub priority: Priority,
    /// The time that it may take once it is begun, in milliseconds.
    pub allowed_ms: u64,
    /// The client's own name of the request.
    pub idempotency_key: Option<String>,
    /// The trace that it came in, as a `traceparent`.
    #[serde(default)]
    pub trace: Option<String>,
    /// Where the client wants to be told of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits.
    Queued,
    /// Work on it has begun, at this time in milliseconds since 1970.
    Running {
        /// When.
        since_ms: u64,
    },
    /// It has its results.
    Done {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// One for each profile, in their order.
        outputs: Vec<Output>,
    },
    /// It has none, and will have none.
    Failed {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// Why.
        why: Failure,
    },
    /// Its client did not want it any more.
    Cancelled {
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
}

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// So ended the work, on this one of several profiles, if it is about one.
    #[error("{error}")]
    Work {
        /// Which one.
        profile: Option<ProfileName>,
        /// How.
        error: WorkError,
    },
    /// The video can be read only in part, and that is not wanted.
    #[error("it is damaged or cut off: {damage}; send it whole, or without strict=1 to have what there is")]
    Damaged {
        /// What is lost, in words.
        damage: String,
    },
    /// The node has ended too often while it was at it.
    #[error("its node ended {times} times while it was at it: it may be the video's fault")]
    Interrupted {
        /// How often.
        times: u32,
    },
    /// What the job needs is not there any more.
    #[error("{what}")]
    Lost {
        /// What, and why.
        what: String,
    },
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What it is.
    pub meta: Meta,
    /// The node that made it, or held it.
    pub by: NodeName,
    /// The nodes and zones that the job went through.
    pub route: String,
    /// What the cache had to do with it.
    pub cache: String,
}

impl Record {
    /// When its client is to be told of its end, in milliseconds since 1970; none where it is not, or has been.
    pub const fn notice_due_ms(&self) -> Option<u64> {
        match self.notice {
            Some(Notice::Pending { next_ms, .. }) => Some(next_ms),
            _ => None,
        }
    }

    /// Whether nothing of it changes any more: it has come to its end, and its client was told so, or will not be.
    pub const fn is_settled(&self) -> bool {
        self.stage.state().is_over() && self.notice_due_ms().is_none()
    }

    /// Its name.
    pub fn id(&self) -> JobId {
        JobId { number: self.number, node: self.keeping.taken_by.clone() }
    }
}

impl Wish {
    /// The same of a video that has come.
    pub fn of(self, upload: &Upload) -> Ask {
        Ask { content: upload.content, bytes: upload.bytes, wish: self }
    }
}

impl Ask {
    /// The time that it may take once it is begun.
    pub const fn allowed(&self) -> Duration {
        Duration::from_millis(self.wish.allowed_ms)
    }

    /// Whether it is the same work.
    pub fn is_same_work(&self, other: &Self) -> bool {
        let work = |ask: &Self| (ask.content, ask.wish.strict);
        work(self) == work(other)
            && self.wish.profiles == other.wish.profiles
            && self.wish.webhook == other.wish.webhook
    }
}

impl Stage {
    /// The word for it.
    pub const fn state(&self) -> JobState {
        match self {
            Self::Queued => JobState::Queued,
            Self::Running { .. } => JobState::Running,
            Self::Done { .. } => JobState::Done,
            Self::Failed { .. } => JobState::Failed,
            Self::Cancelled { .. } => JobState::Cancelled,
        }
    }

    /// When it came to its end, in milliseconds since 1970; none before.
    pub const fn ended_ms(&self) -> Option<u64> {
        match self {
            Self::Queued | Self::Running { .. } => None,
            Self::Done { at_ms, .. } | Self::Failed { at_ms, .. } | Self::Cancelled { at_ms } => Some(*at_ms),
        }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The default profile, and nothing else.
    pub(crate) fn wish() -> Wish {
        Wish {
            filename: None,
            profiles: vec!["360p".parse().unwrap()],
            strict: false,
            priority: Priority::Interactive,
            allowed_ms: 1_000,
            idempotency_key: None,
            trace: None,
            webhook: None,
        }
    }

    /// A job of client 1 for a content of this name.
    pub fn record(content: &str) -> Record {
        Record {
            number: JobNumber::of_now(),
            keeping: Keeping::by("node1".parse().unwrap()),
            client: ClientTag(1),
            ask: Ask { content: ContentId::of(content.as_bytes()), bytes: 7, wish: wish() },
            retry_of: None,
            accepted_ms: 1,
            begun: 0,
            interrupted: 0,
            stage: Stage::Queued,
            notice: None,
        }
    }

    #[test]
    fn a_record_of_each_stage_goes_there_and_back() {
        for stage in [Stage::Queued, Stage::Running { since_ms: 1 }, Stage::Cancelled { at_ms: 2 }] {
            let record = Record { stage, ..record("a") };
            let json = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
        }
    }
}
