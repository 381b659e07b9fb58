//! One job and one candidate: done there, or why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http_body_util::BodyExt;
use starling_overlay::Identity;

use super::rank::answered;
use super::watched::{Motion, Stall};
use super::{Done, Job, Node, Outcome};
use crate::http::{ApiError, file_body};
use crate::offload::{Accepted, Fault, Offer, OffloadError};
use crate::route::{Candidate, Handoff, RouteKind};
use crate::workers::Place;

/// How long somebody who has a place here may be kept asking for a better one: by peers that say no, and by such that say nothing.
const REFUSING_MAX: Duration = Duration::from_millis(500);
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Why an attempt has no result.
pub(super) enum Attempt {
    /// Another node may do it.
    Elsewhere,
    /// No node would.
    Verdict(ApiError),
}

/// A place for a job at a peer.
struct Taken {
    accepted: Accepted,
    /// What the router is told of it.
    handoff: Handoff,
}

/// A job that a peer has and that does not get on there. It goes on beside whatever is tried next, and the first result counts.
type Straggler<'a> = BoxFuture<'a, Result<Done, OffloadError>>;

/// What has been tried for a job so far.
pub(super) struct Attempts<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) job: &'a Job,
    /// Held here until it is this node's turn.
    pub(super) place: Option<Place>,
    pub(super) scores: Arc<str>,
    /// Soonest time at which somebody who refused expects a place.
    pub(super) retry_after: Option<Duration>,
    /// What this node itself failed with.
    pub(super) fault: Option<ApiError>,
    /// The first node's crash over it.
    pub(super) crash: Option<ApiError>,
    /// Time that peers took to say no to an offer, and time in which none of them said anything.
    pub(super) refusing: Duration,
    pub(super) silent: Duration,
    /// This node had taken the job, and then began to shut down.
    pub(super) leaving: bool,
    stragglers: FuturesUnordered<Straggler<'a>>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(node: &'a Arc<Node>, job: &'a Job, place: Option<Place>, scores: Arc<str>) -> Self {
        Self {
            node,
            job,
            place,
            scores,
            retry_after: None,
            fault: None,
            crash: None,
            refusing: Duration::ZERO,
            silent: Duration::ZERO,
            leaving: false,
            stragglers: FuturesUnordered::new(),
        }
    }

    /// Whether the job is with a peer where it does not get on.
    pub(super) fn has_stragglers(&self) -> bool {
        !self.stragglers.is_empty()
    }

    /// Does it on this node.
    pub(super) async fn here(&mut self) -> Result<Done, Attempt> {
        let mut stragglers = std::mem::take(&mut self.stragglers);
        let node = self.node;
        let attempt = hedged(node, &mut stragglers, Box::pin(self.here_alone())).await;
        self.stragglers.extend(stragglers);
        attempt
    }

    /// Has a peer do it; its answer to the offer is waited for until `answer_by`.
    pub(super) async fn there(&mut self, candidate: &Candidate, answer_by: Instant) -> Result<Done, Attempt> {
        let mut stragglers = std::mem::take(&mut self.stragglers);
        let node = self.node;
        let attempt = hedged(node, &mut stragglers, Box::pin(self.there_alone(candidate, answer_by))).await;
        self.stragglers.extend(stragglers);
        attempt
    }

    /// Other work on the job, beside what does not get on.
    pub(super) async fn beside(&mut self, work: impl Future<Output = Outcome>) -> Outcome {
        let mut stragglers = std::mem::take(&mut self.stragglers);
        match hedged(self.node, &mut stragglers, async { work.await.map_err(Attempt::Verdict) }).await {
            Ok(done) => Ok(done),
            Err(Attempt::Verdict(error)) => Err(error),
            Err(Attempt::Elsewhere) => unreachable!("it has no such end"),
        }
    }

    /// Nobody else is left to try: what did not get on may yet.
    pub(super) async fn last_chance(&mut self) -> Option<Outcome> {
        if self.stragglers.is_empty() {
            return None;
        }
        let late = tokio::time::timeout_at(self.job.deadline.at.into(), first_done(&mut self.stragglers));
        match late.await {
            Ok(Some(done)) => Some(Ok(done)),
            Ok(None) => None,
            Err(_) => Some(Err(self.job.deadline.passed())),
        }
    }

    async fn here_alone(&mut self) -> Result<Done, Attempt> {
        let result = self.node.transcode_here(self.job.clone(), self.place.take()).await;
        self.job.trail.mark(if result.is_ok() { "here" } else { "not-here" });
        match result {
            Ok(served) => Ok(Done {
                object: served.object,
                by: served.by,
                route: RouteKind::Local,
                cache: served.cache,
                scores: Arc::clone(&self.scores),
            }),
            Err(ApiError::Saturated { retry_after }) => Err(self.refused_for(Some(retry_after))),
            Err(ApiError::Draining) => {
                self.leaving = true;
                Err(self.refused_for(None))
            }
            // This node's own fault: another one may do better.
            Err(
                error @ (ApiError::Internal(_) | ApiError::DiskFull | ApiError::ProfileUnavailable { .. }),
            ) => {
                tracing::error!(content = %self.job.upload.content, %error, "can't do it here: next candidate");
                self.fault = Some(error);
                Err(Attempt::Elsewhere)
            }
            Err(ApiError::Crashed(what)) => {
                let attempt = self.crashed(what);
                self.fault.clone_from(&self.crash);
                Err(attempt)
            }
            Err(error) => Err(Attempt::Verdict(error)),
        }
    }

    /// A tool came to grief over it, here or there.
    fn crashed(&mut self, what: String) -> Attempt {
        match self.job.crashed(what) {
            error @ ApiError::Crashed(_) => {
                tracing::warn!(content = %self.job.upload.content, %error, "one more node may try");
                self.crash = Some(error);
                Attempt::Elsewhere
            }
            verdict => Attempt::Verdict(verdict),
        }
    }

    async fn there_alone(&mut self, candidate: &Candidate, answer_by: Instant) -> Result<Done, Attempt> {
        let offered = self.offer(candidate, answer_by).await;
        let is_taken = offered.is_ok();
        let handed = match offered {
            Ok(taken) => match self.hand_over(candidate, taken).await {
                Some(handed) => handed,
                None => return Err(Attempt::Elsewhere),
            },
            Err(error) => Err(error),
        };
        self.job.trail.mark(if handed.is_ok() { "peer" } else { "no-peer" });
        let (content, peer) = (self.job.upload.content, &candidate.identity.name);
        match handed {
            Ok(done) => Ok(done),
            Err(OffloadError::Verdict(ApiError::Crashed(what))) => Err(self.crashed(what)),
            Err(OffloadError::Verdict(error)) => Err(Attempt::Verdict(error)),
            Err(OffloadError::Refused { reason, retry_after }) => {
                if is_taken {
                    tracing::warn!(%content, %peer, reason, "peer failed at it: next candidate");
                } else {
                    tracing::info!(%content, %peer, reason, "offer refused: next candidate");
                }
                Err(self.refused_for(retry_after))
            }
            // Why it is avoided was said already.
            Err(OffloadError::Unreachable(reason) | OffloadError::Avoided(reason)) => {
                tracing::info!(%content, %peer, reason, "peer lost: next candidate");
                Err(Attempt::Elsewhere)
            }
            Err(error @ (OffloadError::Faulty { .. } | OffloadError::NotTaken(_))) => {
                tracing::info!(%content, %peer, %error, "peer's result not taken: next candidate");
                Err(Attempt::Elsewhere)
            }
        }
    }

    /// Whether whoever has a place here has been kept asking for a better one long enough. Work that a peer began is not asking.
    pub(super) fn has_asked_enough(&self) -> bool {
        self.refusing >= REFUSING_MAX || self.silent >= SILENT_MAX
    }

    fn refused_for(&mut self, retry_after: Option<Duration>) -> Attempt {
        self.retry_after = [self.retry_after, retry_after].into_iter().flatten().min();
        Attempt::Elsewhere
    }

    /// Offers it to a peer, and takes note of the time that this took in vain.
    async fn offer(&mut self, candidate: &Candidate, answer_by: Instant) -> Result<Taken, OffloadError> {
        let (node, job, peer) = (self.node, self.job, &candidate.identity);
        let offer = Offer {
            from: node.identity.name.clone(),
            content: job.upload.content,
            bytes: job.upload.bytes,
            profile: job.profile.name.clone(),
            recipe: Some(job.profile.recipe_id()),
            deadline_ms: job.deadline.left().as_millis() as u64,
            // Who is leaving, or has failed at it, has no place to compare with.
            backlog: (!self.leaving && self.fault.is_none())
                .then(|| candidate.backlog_max(node.pool.backlog(job.client, self.place.as_ref())))
                .flatten(),
            client: Some(job.client),
            info: job.info.as_deref().cloned(),
        };
        let asked = Instant::now();
        let handoff = node.router.hand_off(asked, candidate, &job.demand());
        let answer = node.peers.offer(peer, candidate.rtt, &offer);
        let Ok(answer) = tokio::time::timeout_at(answer_by.into(), answer).await else {
            self.silent += asked.elapsed();
            return Err(OffloadError::Refused { reason: "no time for its answer".into(), retry_after: None });
        };
        handoff.observe(Instant::now(), answered(&answer));
        match &answer {
            Err(OffloadError::Refused { .. }) => self.refusing += asked.elapsed(),
            Err(OffloadError::Unreachable(_) | OffloadError::Avoided(_)) => self.silent += asked.elapsed(),
            Ok(_)
            | Err(OffloadError::Verdict(_) | OffloadError::Faulty { .. } | OffloadError::NotTaken(_)) => {}
        }
        answer.map(|accepted| Taken { accepted, handoff })
    }

    /// Sends a job that a peer has accepted, and waits for its result as long as something moves. None when nothing does: then it
    /// is a straggler.
    async fn hand_over(&mut self, candidate: &Candidate, taken: Taken) -> Option<Result<Done, OffloadError>> {
        let (node, job, peer) = (self.node, self.job, &candidate.identity);
        let key = job.key();
        let (motion, life) = (Motion::default(), node.lives.enter(&key));
        // What is slow is not left in the lurch as what hangs is, but not waited for to the end either.
        let patient_until = Instant::now() + job.deadline.left() / 2;
        let mut exchange = self.exchange(candidate, taken, motion.clone());
        let stall = tokio::select! {
            handed = &mut exchange => return Some(handed),
            stall = node.until_stalled((peer, candidate.rtt), &key, (&motion, &life), patient_until) => stall,
        };
        let (content, name) = (job.upload.content, &peer.name);
        match stall {
            Stall::Still(seen) => {
                tracing::info!(%content, peer = %name, seen, "job stalled on a peer: tried elsewhere as well");
                node.peers.standings().report(peer, Fault::Stalled, &seen);
            }
            Stall::Slow => {
                tracing::info!(%content, peer = %name, "job takes a peer long: tried elsewhere as well");
            }
        }
        job.trail.mark("stalled");
        node.metrics.hedge_begun();
        self.stragglers.push(exchange);
        None
    }

    /// The job's way to a peer, and its result's way back.
    fn exchange(&self, candidate: &Candidate, taken: Taken, motion: Motion) -> Straggler<'a> {
        let (node, job) = (self.node, self.job);
        let Taken { accepted, handoff } = taken;
        let (peer, route) = (Arc::clone(&candidate.identity), candidate.route);
        let scores = Arc::clone(&self.scores);
        Box::pin(async move {
            let exchange = async {
                let file = job.upload.open().map_err(|error| unreadable(&error))?;
                let body = file_body(Arc::new(file), 0..job.upload.bytes, Arc::clone(&job.upload));
                let body = (motion.count(body).boxed_unsync(), job.upload.bytes);
                let delivery = node.peers.send(&peer, &accepted, body, job.limit.left()).await?;
                node.take_result(job, &peer, delivery, &motion).await
            };
            let handed = tokio::select! {
                result = exchange => result,
                () = node.lost(&peer) => {
                    Err(OffloadError::Unreachable("gossip found it dead while it had the job".into()))
                }
                () = tokio::time::sleep_until(job.limit.at.into()) => {
                    Err(OffloadError::Verdict(job.limit.passed()))
                }
            };
            let handed =
                handed.map(|(object, cache)| Done { object, by: Arc::clone(&peer), route, cache, scores });
            node.learn(&handoff, &handed, &motion);
            handed
        })
    }
}

