//! Choosing, and learning from what became of the choice.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use starling_overlay::{Identity, View};

use super::bandwidth::{Bandwidths, Direction};
use super::ledger::{Handing, HandoffId, Ledger};
use super::order::Scratch;
use super::roster::Roster;
use super::{Avoided, Candidate, Demand, OwnDesk, Policy, Reliability, Situation, Sizes};

/// What a node knows by its own doing.
#[derive(Clone, Debug, Default)]
pub struct Experience {
    /// Own hand-offs that gossip may not show yet.
    pub ledger: Ledger,
    /// How fast bytes go.
    pub bandwidths: Bandwidths,
    /// Where jobs failed.
    pub reliability: Reliability,
    /// How large results are.
    pub sizes: Sizes,
}

/// What became of a hand-off, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer has a place for the job.
    Accepted,
    /// It has none, and says when it may have one. The hand-off is over.
    Refused {
        /// Until then, if it said.
        retry_after: Option<Duration>,
    },
    /// The input has gone there.
    Sent {
        /// Its length.
        bytes: u64,
        /// From its first byte to its last.
        took: Duration,
    },
    /// The result has come back.
    Received {
        /// Its length.
        bytes: u64,
        /// From its first byte to its last.
        took: Duration,
    },
    /// The result is here and is what was asked for. The hand-off is over.
    Done,
    /// Nothing came of it, and the job was not to blame. The hand-off is over.
    Failed,
    /// It is over, and says nothing of the peer: no answer was waited for, or the job itself was at fault.
    Over,
}

/// One decision that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The membership. What it says is worked out once for each, and not for each question.
    pub view: &'a Arc<View>,
    /// What is to be done.
    pub job: Demand<'a>,
    /// This node's own figures.
    pub own: OwnDesk,
    /// Peers that did something wrong lately, by name.
    pub avoided: &'a [Avoided],
}

/// A node's policy and what it has learned. Clones are the same router.
#[derive(Clone, Debug)]
pub struct Router(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    policy: Policy,
    experience: Experience,
    turn: u64,
    rng: StdRng,
    /// The view that was asked of last, and what it says. It is not kept: whoever makes the next view of it can do so in its place.
    view: Weak<View>,
    roster: Roster,
    scratch: Scratch,
}

impl Router {
    /// Knows nothing yet.
    pub fn new(policy: Policy, rng: StdRng) -> Self {
        Self(Arc::new(Mutex::new(State {
            policy,
            experience: Experience::default(),
            turn: 0,
            rng,
            view: Weak::new(),
            roster: Roster::default(),
            scratch: Scratch::default(),
        })))
    }

    /// What decides now.
    pub fn policy(&self) -> Policy {
        self.lock().policy
    }

    /// Decides by another policy from now on; what was learned stays. Answers with the one before.
    pub fn set_policy(&self, policy: Policy) -> Policy {
        std::mem::replace(&mut self.lock().policy, policy)
    }

    /// The nodes that could do a job, best first: see [`Policy::rank`].
    pub fn rank(&self, now: Instant, question: &Question<'_>, count_max: usize) -> Vec<Candidate> {
        let mut state = self.lock();
        let State { policy, experience, turn, rng, view: seen, roster, scratch } = &mut *state;
        let Question { view, job, own, avoided } = *question;
        // No other view is at its address while it is known here.
        if !std::ptr::eq(seen.as_ptr(), Arc::as_ptr(view)) {
            roster.read(view);
            *seen = Arc::downgrade(view);
        }
        let situation = Situation { view, job, own, experience, avoided, turn: *turn, now };
        let ranked = policy.rank_of(roster, &situation, rng, count_max, scratch);
        *turn = turn.wrapping_add(1);
        ranked
    }

    /// A candidate is offered a job: from now on it counts as given to that peer, until the hand-off is over or dropped.
    pub fn hand_off(&self, now: Instant, candidate: &Candidate, job: &Demand<'_>) -> Handoff {
        let peer = Arc::clone(&candidate.identity);
        let handing = Handing {
            peer: peer.name.clone(),
            boot: peer.boot,
            profile: job.profile.clone(),
            bytes: job.bytes,
            work: candidate.work,
        };
        let id = self.lock().experience.ledger.begin(now, handing);
        Handoff { router: self.clone(), peer, id }
    }

    /// How many hand-offs are remembered.
    pub fn handoffs(&self) -> usize {
        self.lock().experience.ledger.len()
    }

    /// What was learned so far.
    pub fn experience(&self) -> Experience {
        self.lock().experience.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// One job that was offered to a peer. Dropped, it is over.
#[derive(Debug)]
pub struct Handoff {
    router: Router,
    peer: Arc<Identity>,
    id: HandoffId,
}

impl Handoff {
    /// What became of it.
    pub fn observe(&self, now: Instant, outcome: Outcome) {
        self.router.lock().experience.observe(now, &self.peer, self.id, outcome);
    }
}

impl Drop for Handoff {
    fn drop(&mut self) {
        self.router.lock().experience.ledger.give_up(self.id);
    }
}

impl Experience {
    /// Takes in what became of a hand-off to a peer.
    pub fn observe(&mut self, now: Instant, peer: &Identity, id: HandoffId, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => self.ledger.taken(now, id),
            Outcome::Refused { retry_after } => self.ledger.refused(now, id, retry_after),
            Outcome::Sent { bytes, took } => self.bandwidths.learn(now, peer, Direction::There, bytes, took),
            Outcome::Received { bytes, took } => {
                self.bandwidths.learn(now, peer, Direction::Back, bytes, took);
                if let Some(handing) = self.ledger.get(id) {
                    self.sizes.learn(&handing.profile, handing.bytes, bytes);
                }
            }
            Outcome::Done => {
                self.reliability.learn(now, &peer.name, false);
                self.ledger.ended(now, id);
            }
            Outcome::Failed => {
                self.reliability.learn(now, &peer.name, true);
                self.ledger.ended(now, id);
            }
            Outcome::Over => self.ledger.ended(now, id),
        }
    }
}
