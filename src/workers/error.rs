use std::io;
use std::time::Duration;

use starling_placement::desk::Refusal;
use starling_placement::error::WorkError;

use super::probe::ProbeError;
use crate::profile::Unsuitable;

/// Why a job was not taken. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// As many jobs wait as may.
    #[error("the queue is full with {queued} jobs: try again in {retry_after:?}, or another node")]
    QueueFull {
        /// How many wait.
        queued: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// By what is known here it can't be done by its deadline.
    #[error("it would take {needs:?}, and {left:?} are left: try another node, or allow more time")]
    TooLate {
        /// Wait and work, as estimated.
        needs: Duration,
        /// Until the deadline.
        left: Duration,
    },
    /// The pool takes nothing more.
    #[error("this node is shutting down: try another")]
    Draining,
    /// The profile can't be made of this input.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The system refused what a job needs.
    #[error("the job can't be set up: {0}")]
    Io(#[from] io::Error),
}

impl From<Refusal> for SubmitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { waiting: queued, retry_after } => Self::QueueFull { queued, retry_after },
            Refusal::TooLate { needs, left } => Self::TooLate { needs, left },
            Refusal::Draining => Self::Draining,
        }
    }
}

/// Why a job that was taken has no result. Nothing of it stays on disk.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// Its deadline passed; if ffmpeg ran, it was killed.
    #[error("the deadline passed {}", if *.running { "while ffmpeg ran" } else { "in the queue" })]
    DeadlinePassed {
        /// Whether it had come out of the queue.
        running: bool,
    },
    /// Nobody waits for it any more.
    #[error("cancelled")]
    Cancelled,
    /// It waited, and its place was the turn of another client with less, or there is no time left for it. Nothing was begun.
    #[error("other clients' jobs come first: try again in {retry_after:.1?}")]
    Overtaken {
        /// When it may fare better.
        retry_after: Duration,
    },
    /// The pool is being shut down; the job is to be run elsewhere.
    #[error("this node is shutting down: run it on another")]
    Draining,
    /// ffmpeg can't make anything of the input.
    #[error("{reason}")]
    Refused {
        /// In words for the client.
        reason: String,
    },
    /// The input is shorter than it says: cut off or damaged.
    #[error("it is damaged or cut off: {got:.1?} of {expected:.1?} could be read")]
    Incomplete {
        /// What the input says.
        expected: Duration,
        /// What could be made of it.
        got: Duration,
    },
    /// The input plays for longer than it says, and than is allowed.
    #[error("it says that it plays for {says:.1?}, and plays for more than {max:?}, this node's limit")]
    TooLong {
        /// What the input says.
        says: Duration,
        /// The limit.
        max: Duration,
    },
    /// What the profile is made of is not in the input, though its index says so.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The input turns out larger than it says, and a job costs what its input says.
    #[error("it is larger than it says: {what}")]
    LargerThanSaid {
        /// In which way.
        what: String,
    },
    /// ffmpeg has found no picture in the input.
    #[error("it has no picture that can be decoded")]
    NoPicture,
    /// The result would be bigger than allowed.
    #[error("the result is over the limit of {max} bytes")]
    OutputTooLarge {
        /// The limit.
        max: u64,
    },
    /// It needs more memory than a child gets, or than the node has.
    #[error("it needs more memory than the {max} bytes that one job gets, or than this node has")]
    OutOfMemory {
        /// The limit.
        max: u64,
    },
    /// No room on this node's disk.
    #[error("this node's disk is full")]
    DiskFull,
    /// ffmpeg came to grief. The input may have made it, or this node: another node can tell.
    #[error("ffmpeg crashed ({status}): {stderr}")]
    Crashed {
        /// How.
        status: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// ffmpeg had stopped working, and was killed. The input may have made it, or this node: another node can tell.
    #[error("ffmpeg hung and was killed, after {cpu:?} of CPU")]
    Hung {
        /// What it had used.
        cpu: Duration,
    },
    /// ffmpeg was killed, could not be run, or failed for want of what the node has to give.
    #[error("ffmpeg failed by this node's fault ({status}): {stderr}")]
    Failed {
        /// How.
        status: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// ffprobe, which looks at the result, failed by this node's fault.
    #[error(transparent)]
    Unverified(ProbeError),
    /// ffmpeg said that it was done, and what it left is not what was asked for.
    #[error("ffmpeg's result is not usable: {reason}")]
    BadOutput {
        /// Why.
        reason: String,
    },
    /// The system refused something.
    #[error("the job can't be run on this node: {0}")]
    Io(#[source] io::Error),
}

impl TranscodeError {
    /// One word, for the stream of events and the metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DeadlinePassed { .. } => "deadline-passed",
            Self::Cancelled => "cancelled",
            Self::Overtaken { .. } => "overtaken",
            Self::Draining => "draining",
            Self::Refused { .. }
            | Self::Incomplete { .. }
            | Self::TooLong { .. }
            | Self::Unsuitable(_)
            | Self::LargerThanSaid { .. }
            | Self::NoPicture
            | Self::OutputTooLarge { .. } => "unusable",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::DiskFull => "disk-full",
            Self::Crashed { .. } => "crashed",
            Self::Hung { .. } => "hung",
            Self::Failed { .. } => "failed",
            Self::Unverified(_) => "unverified",
            Self::BadOutput { .. } => "bad-output",
            Self::Io(_) => "io",
        }
    }

    /// Whether the input is to blame: then no other node will do better.
    pub const fn is_input_fault(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Incomplete { .. }
                | Self::TooLong { .. }
                | Self::Unsuitable(_)
                | Self::LargerThanSaid { .. }
                | Self::NoPicture
                | Self::OutputTooLarge { .. }
        )
    }

    /// Whether it has nothing to do with how the result was made: time is up, nobody waits, or there is no room for it.
    pub(super) const fn is_of_the_hour(&self) -> bool {
        matches!(
            self,
            Self::DeadlinePassed { .. }
                | Self::Cancelled
                | Self::Overtaken { .. }
                | Self::Draining
                | Self::DiskFull
                | Self::LargerThanSaid { .. }
                | Self::Io(_)
        )
    }

    /// Whether ffmpeg, or this node itself, did what it should not: somebody has to look into it.
    pub const fn is_tool_fault(&self) -> bool {
        matches!(
            self,
            Self::Crashed { .. }
                | Self::Hung { .. }
                | Self::OutOfMemory { .. }
                | Self::Failed { .. }
                | Self::Unverified(_)
                | Self::BadOutput { .. }
                | Self::Io(_)
        )
    }
}