/// An attempt beside what does not get on elsewhere: whichever has a result first counts, and ends the others.
async fn hedged(
    node: &Node,
    stragglers: &mut FuturesUnordered<Straggler<'_>>,
    attempt: impl Future<Output = Result<Done, Attempt>>,
) -> Result<Done, Attempt> {
    if stragglers.is_empty() {
        return attempt.await;
    }
    let late = async {
        match first_done(stragglers).await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        attempted = attempt => {
            if attempted.is_ok() {
                node.metrics.hedge_won();
            }
            attempted
        }
        done = late => Ok(done),
    }
}

/// The first result of what did not get on; none if there is none to come.
async fn first_done(stragglers: &mut FuturesUnordered<Straggler<'_>>) -> Option<Done> {
    while let Some(handed) = stragglers.next().await {
        match handed {
            Ok(done) => return Some(done),
            Err(error) => tracing::debug!(%error, "a job that stalled on a peer came to nothing there"),
        }
    }
    None
}

fn unreadable(error: &std::io::Error) -> OffloadError {
    OffloadError::Verdict(ApiError::Internal(format!("the upload can't be read back: {error}")))
}

impl Node {
    /// Waits until this boot of a peer is no longer believed to live.
    pub(super) async fn lost(&self, peer: &Identity) {
        let mut view = self.view.clone();
        let gone = view.wait_for(|view| {
            !view.peers.iter().any(|member| {
                member.identity.name == peer.name
                    && member.identity.boot == peer.boot
                    && member.state.is_live()
            })
        });
        if gone.await.is_err() {
            // The overlay has stopped, so nobody watches any more; the connection still does.
            std::future::pending::<()>().await;
        }
    }
}
