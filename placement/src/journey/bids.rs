//! One job and several peers at once: each that takes it says when it would be done there, and the earliest gets it.
//!
//! Gossip is as old as it is, a peer's own desk is not. So under a policy that predicts times the best few by gossip are offered the job
//! at the same moment. This node bids as well, by its own desk and without being asked. The places at the peers that don't get the job
//! are given back at once, also when the request is dropped in the middle ([`super::offers`]).
//!
//! An answer is waited for as long as it may be the earliest: not when even a free worker there would be later than the best answer so
//! far, and not much longer than its way there and back. So a peer that says nothing holds no job up.
//!
//! Source: announcement, bid and award of R. G. Smith, "The Contract Net Protocol", IEEE Transactions on Computers 29(12), 1980.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::attempts::{Attempt, Attempts};
use super::offers::Taken;
use super::{Journey, PeerError, Ports, clock};
use crate::policy::{Candidate, Concern, RTT_UNKNOWN, is_sooner, margin};

/// How many peers are asked at the most before the job is done here or refused.
pub(super) const PEERS_ASKED_MAX: usize = 8;
/// Least time for a peer's answer beside the two ways there and back that a new connection and the offer take.
pub(super) const ANSWER_TIME_MIN: Duration = Duration::from_millis(100);

/// Peers that are offered a job at the same time.
pub(super) struct Round {
    pub(super) peers: Vec<Candidate>,
    /// This node, where it bids, too.
    pub(super) here: Option<Candidate>,
    /// Until when answers are waited for where there is nothing better.
    pub(super) answer_by: Instant,
}

/// What to try next.
pub(super) enum Next {
    /// This node.
    Here,
    /// These peers.
    There(Box<Round>),
}

/// A peer that has a place, and when the job would be done there.
struct Bid<P: Ports> {
    place: usize,
    done: Instant,
    taken: Taken<P>,
}

impl Round {
    /// One peer, whatever it says of the time.
    pub(super) fn of_one(peer: &Candidate, answer_by: Instant) -> Self {
        Self { peers: vec![peer.clone()], here: None, answer_by }
    }

    /// How far away the farthest of them is.
    pub(super) fn rtt_max(&self) -> Option<Duration> {
        self.peers.iter().filter_map(|peer| peer.rtt).max()
    }
}

/// Whether the offer's way to a peer and back takes longer than the work. Such a peer keeps a place for its answer's way, and so does this
/// node: these places are more than the work itself, and queues that are full of promises refuse what they could do.
fn is_far(peer: &Candidate) -> bool {
    !peer.is_local() && peer.rtt.unwrap_or(RTT_UNKNOWN) > peer.work
}

/// Lets through, in turn, peers that may be asked at the same time, and this node: a far one is asked alone.
fn company() -> impl FnMut(&Candidate) -> bool {
    let (mut asked, mut alone) = (false, false);
    move |peer| {
        if peer.is_local() {
            return true;
        }
        let may = !(alone || asked && is_far(peer));
        alone |= may && is_far(peer);
        asked |= may;
        may
    }
}

/// How many of those that are left are asked at once. One that has an encoder in hardware for the job is asked alone: others would be done
/// sooner, but not for as little.
fn at_once(open: &VecDeque<Candidate>, most: usize) -> usize {
    if open.front().is_some_and(|first| first.hardware) { 1 } else { most }
}

/// Takes the next peers out of those that are left: as many as are asked at once, or one alone of which nothing is predicted.
pub(super) fn take_few(open: &mut VecDeque<Candidate>, most: usize) -> Vec<Candidate> {
    let at_once = at_once(open, most);
    let mut may = company();
    let predicted = open.iter().take(at_once).take_while(|peer| peer.forecast.is_some() && may(peer)).count();
    open.drain(..predicted.max(1).min(open.len())).collect()
}

/// How long a peer's answer is waited for when others are still to be asked: one that says nothing takes them half of the time.
pub(super) fn answer_by(now: Instant, decide_by: Instant, rtt: Option<Duration>) -> Instant {
    let left = decide_by.saturating_duration_since(now);
    now + (left / 2).max(answer_time(rtt)).min(left)
}

