//! What happens to jobs, as log lines and counters: the one place where both are made.

use starling_overlay::NodeName;
use starling_placement::content::ContentId;
use starling_placement::journey::{Event, Timings, What};

use super::{Node, Served};
use crate::profile::Profile;

impl Node {
    /// Takes note of what happened to a job on its way.
    pub(super) fn note(&self, Event { content, what }: &Event) {
        match what {
            What::Stalled { .. } | What::Slow { .. } => self.metrics.hedge_begun(),
            What::HedgeWon => self.metrics.hedge_won(),
            _ => {}
        }
        log_of_home(content, what);
        log_of_attempt(content, what);
    }

    /// An upload was answered with a result.
    pub fn log_served(&self, served: &Served, profile: &Profile, timings: &Timings) {
        let elapsed = timings.elapsed();
        self.metrics.served(served, elapsed);
        tracing::info!(
            route = served.route.as_str(),
            via = %served.route_text(),
            served_by = %served.by.name,
            cache = served.cache.as_str(),
            profile = %profile.name,
            scores = %served.scores,
            bytes_in = served.bytes_in,
            bytes_out = served.object.bytes(),
            trail = %timings,
            elapsed_ms = elapsed.as_millis() as u64,
            "upload served"
        );
    }

    /// An upload was answered with an error of this status, in these words.
    pub fn log_refused(&self, status: u16, error: &dyn std::fmt::Display, timings: &Timings) {
        self.metrics.refused(status);
        let elapsed_ms = timings.elapsed().as_millis() as u64;
        if status >= 500 {
            tracing::warn!(status, %error, trail = %timings, elapsed_ms, "upload refused");
        } else {
            tracing::info!(status, %error, trail = %timings, elapsed_ms, "upload refused");
        }
    }
}

/// What a content's home says, and what other nodes do that are at the same.
fn log_of_home(content: &ContentId, what: &What) {
    match what {
        What::Joined => tracing::debug!(%content, "joins work under way"),
        What::HomeAsked { home } => tracing::debug!(%content, %home, "asking the content's home"),
        What::HomeSilent { home, error } => {
            tracing::debug!(%home, %error, "the content's home does not answer: working without it");
        }
        What::HedgedHere { by, seen } => {
            tracing::info!(%content, %by, seen, "not done elsewhere for long: made here as well");
        }
        What::NotWaitedFor { home, by, seen } => {
            tracing::info!(%content, %home, %by, seen, "not waited for any longer");
        }
        What::HedgeFailed { error } => {
            tracing::info!(%content, %error, "not made here as well: waiting on");
        }
        What::NotFetched { peer, error } => {
            tracing::info!(%peer, %error, "a held result could not be fetched");
        }
        What::LeaseRenewed { home, failed } => {
            tracing::debug!(%content, %home, ?failed, "lease renewed");
        }
        What::LeaseEndUntold { home, error } => tracing::debug!(%home, %error, "a lease's end was not told"),
        _ => {}
    }
}

/// What candidates do, this node among them.
fn log_of_attempt(content: &ContentId, what: &What) {
    match what {
        What::Ranked { scores } => tracing::debug!(%content, %scores, "candidates ranked"),
        What::Refused { peer, reason, taken } => log_refusal(content, peer, reason, *taken),
        What::Lost { peer, reason } => tracing::info!(%content, %peer, reason, "peer lost: next candidate"),
        What::ResultNotTaken { peer, error } => {
            tracing::info!(%content, %peer, %error, "peer's result not taken: next candidate");
        }
        What::FailedHere { error } => {
            tracing::error!(%content, %error, "can't do it here: next candidate");
        }
        What::Crashed { error } => tracing::warn!(%content, %error, "one more node may try"),
        What::Stalled { peer, seen } => {
            tracing::info!(%content, %peer, seen, "job stalled on a peer: tried elsewhere as well");
        }
        What::Slow { peer } => {
            tracing::info!(%content, %peer, "job takes a peer long: tried elsewhere as well");
        }
        What::StragglerFailed { error } => {
            tracing::debug!(%error, "a job that stalled on a peer came to nothing there");
        }
        _ => {}
    }
}

fn log_refusal(content: &ContentId, peer: &NodeName, reason: &str, taken: bool) {
    if taken {
        tracing::warn!(%content, %peer, reason, "peer failed at it: next candidate");
    } else {
        tracing::info!(%content, %peer, reason, "offer refused: next candidate");
    }
}
