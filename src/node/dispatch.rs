//! Carrying a routing decision out: one candidate after the other, until one has done the job.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, MemberState};

use super::{Done, Job, Node, Outcome};
use crate::content::MediaInfo;
use crate::http::ApiError;
use crate::offload::{Offer, OffloadError};
use crate::route::{Candidate, RouteKind, Situation};

/// How many peers are asked at the most before the job is done here or refused.
const PEERS_ASKED_MAX: usize = 8;
/// What a client is told when nobody could say when a place will be free.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

/// Does a job where the policy finds it best, and when that fails, where it finds it next best.
pub(super) async fn dispatch(node: &Arc<Node>, job: &Job, info: Arc<MediaInfo>) -> Outcome {
    let ranked = node.rank();
    let scores: Arc<str> = scores_text(&ranked).into();
    tracing::debug!(content = %job.upload.content, %scores, "candidates ranked");
    let mut attempts = Attempts { node, job, info, scores, retry_after: None, fault: None };
    let mut peers_asked = 0;
    let mut local_refused = false;
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
        } else if peers_asked < PEERS_ASKED_MAX {
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
    let saturated = ApiError::Saturated { retry_after: attempts.retry_after.unwrap_or(RETRY_AFTER_UNKNOWN) };
    Err(attempts.fault.unwrap_or(saturated))
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
    scores: Arc<str>,
    /// Soonest time at which somebody who refused expects a place.
    retry_after: Option<Duration>,
    /// What this node itself failed with.
    fault: Option<ApiError>,
}

impl Attempts<'_> {
    async fn here(&mut self) -> Result<Done, Attempt> {
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
        match self.hand_over(candidate).await {
            Ok(done) => Ok(done),
            Err(OffloadError::Verdict(error)) => Err(Attempt::Verdict(error)),
            Err(OffloadError::Refused { reason, retry_after }) => {
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
            backlog: node.policy.weighs_load().then(|| node.pool.backlog()),
            info: MediaInfo::clone(&self.info),
        };
        let accepted = node.peers.offer(peer, candidate.rtt, &offer).await?;
        let exchange = async {
            let file = job.upload.open().map_err(|error| unreadable(&error))?;
            let body = (Arc::new(file), job.upload.bytes, Arc::clone(&job.upload));
            let response = node.peers.send(peer, &accepted, body, job.deadline.left()).await?;
            node.take_result(job, peer, response).await
        };
        let (object, cache) = tokio::select! {
            result = exchange => result?,
            () = node.lost(peer) => {
                return Err(OffloadError::Unreachable("gossip found it dead while it had the job".into()));
            }
            () = tokio::time::sleep_until(job.deadline.at.into()) => {
                return Err(OffloadError::Verdict(job.deadline.passed()));
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

impl Node {
    fn rank(&self) -> Vec<Candidate> {
        let view = self.view();
        let situation = Situation { view: &view, own_load: self.own_load(), now: Instant::now() };
        let mut rng = self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut ranked = self.policy.rank(&situation, &mut *rng);
        // The score hardly sees a queue (a job counts as much as a percent of CPU). Where a job would have to wait, the
        // others are asked first, in the score's order: one that can begin sooner accepts, and the rest refuse.
        if self.policy.weighs_load() && self.pool.backlog().is_full() {
            ranked.sort_by_key(Candidate::is_local);
        }
        ranked
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
