//! Events as log lines. Tests and scripts read their messages and fields: those stay as they are.

use std::time::Instant;

use parking_lot::Mutex;
use starling_overlay::NodeName;
use starling_placement::journey::What;
use starling_placement::standing::Avoidance;

use super::refusals::{Line, Refusals};
use super::{Departure, NodeEvent};
use crate::content::ContentId;

/// Problems of an upload that its node is to blame for.
const NODE_FAULTS: [&str; 4] = ["crashed", "disk-full", "internal", "interrupted"];

/// Writes the line of an event, if it has one.
pub(super) fn line(event: &NodeEvent<'_>, refusals: &Mutex<Refusals>) {
    match event {
        NodeEvent::MembershipMissed { events } => {
            tracing::warn!(events, "changes of the membership came too fast to be told one by one");
        }
        NodeEvent::Job { key, what } => {
            of_home(&key.content, what);
            of_attempt(&key.content, what);
        }
        NodeEvent::UploadServed { .. } => of_served_upload(event),
        NodeEvent::UploadRefused { problem, .. } => {
            let line = refusals.lock().refused(Instant::now(), problem);
            if let Line::Say { unsaid } = line {
                of_refused_upload(event, unsaid);
            }
        }
        NodeEvent::OfferExpired { from, content, profile } => {
            tracing::info!(%from, %content, %profile, "an accepted offer's body never came");
        }
        NodeEvent::PeersJobDone { from, content, profile, served, .. } => tracing::info!(
            %from,
            %content,
            %profile,
            cache = served.cache.as_str(),
            bytes_in = served.bytes_in,
            bytes_out = served.object.bytes(),
            "job done for a peer"
        ),
        NodeEvent::PeersJobFailed { error, .. } => tracing::info!(%error, "could not do a job for a peer"),
        NodeEvent::Withdrawn { content, why: Departure::Displaced, .. } => {
            tracing::info!(%content, "a waiting job makes room for another client's");
        }
        NodeEvent::NotMade { content, profile, error, .. } if error.is_tool_fault() => {
            tracing::warn!(%content, %profile, %error, "no result");
        }
        NodeEvent::Evicted { .. } | NodeEvent::ResultDamaged { .. } | NodeEvent::NotCached { .. } => {
            of_cache(event);
        }
        NodeEvent::PeerFault { peer, seen, avoidance: Some(avoidance), .. } => {
            let Avoidance { fault, faults, strikes, pause } = avoidance;
            tracing::warn!(
                peer = %peer.name,
                http = %peer.http(),
                fault = fault.as_str(),
                seen,
                times = faults,
                strikes,
                avoided_s = pause.as_secs(),
                "a peer is avoided"
            );
        }
        NodeEvent::PeerFault { peer, fault, seen, avoidance: None } => {
            let (peer, fault) = (&peer.name, fault.as_str());
            tracing::debug!(%peer, fault, seen, "a peer's fault, told of before or forgiven");
        }
        NodeEvent::JobAccepted { id, content } => tracing::info!(job = %id, %content, "job accepted"),
        NodeEvent::JobTakenOver { id, content, term } => {
            tracing::info!(job = %id, %content, term, "job taken over");
        }
        NodeEvent::JobEnded { id, content, state, .. } => {
            tracing::info!(job = %id, %content, state = state.as_str(), "job ended");
        }
        NodeEvent::WorkModeChanged { mode, before } => {
            tracing::info!(mode = mode.as_str(), before = before.as_str(), "work mode changed");
        }
        NodeEvent::PolicyChanged { policy, before } => {
            let (load_weight, rtt_weight) = (policy.weights.load(), policy.weights.rtt());
            let (before, policy) = (before.kind.as_str(), policy.kind.as_str());
            tracing::info!(policy, before, load_weight, rtt_weight, "routing policy changed");
        }
        NodeEvent::Leaving { bound, running } => {
            tracing::info!(bound_s = bound.as_secs(), running, "shutting down");
        }
        // Lines of the membership are the overlay's own: src/driver/log.rs there.
        NodeEvent::Membership(_)
        | NodeEvent::OfferAccepted { .. }
        | NodeEvent::OfferRefused { .. }
        | NodeEvent::Enqueued { .. }
        | NodeEvent::Withdrawn { .. }
        | NodeEvent::Begun { .. }
        | NodeEvent::Made { .. }
        | NodeEvent::NotMade { .. } => {}
    }
}

fn of_served_upload(event: &NodeEvent<'_>) {
    let NodeEvent::UploadServed { served, profile, timings, .. } = event else { return };
    tracing::info!(
        route = served.route.as_str(),
        via = %served.route_text(),
        served_by = %served.by.name,
        cache = served.cache.as_str(),
        profile = %profile,
        scores = %served.scores,
        bytes_in = served.bytes_in,
        bytes_out = served.object.bytes(),
        trail = %timings,
        elapsed_ms = timings.elapsed().as_millis() as u64,
        "upload served"
    );
}

/// At WARN is what the node is to blame for, and not what clients ask of it. `unsaid`: like it, before it and without a line.
fn of_refused_upload(event: &NodeEvent<'_>, unsaid: u64) {
    let NodeEvent::UploadRefused { status, problem, error, timings, .. } = event else { return };
    let elapsed_ms = timings.elapsed().as_millis() as u64;
    if NODE_FAULTS.contains(problem) {
        tracing::warn!(status, problem, %error, trail = %timings, elapsed_ms, unsaid, "upload refused");
    } else {
        tracing::info!(status, problem, %error, trail = %timings, elapsed_ms, unsaid, "upload refused");
    }
}

/// In the end: refusals that got no line.
pub(super) fn unsaid_refusals(refusals: &Mutex<Refusals>) {
    for (problem, unsaid) in refusals.lock().rest() {
        tracing::info!(problem, unsaid, "uploads refused, not told of one by one");
    }
}

fn of_cache(event: &NodeEvent<'_>) {
    match event {
        NodeEvent::Evicted { entry, .. } => tracing::debug!(entry, "evicted"),
        NodeEvent::ResultDamaged { entry, error } => {
            tracing::warn!(entry, %error, "a cached result is damaged: removed, to be made anew");
        }
        NodeEvent::NotCached { entry, error } => tracing::warn!(entry, %error, "a result can't be cached"),
        _ => {}
    }
}

/// What a content's home says, and what other nodes do that are at the same.
fn of_home(content: &ContentId, what: &What) {
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
fn of_attempt(content: &ContentId, what: &What) {
    match what {
        What::Ranked { scores, .. } => tracing::debug!(%content, %scores, "candidates ranked"),
        What::Refused { peer, reason, taken } => log_refusal(content, peer, reason, *taken),
        What::Lost { peer, reason } => tracing::info!(%content, %peer, reason, "peer lost: next candidate"),
        What::ResultNotTaken { peer, error } => {
            tracing::info!(%content, %peer, %error, "peer's result not taken: next candidate");
        }
        What::FailedHere { error } => {
            tracing::error!(%content, %error, "can't do it here: next candidate");
        }
        What::Doubted { peer, error } => {
            tracing::info!(%content, %peer, %error, "a peer refuses the video: this node sees for itself");
        }
        What::Crashed { on, error } => tracing::warn!(%content, node = %on, %error, "one more node may try"),
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
