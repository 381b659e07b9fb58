//! Jobs as the desk knows them: ids and values.

use std::time::{Duration, Instant};

use crate::content::{ClientTag, ContentId};
use crate::error::WorkError;
use crate::profile::ProfileName;

use super::bookings::BookingKey;
use super::speeds::Memo;

/// One job at one desk, from its submission to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(super) u64);

/// One place that is held in the queue, from its grant until a job takes it or it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(pub(super) u64);

/// What the desk has to know of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// Whose it is.
    pub client: ClientTag,
    /// The input.
    pub content: ContentId,
    /// What is made of it.
    pub profile: ProfileName,
    /// What it costs, in pixels of work; 0: not known.
    pub work_pixels: u64,
    /// By when its result is wanted.
    pub deadline: Instant,
}

impl JobSpec {
    pub(super) fn booking_key(&self) -> BookingKey {
        (self.content, self.profile.clone())
    }
}

/// A job of which nothing is known yet but its content.
#[derive(Clone, Copy, Debug)]
pub struct Unseen<'a> {
    /// Whose it is.
    pub client: ClientTag,
    /// The input.
    pub content: ContentId,
    /// What is made of it.
    pub profile: &'a ProfileName,
    /// By when its result is wanted.
    pub deadline: Instant,
}

/// Whether a job that asks for a place may be one that was told to come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// If it was told to, its booking counts.
    Booked,
    /// It stands behind all bookings, its own content's too.
    Newcomer,
}

/// A place that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// To submit the job with, or to release.
    pub reservation: ReservationId,
    /// Whether it is for a job that was told to come at this time.
    pub booked: bool,
    /// A waiting job of a client with many, that gave up its place for this one, and when it may fare better. It has left the desk.
    pub displaced: Option<(JobId, Duration)>,
}

/// Why a job gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many jobs wait as may.
    Full {
        /// How many wait, reservations included.
        waiting: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// By what is known here it can't be done by its deadline.
    TooLate {
        /// Wait and work, as estimated.
        needs: Duration,
        /// Until the deadline.
        left: Duration,
    },
    /// This desk takes nothing more.
    Draining,
}

/// What it means between nodes.
impl From<Refusal> for WorkError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full { retry_after, .. } => Self::Saturated { retry_after },
            // After that long the job would have had the time it needs.
            Refusal::TooLate { needs, left } => Self::Saturated { retry_after: needs.saturating_sub(left) },
            Refusal::Draining => Self::Draining,
        }
    }
}

/// What a worker that is free finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This job begins now.
    Begin(JobId),
    /// This one was its turn, and is not begun: it has left the desk. Ask again.
    Over(JobId, Over),
    /// There is nothing to do until a job comes.
    Idle,
    /// There is nothing to do until then, or until a job comes.
    Later(Duration),
}

/// Why a job is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Its deadline has passed.
    Late,
    /// It still has this much time, and that is too little: others came first, or it was estimated too well. Or nobody waits for it.
    Overtaken(Duration),
}

/// How a job that was begun has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its result.
    Done,
    /// It was ended from outside: nobody waits for it any more, or its deadline has passed.
    Ended,
    /// It failed.
    Failed,
}

/// A job with a worker.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) id: JobId,
    pub(super) job: JobSpec,
    pub(super) since: Instant,
    /// How much of it is done, 0 to 1, as far as it tells.
    pub(super) part: Option<f64>,
    pub(super) memo: Memo,
}

/// A job that waits for one.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: JobId,
    pub(super) job: JobSpec,
    /// From a peer that had it.
    pub(super) came_back: bool,
    /// It was told to come when it came: it gives its place up for nobody.
    pub(super) promised: bool,
    pub(super) memo: Memo,
}

/// What has become of the jobs of a desk since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Begun.
    pub begun: u64,
    /// Ended with a result.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Ended from outside, or never begun: cancelled, too late, displaced.
    pub cancelled: u64,
}
