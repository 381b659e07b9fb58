//! Carrying a routing decision out: one candidate after the other, until one has done the job.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::attempts::{Attempt, Attempts, hedged};
use super::bids::{Next, PEERS_ASKED_MAX, Round, answer_by, may_be_asked, take_few};
use super::{Done, Journey, Outcome, Ports, Reservation, What, clock};
use crate::error::WorkError;
use crate::policy::{Candidate, Concern, OwnDesk, Question};

/// Candidates that are ranked for it: some of them turn out not to be asked.
const RANKED_MAX: usize = 4 * PEERS_ASKED_MAX;
/// Time to find another node for a job that does not get on where it is.
const HEDGE_DECIDED_AFTER: Duration = Duration::from_millis(700);

impl<P: Ports> Journey<P> {
    /// Does the job wherever there is a place for it: here, or, without one, at a peer that takes it as it is.
    pub(super) async fn make(&mut self) -> Outcome<P::Object> {
        let outcome = self.make_somewhere().await;
        if let Ok(done) = &outcome {
            self.doubts.settle(&*self.ports, &done.by);
        }
        // What was not used.
        self.reservation = None;
        outcome
    }

    async fn make_somewhere(&mut self) -> Outcome<P::Object> {
        if let Err(lack) = self.ports.can_make(&self.job.key.profile) {
            return self.after_fault(lack).await;
        }
        if self.reservation.is_some() || self.reserve() {
            return self.with_reservation().await;
        }
        match Box::pin(self.elsewhere()).await {
            Ok(outcome) => outcome,
            // To ask took time, in which a place may have come free.
            Err(_) if self.reserve() => self.with_reservation().await,
            Err(retry_after) => Err(self.refuse(retry_after)),
        }
    }

    /// Takes a place here for a job of which no more is known than its content. False: there is none.
    pub(super) fn reserve(&mut self) -> bool {
        let Self { ports, job, reservation, .. } = self;
        if ports.can_make(&job.key.profile).is_err() {
            return false;
        }
        *reservation = ports.reserve(job.client, &job.key, job.budget.deadline());
        job.timings.mark(if reservation.is_some() { "place" } else { "no-place" });
        reservation.is_some()
    }

    /// Looks at the video of a job that has a place here, and then does it.
    pub(super) async fn with_reservation(&mut self) -> Outcome<P::Object> {
        let begun = clock::now();
        if self.job.facts.is_none() {
            match self.ports.probe(&self.job).await {
                Ok(facts) => self.job.facts = Some(facts),
                Err(fault @ (WorkError::Fault { .. } | WorkError::Crashed { .. })) => {
                    self.reservation = None;
                    return self.after_fault(fault).await;
                }
                Err(verdict) => return Err(verdict),
            }
        }
        self.job.timings.mark("look");
        self.job.budget.looked_at(clock::now() - begun);
        Box::pin(self.dispatch()).await
    }

    /// Does a job that has a place here: where the policy finds it best, and when that fails, where it finds it next best.
    async fn dispatch(&mut self) -> Outcome<P::Object> {
        let booked = self.reservation.as_ref().is_some_and(Reservation::is_booked);
        let ranked = self.rank(RANKED_MAX);
        let scores = self.scores(&ranked);
        let at_once = self.offers_at_once();
        let mut attempts = Attempts::new(self, scores);
        // What was told to come back now is not sent on: its place is here.
        if booked && let Some(outcome) = decided(attempts.here().await) {
            return outcome;
        }
        if attempts.leaving {
            return attempts.hand_on().await;
        }
        let mut local_refused = false;
        let mut open = VecDeque::from(ranked);
        while let Some(next) = attempts.next(&mut open, at_once) {
            if attempts.journey.job.budget.is_over() {
                return Err(WorkError::TooLate);
            }
            let mut attempt = match next {
                Next::Here => Err(Attempt::Here),
                Next::There(round) => attempts.there(&round).await,
            };
            if matches!(attempt, Err(Attempt::Here)) {
                open.retain(|candidate| !candidate.is_local());
                attempt = attempts.here().await;
                local_refused = attempts.fault.is_none();
            }
            if let Some(outcome) = decided(attempt) {
                return outcome;
            }
            if attempts.leaving {
                return attempts.hand_on().await;
            }
            attempts.willing.drain(..).rev().for_each(|peer| open.push_front(peer));
        }
        // The queue here was full when it was this node's turn; asking the others took time in which a place came free.
        if local_refused && let Some(outcome) = decided(attempts.here().await) {
            return outcome;
        }
        if attempts.leaving {
            return attempts.hand_on().await;
        }
        if let Some(outcome) = attempts.last_chance().await {
            return outcome;
        }
        let Attempts { fault, crash, retry_after, .. } = attempts;
        Err(fault.or(crash).unwrap_or_else(|| self.refuse(retry_after)))
    }

