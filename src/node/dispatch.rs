//! Carrying a routing decision out: one candidate after the other, until one has done the job.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, MemberState};

use super::attempts::{Attempt, Attempts};
use super::rank::{PEERS_ASKED_MAX, scores_text};
use super::{Job, Node, Outcome, claim};
use crate::content::{ClientTag, ContentId, MediaInfo};
use crate::http::{ApiError, Deadline};
use crate::offload::Fault;
use crate::profile::Profile;
use crate::route::{Candidate, Concern, SAMPLE_AGE_MAX, is_full};
use crate::workers::Place;

/// Least time for a peer's answer beside the two ways there and back that a new connection and the offer take.
const ANSWER_TIME_MIN: Duration = Duration::from_millis(100);
/// Time to find somebody for a job that does not get on where it is.
const HEDGE_SETTLED_AFTER: Duration = Duration::from_millis(700);
/// What a client is told when nobody could say when a place will be free.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// Does a job that has a place here: where the policy finds it best, and when that fails, where it finds it next best.
pub(super) async fn dispatch(node: &Arc<Node>, job: &Job, place: Place) -> Outcome {
    let booked = place.is_booked();
    let ranked = node.rank(job, Some(&place));
    let mut attempts = Attempts::new(node, job, Some(place), scores_text(&job.upload.content, &ranked));
    // What was told to come back now is not sent on: its place is here.
    if booked && let Some(outcome) = decided(attempts.here().await) {
        return outcome;
    }
    if attempts.leaving {
        return hand_on(node, job, attempts).await;
    }
    let mut peers_asked = 0;
    let mut local_refused = false;
    for candidate in &ranked {
        if job.deadline.left().is_zero() {
            return Err(job.deadline.passed());
        }
        let attempt = if candidate.is_local() {
            if attempts.fault.is_some() {
                // It came to a booked place, and failed in it.
                continue;
            }
            let attempt = attempts.here().await;
            local_refused = attempts.fault.is_none();
            attempt
        } else if peers_asked < PEERS_ASKED_MAX
            && (attempts.fault.is_some() || !attempts.has_asked_enough())
            && may_be_asked(candidate, job)
        {
            peers_asked += 1;
            attempts.there(candidate, job.deadline.at).await
        } else {
            continue;
        };
        if let Some(outcome) = decided(attempt) {
            return outcome;
        }
        if attempts.leaving {
            return hand_on(node, job, attempts).await;
        }
    }
    // The queue here was full when it was this node's turn; asking the others took time in which a place came free.
    if local_refused && let Some(outcome) = decided(attempts.here().await) {
        return outcome;
    }
    if attempts.leaving {
        return hand_on(node, job, attempts).await;
    }
    if let Some(outcome) = attempts.last_chance().await {
        return outcome;
    }
    let Attempts { fault, crash, retry_after, .. } = attempts;
    Err(fault.or(crash).unwrap_or_else(|| node.refuse(job, retry_after)))
}

/// Finds a peer for a job that was taken here, where it can't be done any more: this node is leaving. Each may say no, but all
/// are asked, first the one that is likely to begin soonest.
async fn hand_on(node: &Arc<Node>, job: &Job, mut attempts: Attempts<'_>) -> Outcome {
    let mut peers = node.rank_all(job);
    peers.retain(|candidate| !candidate.is_local() && candidate.concern != Concern::Distrusted);
    while let Some((candidate, _turn)) = node.handovers.next(&mut peers) {
        if job.deadline.left().is_zero() {
            return Err(job.deadline.passed());
        }
        if let Some(outcome) = decided(attempts.there(&candidate, job.deadline.at).await) {
            return outcome;
        }
    }
    attempts.last_chance().await.unwrap_or(Err(ApiError::Draining))
}