impl From<io::Error> for TranscodeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

impl From<ProbeError> for WorkError {
    fn from(error: ProbeError) -> Self {
        match error {
            // What ffprobe or the system says in such a case is for the log: it may tell of the node's inside.
            ProbeError::Crashed { how, .. } => Self::Crashed { how: format!("ffprobe {how} on a node") },
            ProbeError::Tool(_) => Self::fault("ffprobe could not look at it on this node"),
            error => Self::unusable(error.to_string()),
        }
    }
}

impl From<SubmitError> for WorkError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QueueFull { retry_after, .. } => Self::Saturated { retry_after },
            // After that long the job would have had the time it needs.
            SubmitError::TooLate { needs, left } => {
                Self::Saturated { retry_after: needs.saturating_sub(left) }
            }
            SubmitError::Draining => Self::Draining,
            SubmitError::Unsuitable(error) => Self::unusable(error.to_string()),
            SubmitError::Io(error) => Self::fault(format!("a job can't be set up: {error}")),
        }
    }
}

impl From<TranscodeError> for WorkError {
    fn from(error: TranscodeError) -> Self {
        match error {
            TranscodeError::DeadlinePassed { .. } => Self::TooLate,
            TranscodeError::Overtaken { retry_after } => Self::Saturated { retry_after },
            TranscodeError::Draining => Self::Draining,
            TranscodeError::DiskFull => Self::DiskFull,
            error if error.is_input_fault() => Self::unusable(error.to_string()),
            // What ffmpeg or the system says in such a case is for the log: it may tell of the node's inside.
            TranscodeError::Crashed { status, .. } => {
                Self::Crashed { how: format!("ffmpeg crashed ({status}) on a node") }
            }
            TranscodeError::Hung { .. } => Self::Crashed { how: "ffmpeg hung on a node".to_owned() },
            TranscodeError::OutOfMemory { .. } => Self::Crashed { how: error.to_string() },
            TranscodeError::Failed { status, .. } => {
                Self::fault(format!("ffmpeg failed on this node ({status})"))
            }
            TranscodeError::Unverified(_) => Self::fault("the result could not be looked at on this node"),
            TranscodeError::Io(_) => Self::fault("the job could not be run on this node"),
            error => Self::fault(error.to_string()),
        }
    }
}