fn answer_time(rtt: Option<Duration>) -> Duration {
    rtt.unwrap_or_default() * 2 + ANSWER_TIME_MIN
}

/// Whether a job with so much time left is offered to a peer at all: it may take it, and is no node that is not trusted.
pub(super) fn may_be_asked(peer: &Candidate, left: Duration) -> bool {
    !peer.is_local() && peer.concern != Concern::Distrusted && !peer.is_full(left)
}

impl<P: Ports> Attempts<'_, P> {
    /// What to try next for a job that has a place here, of the candidates that are left, best first. None: nothing.
    pub(super) fn next(&self, open: &mut VecDeque<Candidate>, most: usize) -> Option<Next> {
        let at_once = at_once(open, most);
        let budget = self.journey.job.budget;
        let asks = self.fault.is_some() || !self.has_asked_enough();
        let room = if asks { PEERS_ASKED_MAX.saturating_sub(self.asked) } else { 0 };
        if at_once > 1
            && let Some(next) = self.next_few(open, at_once, room)
        {
            return Some(next);
        }
        while let Some(candidate) = open.pop_front() {
            if candidate.is_local() {
                if self.fault.is_none() {
                    return Some(Next::Here);
                }
            } else if room > 0 && may_be_asked(&candidate, budget.left()) {
                return Some(Next::There(Box::new(Round::of_one(&candidate, budget.deadline()))));
            }
        }
        None
    }

    /// The same where peers are asked at once. None: one after the other.
    fn next_few(&self, open: &mut VecDeque<Candidate>, at_once: usize, room: usize) -> Option<Next> {
        let budget = self.journey.job.budget;
        let local = open.iter().position(Candidate::is_local).filter(|_| self.fault.is_none());
        let here = local.map(|local| (open[local].clone(), self.here_after(&open[local])));
        let is_worth = |peer: &Candidate| {
            let sooner = |(_, after): &(Candidate, Duration)| peer.is_worth_asking(*after);
            peer.forecast.is_some() && here.as_ref().is_none_or(sooner)
        };
        let may = |place: &usize| {
            let candidate = &open[*place];
            // To ask while a job waits here anyway costs it nothing, but a far peer's place and this one's.
            let is_later = local.is_some_and(|local| *place > local);
            let is_in_vain = is_later && is_far(candidate);
            local == Some(*place)
                || (may_be_asked(candidate, budget.left()) && is_worth(candidate) && !is_in_vain)
        };
        let mut company = company();
        let best: Vec<usize> =
            (0..open.len()).filter(may).filter(|place| company(&open[*place])).take(at_once).collect();
        let places: Vec<usize> =
            best.iter().copied().filter(|place| local != Some(*place)).take(room).collect();
        let peers: Vec<Candidate> = places.iter().map(|place| open[*place].clone()).collect();
        let round =
            Round { peers, here: here.as_ref().map(|(here, _)| here.clone()), answer_by: budget.deadline() };
        if let (Some((here, after)), true) = (&here, best.first() == local.as_ref()) {
            // To ask while the job would wait here anyway costs it nothing.
            let waits = after.saturating_sub(here.work) >= round.rtt_max().unwrap_or_default();
            if round.peers.is_empty() || !waits {
                open.remove(local?);
                return Some(Next::Here);
            }
        }
        for place in places.iter().rev() {
            open.remove(*place);
        }
        (!round.peers.is_empty()).then(|| Next::There(Box::new(round)))
    }

    /// From now to the result, if this node does it.
    fn here_after(&self, here: &Candidate) -> Duration {
        let Journey { ports, job, reservation, .. } = &*self.journey;
        let wait = ports.backlog(job.client, reservation.as_ref()).wait_ms;
        let wait = wait.map(|ms| Duration::from_millis(ms.into()));
        let thought = || here.forecast.map_or(Duration::ZERO, |forecast| forecast.wait);
        wait.unwrap_or_else(thought).saturating_add(here.work)
    }

    /// Offers the job to all of them at once. Answers with the place in the round of the peer that is to do it; [`Attempt::Here`]: it is
    /// done sooner here.
    pub(super) async fn award(&mut self, round: &Round) -> Result<(usize, Taken<P>), Attempt> {
        let begun = clock::now();
        let mut asked: FuturesUnordered<_> = (0..round.peers.len())
            .map(|place| {
                let offer = self.offer_to(&round.peers[place]);
                async move { (place, offer.await) }
            })
            .collect();
        let mut silent: Vec<usize> = (0..round.peers.len()).collect();
        let (mut bids, mut refused): (Vec<Bid<P>>, bool) = (Vec::new(), false);
        while !silent.is_empty() {
            let best = bids.iter().map(|bid| bid.done).min();
            let until = self.waited_for_until(round, &silent, best, begun);
            let Ok(Some((place, answer))) = clock::timeout_at(until, asked.next()).await else { break };
            silent.retain(|other| *other != place);
            let peer = &round.peers[place];
            match answer {
                Ok(taken) => {
                    let after = peer.done_after(taken.ready()).unwrap_or_default();
                    bids.push(Bid { place, done: clock::now() + after, taken });
                }
                Err(error) => {
                    refused |= matches!(error, PeerError::Refused { .. });
                    if let Attempt::Final(verdict) = self.failed(peer, error, false) {
                        return Err(Attempt::Final(verdict));
                    }
                }
            }
        }
        if bids.is_empty() {
            let took = clock::now() - begun;
            *(if refused { &mut self.refusing } else { &mut self.silent }) += took;
            return Err(Attempt::Elsewhere);
        }
        self.choose(round, bids)
    }

    /// The earliest. The places at the others are given back, and should it come to nothing, they are asked again.
    fn choose(&mut self, round: &Round, mut bids: Vec<Bid<P>>) -> Result<(usize, Taken<P>), Attempt> {
        bids.sort_by_key(|bid| (bid.done, bid.place));
        let after = clock::left(bids[0].done);
        let here = round.here.as_ref().map(|here| self.here_after(here));
        let awarded = if here.is_none_or(|here| is_sooner(after, here)) {
            let Bid { place, taken, .. } = bids.remove(0);
            Ok((place, taken))
        } else {
            Err(Attempt::Here)
        };
        self.willing.extend(bids.iter().map(|bid| round.peers[bid.place].clone()));
        awarded
    }

    /// Until when peers that have said nothing yet are waited for.
    fn waited_for_until(
        &self,
        round: &Round,
        silent: &[usize],
        best: Option<Instant>,
        begun: Instant,
    ) -> Instant {
        let now = clock::now();
        let here = round.here.as_ref().map(|here| {
            let after = self.here_after(here);
            now + after.saturating_sub(margin(after))
        });
        let Some(to_beat) = best.into_iter().chain(here).min() else { return round.answer_by };
        let until = silent.iter().map(|place| {
            let peer = &round.peers[*place];
            let least = peer.done_after_at_least().unwrap_or_default();
            let hopeful = to_beat.checked_sub(least).unwrap_or(now);
            hopeful.min(begun + answer_time(peer.rtt))
        });
        until.max().unwrap_or(now).min(round.answer_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn however_many_say_nothing_it_is_decided_in_time() {
        let begun = start();
        let decide_by = begun + Duration::from_millis(700);
        for rtt_ms in [None, Some(0), Some(40), Some(250), Some(10_000)] {
            let (mut now, mut asked) = (begun, 0);
            while now < decide_by {
                let until = answer_by(now, decide_by, rtt_ms.map(Duration::from_millis));
                assert!(now < until && until <= decide_by);
                (now, asked) = (until, asked + 1);
            }
            let enough = if rtt_ms.unwrap_or_default() <= 40 { 3 } else { 1 };
            assert!((enough..=PEERS_ASKED_MAX).contains(&asked), "{rtt_ms:?}: {asked}");
        }
        // A way that takes longer than half of the time is not in vain.
        let far = answer_by(begun, decide_by, Some(Duration::from_millis(250)));
        assert_eq!(far - begun, Duration::from_millis(600));
    }
}