/// Finds a peer for a job that this node can't so much as look at, by its own fault or perhaps the video's; or that it lacks the
/// encoder for.
pub(super) async fn after_fault(node: &Arc<Node>, job: &Job, fault: ApiError) -> Outcome {
    let fault = match fault {
        ApiError::Crashed(what) => job.crashed(what),
        other => other,
    };
    if matches!(fault, ApiError::Unprocessable(_)) {
        return Err(fault);
    }
    let ranked = node.rank(job, None);
    let mut attempts = Attempts::new(node, job, None, scores_text(&job.upload.content, &ranked));
    attempts.fault = Some(fault);
    let may = |peer: &&Candidate| !peer.is_local() && peer.concern != Concern::Distrusted;
    for candidate in ranked.iter().filter(may).take(PEERS_ASKED_MAX) {
        if job.deadline.left().is_zero() {
            return Err(job.deadline.passed());
        }
        if let Some(outcome) = decided(attempts.there(candidate, job.deadline.at).await) {
            return outcome;
        }
    }
    if let Some(outcome) = attempts.last_chance().await {
        return outcome;
    }
    match (attempts.fault, attempts.retry_after) {
        // There is a node that can, and it will have time.
        (Some(ApiError::ProfileUnavailable { .. }), Some(retry_after)) => {
            Err(ApiError::Saturated { retry_after })
        }
        (fault, retry_after) => Err(fault.unwrap_or_else(|| node.refuse(job, retry_after))),
    }
}

/// Finds a peer for a job that has no place here, of which no more is known than its content: neither ffprobe's time nor more
/// than [`Job::settled_by`] is spent on what may be refused in the end. None if no peer takes it.
pub(super) async fn elsewhere(node: &Arc<Node>, job: &Job) -> Result<Outcome, Option<Duration>> {
    let ranked = node.rank(job, None);
    let mut attempts = Attempts::new(node, job, None, scores_text(&job.upload.content, &ranked));
    let may = |peer: &&Candidate| !peer.is_local() && may_be_asked(peer, job);
    let mut peers = ranked.iter().filter(may).take(PEERS_ASKED_MAX).peekable();
    let mut settled_by = job.settled_by;
    while let Some(candidate) = peers.next() {
        let now = Instant::now();
        if now >= settled_by {
            break;
        }
        let answer_by =
            if peers.peek().is_some() { answer_by(now, settled_by, candidate.rtt) } else { settled_by };
        if let Some(outcome) = decided(attempts.there(candidate, answer_by).await) {
            return Ok(outcome);
        }
        if attempts.has_stragglers() {
            // It was taken, so it is no refusal that is waited for now.
            settled_by = Instant::now() + HEDGE_SETTLED_AFTER;
        }
    }
    if attempts.has_stragglers() {
        // Nobody else takes it. A place here may have come free; if not, what does not get on may yet.
        if let Some(place) = node.expect(job) {
            return Ok(attempts.beside(Box::pin(claim::with_place(node, job, place))).await);
        }
        if let Some(outcome) = attempts.last_chance().await {
            return Ok(outcome);
        }
    }
    Err(attempts.retry_after)
}

/// How long a peer's answer is waited for when others are still to be asked: one that says nothing takes them half of the time.
fn answer_by(now: Instant, settled_by: Instant, rtt: Option<Duration>) -> Instant {
    let left = settled_by.saturating_duration_since(now);
    let way = rtt.unwrap_or_default() * 2 + ANSWER_TIME_MIN;
    now + (left / 2).max(way).min(left)
}

fn decided(attempt: Result<super::Done, Attempt>) -> Option<Outcome> {
    match attempt {
        Ok(done) => Some(Ok(done)),
        Err(Attempt::Verdict(error)) => Some(Err(error)),
        Err(Attempt::Elsewhere) => None,
    }
}

/// Whether a job is offered to a peer at all: it may take it, and is no node that is not trusted.
fn may_be_asked(peer: &Candidate, job: &Job) -> bool {
    peer.concern != Concern::Distrusted && !peer.is_full(job.deadline.left())
}

impl Node {
    /// Whether a peer has done worse lately than not to answer, for which it is not even asked.
    fn is_distrusted(&self, peer: &Identity) -> bool {
        self.peers.standings().avoided(peer).is_some_and(|(fault, _)| fault != Fault::Unreachable)
    }

