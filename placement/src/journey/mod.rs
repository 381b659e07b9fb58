//! The story of one request, from the video that is here to its result: claim, dispatch, attempts, work here, hand-over.
//!
//! ```text
//!  answer              share.rs      is the result here? else join the work on it, or begin it
//!   -> claim           claim.rs      ask the content's home (lease.rs holds what it gives), wait while another node is at it
//!   -> make            dispatch.rs   a place in the own queue, a look at the video, and then one candidate after the other
//!       -> here        attempts.rs   work_here (share.rs): the own workers, shared with what peers asked for
//!       -> there       attempts.rs   offer (offers.rs; to a few at once: bids.rs), send, keep; watched by watch.rs, hedged when
//!                                    nothing moves
//!       -> hand on     dispatch.rs   this node is leaving: handover.rs says which peer gets the next job
//!   -> refuse          refuse.rs     when to come back, or that it takes too long
//! ```
//!
//! A journey is `async` code over the traits of `ports.rs` and over tokio's clock alone: selects are `biased`, maps are ordered,
//! waiters are woken in their order, nothing draws numbers. So a paused runtime drives it in virtual time, the same way each time.
//! What has to go on when its request is gone (the end of a lease, work that several wait for) is given to [`Host::spawn`].

mod attempts;
mod bids;
mod budget;
mod claim;
pub mod clock;
mod dispatch;
mod doubts;
mod event;
mod flights;
mod handover;
mod job;
mod lease;
mod life;
mod offers;
mod peer;
mod ports;
mod question;
mod refuse;
mod share;
#[cfg(test)]
mod tests;
mod timings;
mod watch;

use std::sync::Arc;

pub use budget::TimeBudget;
pub use event::{Answer, Event, What};
pub use job::{CacheState, Done, Job, Outcome, Proposal, Served};
pub use life::{Life, Lives, Part, Progress};
pub use peer::{Fault, PeerError};
pub use ports::{Accepted, Facts, Host, OwnDesk, Peers, Ports, Reservation, Things, Work};
pub use question::{
    PROGRESS_TIMEOUT_MAX, QUESTION_TIMEOUT_MAX, QUESTION_TIMEOUT_MIN, progress_timeout, question_timeout,
};
pub use refuse::refuse_unread;
pub use share::{answer, work_here};
pub use timings::Timings;
pub use watch::Motion;

use crate::content::Key;
use crate::lease::{Leases, Lessee, Verdict};

/// What the journeys of one node have in common.
#[derive(Debug)]
pub struct Journeys<O> {
    /// What requests wait for, wherever it is made.
    answers: flights::Flights<Key, share::Ended<O>>,
    /// Work of this node's own workers, for requests and for peers. It never waits for an answer: two nodes that hand each other
    /// one content at the same moment would wait for each other.
    works: flights::Flights<Key, share::Ended<O>>,
    /// Signs of life of all that is under way.
    pub lives: Lives,
    /// Leases of the contents whose home this node is.
    pub leases: Leases,
    /// Jobs that were handed on since this node began to leave.
    handovers: handover::Handovers,
}

impl<O> Default for Journeys<O> {
    fn default() -> Self {
        Self {
            answers: flights::Flights::default(),
            works: flights::Flights::default(),
            lives: Lives::default(),
            leases: Leases::default(),
            handovers: handover::Handovers::default(),
        }
    }
}

impl<O: Clone + Send + Sync + 'static> Journeys<O> {
    /// Answers under way, and pieces of work for them here.
    pub fn under_way(&self) -> (usize, usize) {
        (self.answers.len(), self.works.len())
    }
}

/// Answers a claim for a content whose home this node is taken for; while another node has the lease the answer is kept back for
/// `wait`, within bounds.
pub async fn give_lease<P: Ports>(
    ports: &P,
    key: &Key,
    lessee: &Lessee,
    lease: std::time::Duration,
    wait: std::time::Duration,
) -> Verdict {
    let lives = |lessee: &Lessee| claim::lives(ports, lessee);
    ports.journeys().leases.claim_or_wait(key, lessee, lease, wait.min(claim::WAIT_MAX), lives).await
}

/// One request's job on its way. It owns the job, and the place that is held for it.
struct Journey<P: Ports> {
    ports: Arc<P>,
    job: Job<P>,
    /// The place here, until work takes it.
    reservation: Option<P::Reservation>,
    /// What peers said of it that is not believed yet.
    doubts: doubts::Doubts,
}