    /// Finds a peer for a job that this node can't so much as look at, by its own fault or perhaps the video's; or that it lacks the
    /// encoder for.
    async fn after_fault(&mut self, fault: WorkError) -> Outcome<P::Object> {
        let fault = match fault {
            WorkError::Crashed { how } => self.job.crashed(how),
            other => other,
        };
        if matches!(fault, WorkError::Unusable { .. }) {
            return Err(fault);
        }
        let ranked = self.rank(RANKED_MAX);
        let scores = self.scores(&ranked);
        let deadline = self.job.budget.deadline();
        let mut attempts = Attempts::new(self, scores);
        attempts.fault = Some(fault);
        let may = |peer: &&Candidate| !peer.is_local() && peer.concern != Concern::Distrusted;
        for candidate in ranked.iter().filter(may).take(PEERS_ASKED_MAX) {
            if attempts.journey.job.budget.is_over() {
                return Err(WorkError::TooLate);
            }
            if let Some(outcome) = decided(attempts.there(&Round::of_one(candidate, deadline)).await) {
                return outcome;
            }
            if let Some(verdict) = attempts.own_verdict().await {
                return Err(verdict);
            }
            if attempts.journey.doubts.are_enough() {
                break;
            }
        }
        if let Some(outcome) = attempts.last_chance().await {
            return outcome;
        }
        if let Some(undecided) = attempts.undecided() {
            return Err(undecided);
        }
        match (attempts.fault, attempts.retry_after) {
            // There is a node that can, and it will have time.
            (Some(WorkError::Unavailable { .. }), Some(retry_after)) => {
                Err(WorkError::Saturated { retry_after })
            }
            (fault, retry_after) => Err(fault.unwrap_or_else(|| self.refuse(retry_after))),
        }
    }

    /// Finds a peer for a job that has no place here, of which no more is known than its content: neither a look's time nor more
    /// than [`super::TimeBudget::decide_by`] is spent on what may be refused in the end. Fails if no peer takes it, with the time
    /// that peers named.
    async fn elsewhere(&mut self) -> Result<Outcome<P::Object>, Option<Duration>> {
        let ranked = self.rank(RANKED_MAX);
        let scores = self.scores(&ranked);
        let (budget, at_once) = (self.job.budget, self.offers_at_once());
        let mut attempts = Attempts::new(self, scores);
        let may = |peer: &Candidate| may_be_asked(peer, budget.left());
        let mut open: VecDeque<_> = ranked.into_iter().filter(may).take(PEERS_ASKED_MAX).collect();
        let mut decide_by = budget.decide_by();
        while !open.is_empty() && attempts.asked < PEERS_ASKED_MAX {
            let now = clock::now();
            if now >= decide_by {
                break;
            }
            let mut round = Round { peers: take_few(&mut open, at_once), here: None, answer_by: decide_by };
            if !open.is_empty() {
                round.answer_by = answer_by(now, decide_by, round.rtt_max());
            }
            if let Some(outcome) = decided(attempts.there(&round).await) {
                return Ok(outcome);
            }
            if let Some(verdict) = attempts.own_verdict().await {
                return Ok(Err(verdict));
            }
            if attempts.journey.doubts.are_enough() {
                break;
            }
            attempts.willing.drain(..).rev().for_each(|peer| open.push_front(peer));
            if attempts.has_stragglers() || attempts.journey.doubts.are_any() {
                // It was taken, so it is no refusal that is waited for now.
                decide_by = clock::now() + HEDGE_DECIDED_AFTER;
            }
        }
        if attempts.has_stragglers() {
            // No other node takes it. A place here may have come free; if not, what does not get on may yet.
            if attempts.journey.reserve() {
                let Attempts { journey, stragglers, .. } = attempts;
                return Ok(journey.beside(stragglers).await);
            }
            if let Some(outcome) = attempts.last_chance().await {
                return Ok(outcome);
            }
        }
        Err(attempts.retry_after)
    }

