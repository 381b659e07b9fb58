//! Jobs as clients see them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use starling_overlay::NodeName;
use utoipa::ToSchema;

use super::Problem;
use crate::content::{ClientTag, ContentId};
use crate::jobs::JobId;
use crate::profile::ProfileName;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn, or for a node that has a place.
    Queued,
    /// A node is at it.
    Running,
    /// It has its results.
    Done,
    /// It has none, and will have none.
    Failed,
    /// Its client did not want it any more.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing of it changes any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:.80}: no state of a job; there are {all}")
        })
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the message to a client's webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It is to be sent, again or for the first time.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It is given up.
    Dead,
}

impl FromStr for NoticeState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pending" => Ok(Self::Pending),
            "delivered" => Ok(Self::Delivered),
            "dead" => Ok(Self::Dead),
            _ => Err(format!("{text:.80}: no state of a webhook; there are pending, delivered, dead")),
        }
    }
}

/// What became of the message to a job's webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeJson {
    /// Where it goes.
    pub url: String,
    /// What became of it; none before the job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NoticeState>,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<u64>,
    /// How the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Which jobs come first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody does: whenever nothing interactive waits.
    Batch,
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "interactive" => Ok(Self::Interactive),
            "batch" => Ok(Self::Batch),
            _ => Err(format!("{text:.80}: no priority; give interactive or batch")),
        }
    }
}

/// A job: the answer of `GET /jobs/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobJson {
    /// Its name.
    #[schema(value_type = String)]
    pub id: JobId,
    /// How far it is.
    pub state: JobState,
    /// The node that holds it: the one that took it, or that took it over from there.
    #[schema(value_type = String)]
    pub node: NodeName,
    /// The nodes that keep it, that one first: two, or one while there is no other that could have a copy.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub kept_at: Vec<NodeName>,
    /// The job that it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub retry_of: Option<JobId>,
    /// SHA-256 of the video.
    #[schema(value_type = String)]
    pub content: ContentId,
    /// Length of the video.
    pub bytes: u64,
    /// What the client calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// What is to be made of it.
    #[schema(value_type = Vec<String>)]
    pub profiles: Vec<ProfileName>,
    /// What comes first.
    pub priority: Priority,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// When work on it was begun the last time; none while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// How often work on it was begun.
    pub begun: u32,
    /// How often its node ended while it was at it.
    pub interrupted: u32,
    /// What it waits for; while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<JobWait>,
    /// How far the work is, and who does it; while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    /// Its results, one for each profile in their order; once it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputJson>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The message that tells its client of its end, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<NoticeJson>,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobWait {
    /// Why it is not begun.
    pub why: WaitReason,
    /// How many jobs of its node are begun before it; none where it is in no line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// When it is begun again, in milliseconds since 1970; where no node had a place for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Why a job is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// As many jobs run as the cluster has workers, and others come first.
    Turn,
    /// No node had a place for it: it is tried again.
    NoPlace,
    /// Its node takes no work, or is shutting down.
    Resting,
    /// Its node has begun anew, and first asks whether another one has taken the job over; or the job changes at this moment.
    Settling,
}

/// Where the work on one profile of a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPart {
    /// What is made.
    #[schema(value_type = String)]
    pub profile: ProfileName,
    /// How far it is.
    pub state: PartState,
    /// The node that has it to do; none while none has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worker: Option<NodeName>,
    /// The nodes and zones that the job goes through to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Of this profile, 0 to 100; none while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// How far the work on one profile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// A node for it is looked for.
    Placing,
    /// A node has it, and it waits for a worker there.
    Waiting,
    /// A worker is at it.
    Running,
    /// Its result is there.
    Done,
}

impl PartState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placing => "placing",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
        }
    }
}

impl WaitReason {
    /// In words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Turn => "waits for its turn",
            Self::NoPlace => "no node had a place for it: tried again",
            Self::Resting => "its node takes no work now",
            Self::Settling => "its node finds out whether it is still the one to do it",
        }
    }
}

/// How far the work on a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobProgress {
    /// Of the whole, 0 to 100; none while that is not known. Each profile counts the same: one that is not begun is nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Pictures encoded a second of the profiles under way, since the job was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Playing time encoded in a second, of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Seconds until it is likely to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<f64>,
    /// Whether all of it that is not done waits for a worker.
    pub waits: bool,
    /// The work on each profile, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<JobPart>,
}

/// A result of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputJson {
    /// What it is.
    #[schema(value_type = String)]
    pub profile: ProfileName,
    /// Where it is fetched, from any node.
    pub href: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    #[schema(value_type = String)]
    pub sha256: ContentId,
    /// Content-Type.
    pub media_type: String,
    /// File name extension, without the dot.
    pub extension: String,
    /// The node that made it, or held it.
    #[schema(value_type = String)]
    pub served_by: NodeName,
    /// The nodes and zones that the job went through.
    pub route: String,
    /// What the cache had to do with it.
    pub cache: String,
    /// What of the video could not be read, as the header X-Input-Damage has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// Some jobs: the answer of `GET /jobs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobsJson {
    /// The newest first.
    pub jobs: Vec<JobJson>,
    /// Where the next page begins, as `?after=`; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<JobId>,
    /// Nodes that did not answer, or are dead: jobs that they alone keep are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<NodeName>,
}

/// What one node asks another one about jobs that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum JobQuestion {
    /// One of them.
    Show {
        /// Which.
        id: JobId,
    },
    /// One of them is not wanted any more, or is to be forgotten.
    Cancel {
        /// Which.
        id: JobId,
    },
    /// One that failed or was cancelled is to be done again.
    Retry {
        /// Which.
        id: JobId,
        /// The time that it may take now, in milliseconds; none: as much as before.
        #[serde(default)]
        allowed_ms: Option<u64>,
    },
    /// Some of them, the newest first.
    List(JobFilter),
}

/// Which jobs are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilter {
    /// This client's alone; none: everybody's.
    pub client: Option<ClientTag>,
    /// In this state alone.
    pub state: Option<JobState>,
    /// With a message to a webhook of which this has become alone.
    #[serde(default)]
    pub webhook: Option<NoticeState>,
    /// Older than this one alone.
    pub after: Option<JobId>,
    /// So many at the most.
    pub limit: u16,
}

/// The answer to a [`JobQuestion`]: none where there is no such job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobAnswer {
    /// The jobs.
    pub jobs: Vec<JobJson>,
    /// Of a job that is to be done again: it was accepted before this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before: bool,
    /// Why it is not done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Problem>,
}
