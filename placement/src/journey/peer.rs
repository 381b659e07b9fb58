use std::time::Duration;

use crate::error::WorkError;

/// What a peer did wrong, from the mildest to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No connection, a broken one, or no answer.
    Unreachable,
    /// It took a job, and did not do it: it refused it then, or was not done when another node was long since.
    Reneged,
    /// Its result does not fit to what the input says of itself.
    Doubtful,
    /// It took a job, and then nothing moved.
    Stalled,
    /// It said of a video that it can't be used, and another node made it.
    Contradicted,
    /// Its answer does not prove to come from a member.
    Unproven,
    /// Its result is not what was asked for.
    Lied,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unreachable,
        Self::Reneged,
        Self::Doubtful,
        Self::Stalled,
        Self::Contradicted,
        Self::Unproven,
        Self::Lied,
    ];

    /// The word in the log and the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Reneged => "reneged",
            Self::Doubtful => "doubtful",
            Self::Stalled => "stalled",
            Self::Contradicted => "contradicted",
            Self::Unproven => "unproven",
            Self::Lied => "lied",
        }
    }
}

/// Why a peer did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It said no; another node may say yes.
    #[error("refused: {reason}")]
    Refused {
        /// Its words, for the log.
        reason: String,
        /// When it expects a place, if it said.
        retry_after: Option<Duration>,
    },
    /// No connection, a broken one, or no answer: the peer may be dead.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It was not asked: it did something wrong a moment ago.
    #[error("not asked: {0}")]
    Avoided(String),
    /// It did something wrong, which is held against it.
    #[error("{}: {seen}", fault.as_str())]
    Faulty {
        /// What kind of wrong.
        fault: Fault,
        /// What was seen of it.
        seen: String,
    },
    /// What it sent can't be taken or looked at, by this node's own fault.
    #[error("not taken here: {0}")]
    NotTaken(String),
    /// How the work ended there, where that concerns whoever asked for it: see [`WorkError::is_of_the_job`].
    #[error(transparent)]
    Ended(#[from] WorkError),
}
