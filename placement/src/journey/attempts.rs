//! One job and one candidate: done there, or why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use starling_overlay::NodeName;

use super::bids::Round;
use super::offers::{Offer, Taken};
use super::watch::{Motion, Stall, Wait, until_stalled};
use super::{Done, Event, Fault, Journey, PeerError, Ports, What, clock, share};
use crate::content::Key;
use crate::error::WorkError;
use crate::policy::{Candidate, Handoff, Outcome, RouteKind};

/// How long a job that has a place here may be kept asking for a better one: by peers that say no, and by such that say nothing.
const REFUSING_MAX: Duration = Duration::from_millis(500);
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Why an attempt has no result.
pub(super) enum Attempt {
    /// Another node may do it.
    Elsewhere,
    /// This node is likely to be done sooner than all that were asked.
    Here,
    /// No node would.
    Final(WorkError),
}

/// A job that a peer has and that does not get on there. It goes on beside whatever is tried next, and the first result counts.
type Straggler<O> = BoxFuture<'static, Result<Done<O>, PeerError>>;

/// All of them, for one job.
pub(super) type Stragglers<O> = FuturesUnordered<Straggler<O>>;

/// What has been tried for a job so far.
pub(super) struct Attempts<'a, P: Ports> {
    pub(super) journey: &'a mut Journey<P>,
    scores: Arc<str>,
    /// Soonest time at which a peer that refused expects a place.
    pub(super) retry_after: Option<Duration>,
    /// What this node itself failed with.
    pub(super) fault: Option<WorkError>,
    /// The first node's crash over it.
    pub(super) crash: Option<WorkError>,
    /// Peers that were asked so far.
    pub(super) asked: usize,
    /// Peers that had a place and were not the earliest.
    pub(super) willing: Vec<Candidate>,
    /// Time that peers took to say no to an offer, and time in which none of them said anything.
    pub(super) refusing: Duration,
    pub(super) silent: Duration,
    /// This node had taken the job, and then began to shut down.
    pub(super) leaving: bool,
    pub(super) stragglers: Stragglers<P::Object>,
}

