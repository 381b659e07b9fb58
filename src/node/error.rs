//! Why a node does not do what it is asked. What a client or a peer is told of it is decided where it is answered.

use starling_placement::error::WorkError;

use crate::api::OfferId;
use crate::offload::TakeError;
use crate::profile::ProfileName;
use crate::store::IngestError;

/// Why there is no such profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// None of this name.
    #[error("unknown profile {name:?}: use one of {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A peer asks for one that is not known here, or says something else here.
    #[error("profile {name:?} is not known here, or with another recipe")]
    OtherRecipe {
        /// What was asked for.
        name: String,
    },
}

/// Why an offer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedOffer {
    /// This address has as many offers held here as it may.
    #[error("this address has {max} offers held here")]
    TooMany {
        /// How many it may have.
        max: u32,
    },
    /// The video is larger than this node takes.
    #[error("the video is larger than this node takes: at most {max} bytes")]
    TooLarge {
        /// The cap in bytes.
        max: u64,
    },
    /// Its profile is not to be had here.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// There is no place for it, or it can't be made here.
    #[error(transparent)]
    Work(#[from] WorkError),
}

impl RefusedOffer {
    /// One word, for the stream of events and the metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too-many",
            Self::TooLarge { .. } => "too-large",
            Self::Profile(_) => "profile",
            Self::Work(error) => error.code(),
        }
    }
}

/// Why a peer's job has no result.
#[derive(Debug, thiserror::Error)]
pub enum PeersJobError {
    /// Its offer is not held here.
    #[error("offer {id}: {error}")]
    Offer {
        /// Which one.
        id: OfferId,
        /// Why.
        error: TakeError,
    },
    /// Its profile is not to be had here any more.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Its video did not come.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// How the work ended.
    #[error(transparent)]
    Work(#[from] WorkError),
}

/// Why one of several profiles that were asked for at once is not answered, and so none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAll {
    /// Which one; none: it is the same for all.
    pub profile: Option<ProfileName>,
    /// Why.
    pub error: WorkError,
}

impl From<WorkError> for NotAll {
    fn from(error: WorkError) -> Self {
        Self { profile: None, error }
    }
}
