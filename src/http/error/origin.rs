//! The errors of what a request goes through, as errors of the request.

use std::time::Duration;

use starling_placement::error::WorkError;

use super::{ApiError, MoreTime, PartsError};
use crate::jobs::JobError;
use crate::node::{KeeperError, NotAll, ProfileError, RefusedOffer};
use crate::store::{AppendError, IngestError, NoRoom, is_full};
use crate::uploads::UploadError;

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Empty => Self::EmptyBody,
            IngestError::TooLarge { max } => Self::TooLarge { max },
            IngestError::NotVideo(error) => Self::UnsupportedMedia(error.to_string()),
            IngestError::Body(error) => Self::BodyBroken(error.to_string()),
            IngestError::TimedOut { what, limit } => Self::ClientTooSlow(format!("{what} {limit:.0?}")),
            IngestError::NoRoom(NoRoom::OfClient) => Self::TooMuchIncoming,
            IngestError::NoRoom(NoRoom::OfAll) => Self::IncomingFull,
            IngestError::NoRoom(NoRoom::Ever { max }) => Self::NoRoomEver { max },
            IngestError::DiskFull => Self::DiskFull,
            IngestError::DigestMismatch { announced, got } => {
                Self::DigestMismatch { expected: announced.to_string(), actual: got.to_string() }
            }
            IngestError::Io(error) => Self::Internal(format!("the upload can't be stored: {error}")),
        }
    }
}

impl From<ProfileError> for ApiError {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Unknown { name, known } => Self::UnknownProfile { name, known },
            ProfileError::OtherRecipe { name } => Self::UnknownRecipe { name },
        }
    }
}

impl ApiError {
    /// How work ended, as it is told to a request that was given so much time.
    pub fn ended(error: WorkError, allowed: Duration) -> Self {
        match error {
            WorkError::Saturated { retry_after } => Self::Saturated { retry_after },
            WorkError::Draining => Self::Draining,
            WorkError::TooLate => Self::DeadlinePassed { allowed, more: MoreTime::AsUpload },
            WorkError::TooShort { needs } => {
                Self::DeadlineTooShort { allowed, needs, more: MoreTime::AsUpload }
            }
            WorkError::Unusable { why } => Self::Unprocessable(why),
            WorkError::Crashed { how } => Self::Crashed(how),
            WorkError::Unavailable { profile, lack } => {
                Self::ProfileUnavailable { name: profile.to_string(), lack }
            }
            WorkError::DiskFull => Self::DiskFull,
            WorkError::Fault { what } => Self::Internal(what),
        }
    }

    /// The same of one of several profiles, if it is about one.
    pub fn failed(NotAll { profile, error }: NotAll, allowed: Duration) -> Self {
        let error = Self::ended(error, allowed);
        match profile {
            Some(profile) => error.in_profile(&profile),
            None => error,
        }
    }
}

impl ApiError {
    /// The same of a job: it can't be told to become one.
    #[must_use]
    pub fn of_job(self) -> Self {
        let more = MoreTime::AsJob;
        match self {
            Self::DeadlinePassed { allowed, .. } => Self::DeadlinePassed { allowed, more },
            Self::DeadlineTooShort { allowed, needs, .. } => Self::DeadlineTooShort { allowed, needs, more },
            Self::InProfile { profile, error } => {
                Self::InProfile { profile, error: Box::new(error.of_job()) }
            }
            other => other,
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::TooMany { .. } | JobError::TooManyOfClient { .. } => {
                Self::TooManyJobs(error.to_string())
            }
            JobError::KeyOfAnother => Self::KeyOfAnother,
            JobError::TooManyResults { .. } => Self::CopiesFull(error.to_string()),
            JobError::VideoGone => Self::VideoGone,
            JobError::Busy => Self::JobBusy,
            JobError::Io(io) if is_full(&io) => Self::DiskFull,
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let text = error.to_string();
        match error {
            UploadError::NotFound(_) => PartsError::NotFound(text).into(),
            UploadError::TooMany { .. } | UploadError::TooManyOfClient { .. } => {
                PartsError::TooMany(text).into()
            }
            UploadError::Offset { expected, given } => PartsError::Offset { text, expected, given }.into(),
            UploadError::Complete { .. } => PartsError::Complete(text).into(),
            UploadError::Length { .. } => PartsError::Length(text).into(),
            UploadError::Busy => PartsError::Busy(text).into(),
            UploadError::Append(AppendError::Ingest(error)) => error.into(),
            UploadError::Append(AppendError::Beyond { .. }) => PartsError::Beyond(text).into(),
            UploadError::Append(AppendError::Checksum) => PartsError::Checksum(text).into(),
            UploadError::Append(AppendError::Interrupted) => PartsError::Interrupted(text).into(),
            UploadError::Job(error) => error.into(),
        }
    }
}

impl From<KeeperError> for ApiError {
    fn from(error: KeeperError) -> Self {
        match error {
            KeeperError::Job(error) => error.into(),
            KeeperError::Ingest(error) => error.into(),
            KeeperError::Stranger(_) | KeeperError::Peer(_) => Self::NotCopied(error.to_string()),
            KeeperError::TooManyCompared => Self::BadRequest(error.to_string()),
        }
    }
}

impl From<RefusedOffer> for ApiError {
    fn from(error: RefusedOffer) -> Self {
        match error {
            RefusedOffer::TooMany { max } => Self::TooManyOffers { max },
            RefusedOffer::TooLarge { max } => Self::TooLarge { max },
            RefusedOffer::Profile(error) => error.into(),
            // An offer has no time that could be too short: see `Node::consider`.
            RefusedOffer::Work(error) => Self::ended(error, Duration::ZERO),
        }
    }
}