impl<'a, P: Ports> Attempts<'a, P> {
    pub(super) fn new(journey: &'a mut Journey<P>, scores: Arc<str>) -> Self {
        Self {
            journey,
            scores,
            retry_after: None,
            fault: None,
            crash: None,
            asked: 0,
            willing: Vec::new(),
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
    pub(super) async fn here(&mut self) -> Result<Done<P::Object>, Attempt> {
        self.journey.doubts.begins();
        let mut stragglers = std::mem::take(&mut self.stragglers);
        let (ports, key) = (Arc::clone(&self.journey.ports), self.journey.job.key.clone());
        let attempt = hedged((&*ports, &key), &mut stragglers, Box::pin(self.here_alone())).await;
        self.stragglers.extend(stragglers);
        attempt
    }

    /// Has a peer do it: that of the round, or the one of them that is done first.
    pub(super) async fn there(&mut self, round: &Round) -> Result<Done<P::Object>, Attempt> {
        self.journey.doubts.begins();
        self.asked += round.peers.len();
        let mut stragglers = std::mem::take(&mut self.stragglers);
        let (ports, key) = (Arc::clone(&self.journey.ports), self.journey.job.key.clone());
        let attempt = Box::pin(self.there_alone(round));
        let attempt = hedged((&*ports, &key), &mut stragglers, attempt).await;
        self.stragglers.extend(stragglers);
        attempt
    }

    /// No other node is left to try: what did not get on may yet.
    pub(super) async fn last_chance(&mut self) -> Option<super::Outcome<P::Object>> {
        if self.stragglers.is_empty() {
            return None;
        }
        let (ports, job) = (&*self.journey.ports, &self.journey.job);
        let late = first_done((ports, &job.key), &mut self.stragglers);
        match clock::timeout_at(job.budget.deadline(), late).await {
            Ok(Some(done)) => Some(Ok(done)),
            Ok(None) => None,
            Err(_) => Some(Err(WorkError::TooLate)),
        }
    }

    async fn here_alone(&mut self) -> Result<Done<P::Object>, Attempt> {
        let Journey { ports, job, reservation, .. } = &mut *self.journey;
        let result = share::work_here(ports, job, reservation.take()).await;
        job.timings.mark(if result.is_ok() { "here" } else { "not-here" });
        match result {
            Ok(served) => Ok(Done {
                object: served.object,
                by: served.by,
                route: RouteKind::Local,
                cache: served.cache,
                scores: Arc::clone(&self.scores),
            }),
            Err(WorkError::Saturated { retry_after }) => Err(self.refused_for(Some(retry_after))),
            Err(WorkError::Draining) => {
                self.leaving = true;
                Err(self.refused_for(None))
            }
            // This node's own fault: another one may do better.
            Err(error @ (WorkError::Fault { .. } | WorkError::DiskFull | WorkError::Unavailable { .. })) => {
                self.journey.tell(What::FailedHere { error: error.clone() });
                self.fault = Some(error);
                Err(Attempt::Elsewhere)
            }
            Err(WorkError::Crashed { how }) => {
                let attempt = self.crashed(how);
                self.fault.clone_from(&self.crash);
                Err(attempt)
            }
            Err(error) => Err(Attempt::Final(error)),
        }
    }

    /// A tool came to grief over it here.
    fn crashed(&mut self, how: String) -> Attempt {
        match self.journey.job.crashed(how) {
            error @ WorkError::Crashed { .. } => {
                let on = self.journey.ports.identity().name.clone();
                self.journey.tell(What::Crashed { on, error: error.clone() });
                self.crash = Some(error);
                Attempt::Elsewhere
            }
            verdict => Attempt::Final(verdict),
        }
    }

    /// A peer says that one did there. It is the video when one did here, too; two peers that say so are no proof yet.
    fn crashed_there(&mut self, peer: NodeName, how: String) -> Attempt {
        let error = self.journey.job.crashed(how.clone());
        if self.has_crashed_here() && matches!(error, WorkError::Unusable { .. }) {
            return Attempt::Final(error);
        }
        self.journey.doubts.crash();
        let error = WorkError::Crashed { how };
        self.journey.tell(What::Crashed { on: peer, error: error.clone() });
        self.crash = Some(error);
        if self.journey.doubts.are_enough() { self.for_itself() } else { Attempt::Elsewhere }
    }

    /// A peer says that the video can't be used. What it says is the verdict where a tool of this node's came to grief over it, too;
    /// else this node sees for itself.
    fn doubted(&mut self, candidate: &Candidate, why: String) -> Attempt {
        self.journey.doubts.verdict(&candidate.identity, &why);
        let error = WorkError::Unusable { why };
        if self.has_crashed_here() {
            return Attempt::Final(error);
        }
        self.journey.tell(What::Doubted { peer: candidate.identity.name.clone(), error });
        self.for_itself()
    }

    /// This node is next, if it has not failed at it by its own fault.
    const fn for_itself(&self) -> Attempt {
        if self.fault.is_none() { Attempt::Here } else { Attempt::Elsewhere }
    }

    const fn has_crashed_here(&self) -> bool {
        matches!(self.fault, Some(WorkError::Crashed { .. }))
    }

    /// What this node's own look at the video says against it, where peers spoke against it and it has not looked yet.
    pub(super) async fn own_verdict(&mut self) -> Option<WorkError> {
        let Journey { ports, job, doubts, .. } = &mut *self.journey;
        if job.facts.is_some() || doubts.last().is_none() {
            return None;
        }
        match ports.probe(job).await {
            Ok(facts) => {
                job.facts = Some(facts);
                None
            }
            Err(verdict @ WorkError::Unusable { .. }) => Some(verdict),
            // It can't tell.
            Err(_) => None,
        }
    }

    /// The end of a job that this node can't do, and of which peers say that nobody can: not their word for it, since no tool of this
    /// node's agrees, but that it may be so.
    pub(super) fn undecided(&self) -> Option<WorkError> {
        let why = self.journey.doubts.last()?;
        Some(WorkError::Crashed { how: format!("another node says that it can't be used: {why}") })
    }

    async fn there_alone(&mut self, round: &Round) -> Result<Done<P::Object>, Attempt> {
        let (place, taken) = match (&round.peers[..], &round.here) {
            ([peer], None) => match self.offer(peer, round.answer_by).await {
                Ok(taken) => (0, taken),
                Err(error) => return Err(self.failed(peer, error, false)),
            },
            _ => self.award(round).await?,
        };
        let peer = &round.peers[place];
        match self.hand_over(peer, taken).await {
            None => {
                self.journey.doubts.stall();
                Err(if self.journey.doubts.have_stalled() { self.for_itself() } else { Attempt::Elsewhere })
            }
            Some(Ok(done)) => {
                self.journey.job.timings.mark("peer");
                Ok(done)
            }
            Some(Err(error)) => Err(self.failed(peer, error, true)),
        }
    }

    /// A peer has not done it; `taken`: it had said that it would.
    pub(super) fn failed(&mut self, candidate: &Candidate, error: PeerError, taken: bool) -> Attempt {
        self.journey.job.timings.mark("no-peer");
        let peer = candidate.identity.name.clone();
        match error {
            PeerError::Ended(WorkError::Crashed { how }) => return self.crashed_there(peer, how),
            PeerError::Ended(WorkError::Unusable { why }) => return self.doubted(candidate, why),
            PeerError::Ended(error) => return Attempt::Final(error),
            PeerError::Refused { reason, retry_after } => {
                if taken {
                    let seen = format!("it took a job, and refused it then: {reason:.100}");
                    self.journey.ports.hold_against(&candidate.identity, Fault::Reneged, &seen);
                }
                self.journey.tell(What::Refused { peer, reason, taken });
                return self.refused_for(retry_after);
            }
            // Why it is avoided was said already.
            PeerError::Unreachable(reason) | PeerError::Avoided(reason) => {
                self.journey.tell(What::Lost { peer, reason });
            }
            error @ (PeerError::Faulty { .. } | PeerError::NotTaken(_)) => {
                self.journey.tell(What::ResultNotTaken { peer, error });
            }
        }
        Attempt::Elsewhere
    }

    /// Whether a job that has a place here has been kept asking for a better one long enough. Work that a peer began is not asking.
    pub(super) fn has_asked_enough(&self) -> bool {
        self.refusing >= REFUSING_MAX || self.silent >= SILENT_MAX
    }

    fn refused_for(&mut self, retry_after: Option<Duration>) -> Attempt {
        self.retry_after = [self.retry_after, retry_after].into_iter().flatten().min();
        Attempt::Elsewhere
    }

    /// An offer of it, that is not on its way yet.
    pub(super) fn offer_to(&self, candidate: &Candidate) -> Offer<P> {
        let Journey { ports, job, reservation, .. } = &*self.journey;
        // A node that has no place for it, has failed at it or is leaving has nothing to compare with: the job is not done here, however
        // soon it would be.
        let has_place = reservation.is_some() && !self.leaving && self.fault.is_none();
        let backlog = has_place
            .then(|| candidate.backlog_max(ports.backlog(job.client, reservation.as_ref())))
            .flatten();
        Offer::new(ports, job, candidate, backlog)
    }

    /// Offers it to a peer, and takes note of the time that this took in vain.
    async fn offer(&mut self, candidate: &Candidate, answer_by: Instant) -> Result<Taken<P>, PeerError> {
        let asked = clock::now();
        let Ok(answer) = clock::timeout_at(answer_by, self.offer_to(candidate)).await else {
            self.silent += clock::now() - asked;
            return Err(PeerError::Refused { reason: "no time for its answer".into(), retry_after: None });
        };
        let took = clock::now() - asked;
        match &answer {
            Err(PeerError::Refused { .. }) => self.refusing += took,
            Err(PeerError::Unreachable(_) | PeerError::Avoided(_)) => self.silent += took,
            Ok(_) | Err(PeerError::Ended(_) | PeerError::Faulty { .. } | PeerError::NotTaken(_)) => {}
        }
        answer
    }

    /// Sends a job that a peer has accepted, and waits for its result as long as something moves. None when nothing does: then it
    /// is a straggler.
    async fn hand_over(
        &mut self,
        candidate: &Candidate,
        taken: Taken<P>,
    ) -> Option<Result<Done<P::Object>, PeerError>> {
        if let Some(place) = &self.journey.reservation {
            self.journey.ports.send_away(place);
        }
        let (ports, job) = (Arc::clone(&self.journey.ports), &self.journey.job);
        let (peer, motion) = (&candidate.identity, Motion::default());
        let life = ports.journeys().lives.enter(&job.key);
        // What is slow is not left in the lurch as what hangs is, but not waited for to the end either.
        let (since, left) = (clock::now(), job.budget.left());
        let wait = Wait { ports: &*ports, job, since, left };
        let mut exchange = self.exchange(candidate, taken, motion.clone());
        let watch = until_stalled(&*ports, (peer, candidate.rtt), &job.key, (&motion, &life), &wait);
        let stall = tokio::select! {
            biased;
            handed = &mut exchange => return Some(handed),
            stall = watch => stall,
        };
        let name = peer.name.clone();
        match stall {
            Stall::Still(seen) => {
                ports.hold_against(peer, Fault::Stalled, &seen);
                self.journey.tell(What::Stalled { peer: name, seen });
            }
            Stall::Slow => {
                self.journey.doubts.slow(peer, since);
                self.journey.tell(What::Slow { peer: name });
            }
        }
        self.journey.job.timings.mark("stalled");
        self.stragglers.push(exchange);
        None
    }

    /// The job's way to a peer, and its result's way back.
    fn exchange(&self, candidate: &Candidate, taken: Taken<P>, motion: Motion) -> Straggler<P::Object> {
        let (ports, job) = (Arc::clone(&self.journey.ports), self.journey.job.clone());
        let (peer, route) = (Arc::clone(&candidate.identity), candidate.route);
        let scores = Arc::clone(&self.scores);
        Box::pin(async move {
            let Some((accepted, handoff)) = taken.used() else { unreachable!("it is used once") };
            let exchange = async {
                let delivery = ports.send(&peer, &job, &accepted, &motion).await?;
                ports.keep(&job, &peer, delivery, &motion).await
            };
            let handed = tokio::select! {
                biased;
                result = exchange => result,
                () = ports.lost(&peer) => {
                    Err(PeerError::Unreachable("gossip found it dead while it had the job".into()))
                }
                () = clock::sleep_until(job.budget.limit()) => Err(PeerError::Ended(WorkError::TooLate)),
            };
            learn(&handoff, handed.as_ref().err(), &motion);
            tell_of_handover((&*ports, &job.key), (&peer.name, route), &motion, handed.is_ok());
            handed.map(|(object, cache)| Done { object, by: peer, route, cache, scores })
        })
    }
}

/// The router learns what became of a job that a peer had.
fn learn(handoff: &Handoff, failed: Option<&PeerError>, motion: &Motion) {
    let now = clock::now();
    let transfers = motion.transfers();
    if let Some((bytes, took)) = transfers.first().copied() {
        handoff.observe(now, Outcome::Sent { bytes, took });
    }
    if let (Some((bytes, took)), None) = (transfers.get(1).copied(), failed) {
        handoff.observe(now, Outcome::Received { bytes, took });
    }
    let outcome = match failed {
        None => Outcome::Done,
        Some(PeerError::Unreachable(_) | PeerError::Faulty { .. } | PeerError::Refused { .. }) => {
            Outcome::Failed
        }
        Some(PeerError::Ended(_) | PeerError::NotTaken(_) | PeerError::Avoided(_)) => Outcome::Over,
    };
    handoff.observe(now, outcome);
}

/// Tells how the bodies went, and what became of a job that a peer had.
fn tell_of_handover<P: Ports>(
    (ports, key): (&P, &Key),
    (peer, route): (&NodeName, RouteKind),
    motion: &Motion,
    done: bool,
) {
    let transfers = motion.transfers();
    for (there, transfer) in [(true, transfers.first()), (false, transfers.get(1).filter(|_| done))] {
        if let Some((bytes, took)) = transfer.copied() {
            let what = What::Transferred { peer: peer.clone(), route, there, bytes, took };
            ports.tell(Event { key: key.clone(), what });
        }
    }
    ports.tell(Event { key: key.clone(), what: What::HandedOver { peer: peer.clone(), route, done } });
}

/// An attempt beside what does not get on elsewhere: whichever has a result first counts, and ends the others.
pub(super) async fn hedged<P: Ports, O: Send + 'static>(
    (ports, key): (&P, &Key),
    stragglers: &mut Stragglers<O>,
    attempt: impl Future<Output = Result<Done<O>, Attempt>>,
) -> Result<Done<O>, Attempt> {
    if stragglers.is_empty() {
        return attempt.await;
    }
    let late = async {
        match first_done((ports, key), stragglers).await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        attempted = attempt => {
            if attempted.is_ok() {
                ports.tell(Event { key: key.clone(), what: What::HedgeWon });
            }
            attempted
        }
        done = late => Ok(done),
    }
}

/// The first result of what did not get on; none if there is none to come.
async fn first_done<P: Ports, O: Send + 'static>(
    (ports, key): (&P, &Key),
    stragglers: &mut Stragglers<O>,
) -> Option<Done<O>> {
    while let Some(handed) = stragglers.next().await {
        match handed {
            Ok(done) => return Some(done),
            Err(error) => ports.tell(Event { key: key.clone(), what: What::StragglerFailed { error } }),
        }
    }
    None
}
