//! Carrying a routing decision out: one candidate after the other, until one has done the job.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, LoadSample, MemberState};
use tokio::sync::SemaphorePermit;

use super::{Done, Job, Node, Outcome};
use crate::content::MediaInfo;
use crate::http::ApiError;
use crate::offload::{Offer, OffloadError};
use crate::route::{Candidate, RouteKind, SAMPLE_AGE_MAX, Situation};
use crate::workers::Place;

/// How many peers are asked at the most before the job is done here or refused.
const PEERS_ASKED_MAX: usize = 8;
/// How long may be spent on offers that are refused: whoever is refused in the end hears it soon.
const ASKING_MAX: Duration = Duration::from_millis(500);
/// How long an upload for which there is no time here waits for its turn to be looked at, to be offered to others.
const LOOK_WAIT_MAX: Duration = Duration::from_millis(200);
/// What a job takes on a node that does not know yet.
const SERVICE_GUESS: Duration = Duration::from_secs(5);
/// What a client is told when nobody could say when a place will be free.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// Does a job where the policy finds it best, and when that fails, where it finds it next best.
/// `place`: one that is held for it here.
pub(super) async fn dispatch(
    node: &Arc<Node>,
    job: &Job,
    info: Arc<MediaInfo>,
    place: Option<Place>,
) -> Outcome {
    let ranked = node.rank(place.as_ref());
    let scores: Arc<str> = scores_text(&ranked).into();
    tracing::debug!(content = %job.upload.content, %scores, "candidates ranked");
    let mut attempts =
        Attempts { node, job, info, place, scores, retry_after: None, fault: None, refusing: Duration::ZERO };
    let mut peers_asked = 0;
    let mut local_refused = false;
    // What was told to come back now is not sent on: its place is here.
    if node.pool.is_booked(&job.profile, job.upload.content) {
        match attempts.here().await {
            Err(Attempt::Elsewhere) => {}
            Err(Attempt::Verdict(error)) => return Err(error),
            Ok(done) => return Ok(done),
        }
    }
    for candidate in &ranked {
        if job.deadline.left().is_zero() {
            return Err(job.deadline.passed());
        }
        if candidate.is_local() {
            match attempts.here().await {
                Err(Attempt::Elsewhere) => local_refused = attempts.fault.is_none(),
                Err(Attempt::Verdict(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        } else if peers_asked < PEERS_ASKED_MAX && attempts.is_worth_asking(candidate) {
            peers_asked += 1;
            match attempts.there(candidate).await {
                Err(Attempt::Elsewhere) => {}
                Err(Attempt::Verdict(error)) => return Err(error),
                Ok(done) => return Ok(done),
            }
        }
    }
    // The queue here was full when it was this node's turn; asking the others took time in which a place came free.
    if local_refused {
        match attempts.here().await {
            Err(Attempt::Elsewhere) => {}
            Err(Attempt::Verdict(error)) => return Err(error),
            Ok(done) => return Ok(done),
        }
    }
    let Attempts { fault, info, retry_after, .. } = attempts;
    Err(fault.unwrap_or_else(|| node.refuse(job, Some(&info), retry_after)))
}

/// Why an attempt has no result.
enum Attempt {
    /// Another node may do it.
    Elsewhere,
    /// No node would.
    Verdict(ApiError),
}

struct Attempts<'a> {
    node: &'a Arc<Node>,
    job: &'a Job,
    info: Arc<MediaInfo>,
    /// Held here until it is this node's turn.
    place: Option<Place>,
    scores: Arc<str>,
    /// Soonest time at which somebody who refused expects a place.
    retry_after: Option<Duration>,
    /// What this node itself failed with.
    fault: Option<ApiError>,
    /// Time spent on offers that were refused.
    refusing: Duration,
}

impl Attempts<'_> {
    /// Not one of which gossip says that it has no time, and none when too much time has gone into asking.
    fn is_worth_asking(&self, candidate: &Candidate) -> bool {
        // Who has a place here anyway can wait for a better one; the others are to hear soon that there is none.
        let spent = if self.place.is_some() { self.refusing } else { self.job.deadline.spent() };
        spent < ASKING_MAX && !candidate.load.is_some_and(|load| is_too_late(&load, self.job.deadline.left()))
    }

    async fn here(&mut self) -> Result<Done, Attempt> {
        // For the one that it gets now that it is known what it takes.
        self.place = None;
        let job = Job { info: Some(Arc::clone(&self.info)), ..self.job.clone() };
        let result = self.node.transcode_here(job, None).await;
        match result {
            Ok(served) => Ok(Done {
                object: served.object,
                by: served.by,
                route: RouteKind::Local,
                cache: served.cache,
                scores: Arc::clone(&self.scores),
            }),
            Err(ApiError::Saturated { retry_after }) => Err(self.refused_for(Some(retry_after))),
            Err(ApiError::Draining) => Err(self.refused_for(None)),
            // This node's own fault: another one may do better.
            Err(error @ (ApiError::Internal(_) | ApiError::DiskFull)) => {
                tracing::error!(content = %self.job.upload.content, %error, "can't do it here: next candidate");
                self.fault = Some(error);
                Err(Attempt::Elsewhere)
            }
            Err(error) => Err(Attempt::Verdict(error)),
        }
    }

    async fn there(&mut self, candidate: &Candidate) -> Result<Done, Attempt> {
        let peer = &candidate.identity;
        let asked = Instant::now();
        match self.hand_over(candidate).await {
            Ok(done) => Ok(done),
            Err(OffloadError::Verdict(error)) => Err(Attempt::Verdict(error)),
            Err(OffloadError::Refused { reason, retry_after }) => {
                self.refusing += asked.elapsed();
                tracing::info!(content = %self.job.upload.content, peer = %peer.name, reason, "offer refused: next candidate");
                Err(self.refused_for(retry_after))
            }
            Err(OffloadError::Unreachable(reason)) => {
                tracing::warn!(content = %self.job.upload.content, peer = %peer.name, reason, "peer lost: next candidate");
                Err(Attempt::Elsewhere)
            }
        }
    }

    fn refused_for(&mut self, retry_after: Option<Duration>) -> Attempt {
        self.retry_after = [self.retry_after, retry_after].into_iter().flatten().min();
        Attempt::Elsewhere
    }

    async fn hand_over(&self, candidate: &Candidate) -> Result<Done, OffloadError> {
        let (node, job, peer) = (self.node, self.job, &candidate.identity);
        let offer = Offer {
            from: node.identity.name.clone(),
            content: job.upload.content,
            bytes: job.upload.bytes,
            profile: job.profile.name.clone(),
            deadline_ms: job.deadline.left().as_millis() as u64,
            backlog: node.policy.weighs_load().then(|| node.pool.backlog(self.place.as_ref())),
            info: MediaInfo::clone(&self.info),
        };
        let accepted = node.peers.offer(peer, candidate.rtt, &offer).await?;
        let exchange = async {
            let file = job.upload.open().map_err(|error| unreadable(&error))?;
            let body = (Arc::new(file), job.upload.bytes, Arc::clone(&job.upload));
            let response = node.peers.send(peer, &accepted, body, job.limit.left()).await?;
            node.take_result(job, peer, response).await
        };
        let (object, cache) = tokio::select! {
            result = exchange => result?,
            () = node.lost(peer) => {
                return Err(OffloadError::Unreachable("gossip found it dead while it had the job".into()));
            }
            () = tokio::time::sleep_until(job.limit.at.into()) => {
                return Err(OffloadError::Verdict(job.limit.passed()));
            }
        };
        Ok(Done {
            object,
            by: Arc::clone(peer),
            route: candidate.route,
            cache,
            scores: Arc::clone(&self.scores),
        })
    }
}

fn unreadable(error: &std::io::Error) -> OffloadError {
    OffloadError::Verdict(ApiError::Internal(format!("the upload can't be read back: {error}")))
}

/// Whether a node that says this of itself will hardly take a job that has this much time left. Rather yes than no: to ask
/// in vain costs time when there is none.
fn is_too_late(load: &LoadSample, left: Duration) -> bool {
    let workers = u32::from(load.workers.max(1));
    let jobs = u32::from(load.queued_jobs) + u32::from(load.running_jobs);
    if jobs < workers {
        return false;
    }
    let service = match load.service_ms {
        0 => SERVICE_GUESS,
        ms => Duration::from_millis(ms.into()),
    };
    // Of what runs, half is done on average.
    let ahead = service * (2 * jobs - u32::from(load.running_jobs)) / 2;
    ahead / workers + service * 2 > left / 2
}

impl Node {
    fn rank(&self, own: Option<&Place>) -> Vec<Candidate> {
        let view = self.view();
        let situation = Situation { view: &view, own_load: self.own_load(), now: Instant::now() };
        let mut rng = self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut ranked = self.policy.rank(&situation, &mut *rng);
        // The score hardly sees a queue (a job counts as much as a percent of CPU). Where a job would have to wait, the
        // others are asked first, in the score's order: one that can begin sooner accepts, and the rest refuse.
        if self.policy.weighs_load() && self.pool.backlog(own).is_full() {
            ranked.sort_by_key(Candidate::is_local);
        }
        ranked
    }

    /// Leave to run ffprobe on an upload for which there is no time here: if, by what gossip says, somebody else has it, and
    /// there are not too many such uploads already.
    pub(super) async fn permit_to_look(&self, job: &Job) -> Option<SemaphorePermit<'_>> {
        let (now, left) = (Instant::now(), job.deadline.left());
        let somebody = self.view().peers.iter().filter(|peer| peer.state == MemberState::Alive).any(|peer| {
            let load = peer.load.filter(|load| load.age(now) <= SAMPLE_AGE_MAX);
            !load.is_some_and(|load| is_too_late(&load.sample, left))
        });
        if !somebody {
            return None;
        }
        tokio::time::timeout(LOOK_WAIT_MAX, self.looks.acquire()).await.ok()?.ok()
    }

    /// The answer for a job that nobody takes: when it is to be sent again, and then has its place here. `elsewhere`: what
    /// peers said.
    pub(super) fn refuse(
        &self,
        job: &Job,
        info: Option<&MediaInfo>,
        elsewhere: Option<Duration>,
    ) -> ApiError {
        let own = self.pool.book(&job.profile, job.upload.content, info, job.deadline.allowed);
        ApiError::Saturated { retry_after: own.or(elsewhere).unwrap_or(RETRY_AFTER_UNKNOWN) }
    }

    /// Waits until this boot of a peer is no longer believed to live.
    pub(super) async fn lost(&self, peer: &Identity) {
        let mut view = self.view.clone();
        let gone = view.wait_for(|view| {
            !view.peers.iter().any(|member| {
                member.identity.name == peer.name
                    && member.identity.boot == peer.boot
                    && matches!(member.state, MemberState::Alive | MemberState::Suspect)
            })
        });
        if gone.await.is_err() {
            // The overlay has stopped, so nobody watches any more; the connection still does.
            std::future::pending::<()>().await;
        }
    }
}

/// `node1/FRA=0.120 node4/FRA=0.031 …`, best first.
fn scores_text(ranked: &[Candidate]) -> String {
    let one = |Candidate { identity, score, .. }: &Candidate| {
        format!("{}/{}={score:.3}", identity.name, identity.zone)
    };
    ranked.iter().take(PEERS_ASKED_MAX + 1).map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_a_long_queue_is_not_asked() {
        let load = |queued_jobs, running_jobs, service_ms| LoadSample {
            queued_jobs,
            running_jobs,
            service_ms,
            workers: 1,
            ..LoadSample::default()
        };
        let left = Duration::from_secs(40);
        assert!(!is_too_late(&load(0, 0, 30_000), left), "an idle one always");
        assert!(!is_too_late(&load(1, 1, 5_000), left));
        assert!(is_too_late(&load(3, 1, 5_000), left));
        assert!(is_too_late(&load(3, 1, 0), left), "before it knows its own speed");
        assert!(is_too_late(&load(0, 1, 5_000), Duration::from_secs(10)));
    }
}
