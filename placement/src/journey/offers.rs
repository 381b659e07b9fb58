//! Offers on their way, and places that peers hold: none is left behind, whatever becomes of the request that they were made for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use starling_overlay::Identity;

use super::{Accepted, Answer, Event, Job, PeerError, Ports, Proposal, What, clock};
use crate::desk::{Backlog, Ready};
use crate::policy::{Candidate, Handoff, Outcome};

/// A place for a job at a peer. Dropped before the job is sent into it, it is given back.
pub(super) struct Taken<P: Ports> {
    ports: Arc<P>,
    peer: Arc<Identity>,
    /// The peer's yes, and what the router is told of the job; until it is sent.
    held: Option<(P::Accepted, Handoff)>,
}

impl<P: Ports> Taken<P> {
    /// When the peer says that the job would be done.
    pub(super) fn ready(&self) -> Ready {
        self.held.as_ref().map(|(accepted, _)| accepted.ready()).unwrap_or_default()
    }

    /// The job is sent now: what becomes of the place is seen by that.
    pub(super) fn used(mut self) -> Option<(P::Accepted, Handoff)> {
        self.held.take()
    }
}

impl<P: Ports> Drop for Taken<P> {
    fn drop(&mut self) {
        let Some((accepted, handoff)) = self.held.take() else { return };
        handoff.observe(clock::now(), Outcome::Over);
        let (ports, peer) = (Arc::clone(&self.ports), Arc::clone(&self.peer));
        // Ends by itself: told, or with the time that the question has.
        self.ports.spawn(Box::pin(async move { ports.release(&peer, &accepted).await }));
    }
}

/// An offer to one peer. Once begun it comes to its end, whether its answer is still waited for or not: a yes that comes too late
/// is taken back.
pub(super) struct Offer<P: Ports> {
    ports: Arc<P>,
    answer: BoxFuture<'static, Result<Taken<P>, PeerError>>,
    /// The peer has been asked, and has not answered.
    open: bool,
}

impl<P: Ports> Offer<P> {
    pub(super) fn new(ports: &Arc<P>, job: &Job<P>, candidate: &Candidate, backlog: Option<Backlog>) -> Self {
        // The video is not held by it: an answer may still be waited for when the request is over.
        let (asked, proposal) = (Arc::clone(ports), Proposal::new(job, backlog));
        let (peer, rtt) = (Arc::clone(&candidate.identity), candidate.rtt);
        let (key, route) = (job.key.clone(), candidate.route);
        let handoff = ports.router().hand_off(clock::now(), candidate, &job.demand());
        let answer = async move {
            let answer = asked.offer(&peer, rtt, &proposal).await;
            handoff.observe(clock::now(), answered(&answer));
            let what = What::Offered { peer: peer.name.clone(), route, answer: Answer::of(&answer) };
            asked.tell(Event { key, what });
            answer.map(|accepted| Taken { ports: asked, peer, held: Some((accepted, handoff)) })
        };
        Self { ports: Arc::clone(ports), answer: Box::pin(answer), open: false }
    }
}

impl<P: Ports> Future for Offer<P> {
    type Output = Result<Taken<P>, PeerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.answer.poll_unpin(context);
        self.open = answer.is_pending();
        answer
    }
}

impl<P: Ports> Drop for Offer<P> {
    fn drop(&mut self) {
        if self.open {
            let answer = std::mem::replace(&mut self.answer, Box::pin(std::future::pending()));
            // Ends by itself, with the answer or the time that the question has.
            self.ports.spawn(Box::pin(async move { drop(answer.await) }));
        }
    }
}

/// What became of an offer.
fn answered<T>(answer: &Result<T, PeerError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Accepted,
        Err(PeerError::Refused { retry_after, .. }) => Outcome::Refused { retry_after: *retry_after },
        Err(PeerError::Unreachable(_) | PeerError::Faulty { .. }) => Outcome::Failed,
        Err(PeerError::Ended(_) | PeerError::NotTaken(_) | PeerError::Avoided(_)) => Outcome::Over,
    }
}