    /// A place here for a job of which no more is known than its content.
    pub(super) fn expect(&self, job: &Job) -> Option<Place> {
        self.can_make(&job.profile).ok()?;
        let place = self.pool.expect(job.client, &job.profile, job.upload.content, job.deadline.at);
        job.trail.mark(if place.is_some() { "place" } else { "no-place" });
        if place.is_some() {
            self.publish_load();
        }
        place
    }

    /// Whether it can be told before its body comes that an upload will be refused: there is no time for it here, and gossip
    /// says the same of everybody else.
    pub(super) fn is_hopeless(
        &self,
        client: ClientTag,
        profile: &Profile,
        content: ContentId,
        deadline: &Deadline,
    ) -> bool {
        let (now, left) = (Instant::now(), deadline.left());
        let view = self.view();
        let mut others = view
            .peers
            .iter()
            .filter(|peer| peer.state == MemberState::Alive && !self.is_distrusted(&peer.identity));
        // Who can make what this node can't has to be asked.
        self.can_make(profile).is_ok()
            && !self.pool.would_take(client, profile, content, deadline.at)
            && others.all(|peer| {
                let load = peer.load.as_ref().filter(|load| load.age(now) <= SAMPLE_AGE_MAX);
                is_full(load.map(|load| &load.sample), left)
            })
    }

    /// The answer for a job that nobody takes: when it is to be sent again, and then has its place here; or that it takes
    /// longer than its request allows, whenever it is sent. `elsewhere`: what peers said.
    pub(super) fn refuse(&self, job: &Job, elsewhere: Option<Duration>) -> ApiError {
        if job.deadline.left().is_zero() {
            // Nobody is there to come back.
            return job.deadline.passed();
        }
        let (content, info) = (job.upload.content, job.info.as_deref());
        let estimate = info.map(|info| self.pool.estimate(job.client, &job.profile, info));
        // Final is only what this client's own jobs have taught; in doubt it may come again.
        let service = estimate.filter(|estimate| estimate.sure).and_then(|estimate| estimate.service);
        if let Some(service) = service.filter(|service| *service > job.time_for_work)
            && !self.is_draining()
        {
            let allowed = job.deadline.allowed;
            let needs = allowed.saturating_sub(job.time_for_work) + service;
            return ApiError::DeadlineTooShort { allowed, needs };
        }
        self.refuse_content(job.client, &job.profile, content, info, job.deadline.allowed, elsewhere)
    }

    /// The same for a content of which there is no job yet.
    pub(super) fn refuse_content(
        &self,
        client: ClientTag,
        profile: &Profile,
        content: ContentId,
        info: Option<&MediaInfo>,
        allowed: Duration,
        elsewhere: Option<Duration>,
    ) -> ApiError {
        if self.is_draining() {
            return ApiError::Draining;
        }
        let own = self.pool.book(client, profile, content, info, allowed);
        ApiError::Saturated { retry_after: own.or(elsewhere).unwrap_or(RETRY_AFTER_UNKNOWN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_say_nothing_it_is_settled_in_time() {
        let begun = Instant::now();
        let settled_by = begun + Duration::from_millis(700);
        for rtt_ms in [None, Some(0), Some(40), Some(250), Some(10_000)] {
            let (mut now, mut asked) = (begun, 0);
            while now < settled_by {
                let until = answer_by(now, settled_by, rtt_ms.map(Duration::from_millis));
                assert!(now < until && until <= settled_by);
                (now, asked) = (until, asked + 1);
            }
            let enough = if rtt_ms.unwrap_or_default() <= 40 { 3 } else { 1 };
            assert!((enough..=PEERS_ASKED_MAX).contains(&asked), "{rtt_ms:?}: {asked}");
        }
        // A way that takes longer than half of the time is not in vain.
        let far = answer_by(begun, settled_by, Some(Duration::from_millis(250)));
        assert_eq!(far - begun, Duration::from_millis(600));
    }
}