    /// Does the job in its place here, beside peers where it does not get on.
    async fn beside(&mut self, mut stragglers: super::attempts::Stragglers<P::Object>) -> Outcome<P::Object> {
        let (ports, key) = (Arc::clone(&self.ports), self.job.key.clone());
        let work = Box::pin(async { self.with_reservation().await.map_err(Attempt::Final) });
        match hedged((&*ports, &key), &mut stragglers, work).await {
            Ok(done) => Ok(done),
            Err(Attempt::Final(error)) => Err(error),
            Err(Attempt::Elsewhere | Attempt::Here) => unreachable!("it has no such end"),
        }
    }

    /// The best candidates for the job, with the place that it has here if it has one; this node among them.
    fn rank(&self, count_max: usize) -> Vec<Candidate> {
        let Self { ports, job, reservation, .. } = self;
        let demand = job.demand();
        let service = match demand.work_pixels {
            Some(pixels) => ports.estimate(job.client, &job.key.profile, pixels).service,
            None => ports.usual_service(job.client, &job.key.profile),
        };
        let backlog = ports.backlog(job.client, reservation.as_ref());
        let own = OwnDesk { load: ports.own_load(), backlog, service };
        let (view, avoided) = (ports.view(), ports.avoided());
        ports.rank(&Question { view: &view, job: demand, own, avoided: &avoided }, count_max)
    }

    /// How many peers the policy has asked at the same time.
    fn offers_at_once(&self) -> usize {
        self.ports.router().policy().kind.offers_at_once()
    }

    /// `node1/FRA=0.120 node4/FRA=0.031 …`, best first.
    fn scores(&self, ranked: &[Candidate]) -> Arc<str> {
        let scores = scores_text(ranked);
        self.tell(What::Ranked { scores: Arc::clone(&scores), candidates: ranked.into() });
        scores
    }
}

impl<P: Ports> Attempts<'_, P> {
    /// Finds a peer for a job that was taken here, where it can't be done any more: this node is leaving. Each may say no, but all
    /// are asked, first the one that is likely to begin soonest.
    async fn hand_on(&mut self) -> Outcome<P::Object> {
        let ports = Arc::clone(&self.journey.ports);
        let mut peers = self.journey.rank(usize::MAX);
        peers.retain(|candidate| !candidate.is_local() && candidate.concern != Concern::Distrusted);
        let deadline = self.journey.job.budget.deadline();
        while let Some((candidate, _turn)) = ports.journeys().handovers.next(&mut peers) {
            if self.journey.job.budget.is_over() {
                return Err(WorkError::TooLate);
            }
            if let Some(outcome) = decided(self.there(&Round::of_one(&candidate, deadline)).await) {
                return outcome;
            }
            if let Some(verdict) = self.own_verdict().await {
                return Err(verdict);
            }
        }
        self.last_chance().await.unwrap_or(Err(WorkError::Draining))
    }
}

fn decided<O>(attempt: Result<Done<O>, Attempt>) -> Option<Outcome<O>> {
    match attempt {
        Ok(done) => Some(Ok(done)),
        Err(Attempt::Final(error)) => Some(Err(error)),
        Err(Attempt::Elsewhere | Attempt::Here) => None,
    }
}

fn scores_text(ranked: &[Candidate]) -> Arc<str> {
    let mut text = String::new();
    let scored = ranked.iter().filter(|candidate| candidate.score.is_finite());
    for Candidate { identity, score, .. } in scored.take(PEERS_ASKED_MAX + 1) {
        let space = if text.is_empty() { "" } else { " " };
        write!(text, "{space}{}/{}={score:.3}", identity.name, identity.zone).expect("a text takes all");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::super::handover::tests::{peer, silent};
    use super::*;

    #[test]
    fn scores_are_told_of_those_that_have_one() {
        let mut ranked = vec![peer("d", 3, 90), peer("b", 0, 5)];
        ranked[0].score = 0.1;
        ranked.push(Candidate { score: f64::INFINITY, ..silent("a", 0) });
        assert_eq!(&*scores_text(&ranked), "d/FRA=0.100 b/FRA=0.000");
        assert_eq!(&*scores_text(&[]), "");
    }
}
