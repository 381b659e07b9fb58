//! One job, as far as it is known here.

use std::time::{Duration, Instant};

use starling_overlay::NodeName;
use tokio::sync::watch;

use crate::content::ContentId;
use crate::dashboard::state::JobState;
use crate::workers::Progress;

/// A job that nothing is heard of for so long is told of no more; one that has no place yet, for so long: an upload that is refused is
/// not told of by its content.
const SILENT_MAX: Duration = Duration::from_secs(600);
const UNPLACED_MAX: Duration = Duration::from_secs(60);

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Placing,
    Waiting,
    Running,
    Sent,
    Done,
    Failed,
    /// Nobody waits for it any more.
    Cancelled,
}

impl Stage {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Placing => "placing",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) content: ContentId,
    pub(super) profile: String,
    pub(super) stage: Stage,
    pub(super) from: Option<NodeName>,
    pub(super) by: Option<NodeName>,
    pub(super) route: Option<&'static str>,
    pub(super) cache: Option<&'static str>,
    pub(super) progress: Option<watch::Receiver<Progress>>,
    pub(super) since: Instant,
    pub(super) heard: Instant,
    pub(super) took: Option<Duration>,
    pub(super) note: Option<String>,
}

impl Entry {
    pub(super) fn new(content: ContentId, profile: &str, now: Instant) -> Self {
        Self {
            content,
            profile: profile.to_owned(),
            stage: Stage::Placing,
            from: None,
            by: None,
            route: None,
            cache: None,
            progress: None,
            since: now,
            heard: now,
            took: None,
            note: None,
        }
    }

    /// It came to an end without a result.
    pub(super) fn fail(&mut self, why: String) {
        self.ends(Stage::Failed);
        self.note = Some(why);
    }

    /// Its time counts no longer.
    pub(super) fn ends(&mut self, stage: Stage) {
        (self.stage, self.progress) = (stage, None);
        self.took.get_or_insert(self.heard - self.since);
    }

    /// A job whose worker is gone without a word, or of which nothing is heard, is over in a way that was not told of.
    pub(super) fn is_told(&self, now: Instant) -> bool {
        let works = self.progress.as_ref().is_some_and(|progress| progress.has_changed().is_ok());
        let silent_max = if self.stage == Stage::Placing { UNPLACED_MAX } else { SILENT_MAX };
        works || now.saturating_duration_since(self.heard) < silent_max
    }

    pub(super) fn told(&self, node: &NodeName, now: Instant) -> JobState {
        let fraction = self.progress.as_ref().and_then(|progress| progress.borrow().fraction);
        JobState {
            node: node.to_string(),
            content: self.content.short(),
            profile: Some(self.profile.clone()),
            state: self.stage.as_str().to_owned(),
            from: self.from.as_ref().map(ToString::to_string),
            by: self.by.as_ref().map(ToString::to_string),
            route: self.route.map(str::to_owned),
            cache: self.cache.map(str::to_owned),
            progress: fraction.filter(|_| self.stage == Stage::Running),
            age_ms: now.saturating_duration_since(self.since).as_millis() as u64,
            took_ms: self.took.map(|took| took.as_millis() as u64),
            note: self.note.clone(),
        }
    }
}
