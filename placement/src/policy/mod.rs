//! Where a job should run: a pure function of one [`Situation`], which has the membership view, the loads in it, the job, this node's
//! own figures, and what this node has learned by its own doing.
//!
//! A [`Policy`] only proposes. Gossip is always a little stale, so a node that carries the proposal out offers the job to the
//! candidates in order, and each of them answers from its own desk.
//!
//! - `roster` is what a view says of each peer, worked out once a view; `walk` adds what this node knows by its own doing;
//! - a policy gives each node a figure: [`PolicyKind`] names them, each has a file that names its source;
//! - `order` makes the ranking of it: the one place where what speaks against a node moves it back;
//! - [`Ledger`], [`Bandwidths`], [`Reliability`] and [`Sizes`] are what was learned, [`Router`] holds them, and a [`Handoff`] tells
//!   it step by step what became of a choice.
//!
//! To add a policy: a file with its figure, and a line in each `match` of `kind.rs`.

mod balance;
mod bandwidth;
mod candidate;
mod eta;
mod forecast;
mod kind;
mod ledger;
mod order;
mod other_work;
mod peers;
mod prequal;
mod reliability;
mod roster;
mod router;
mod score;
mod simple;
mod situation;
mod sizes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wait;
mod walk;
mod waterfall;

pub use bandwidth::{Bandwidths, Direction};
pub use candidate::{Candidate, Concern, Patience, RouteKind};
pub use forecast::{Forecast, is_sooner, margin};
pub use kind::{Policy, PolicyKind, UnknownPolicy};
pub use ledger::{Handed, Handing, HandoffId, Ledger};
pub use other_work::OtherWork;
pub use peers::usual_speed;
pub use reliability::Reliability;
pub use router::{Experience, Handoff, Outcome, Question, Router};
pub use score::{RTT_UNKNOWN, ScoreWeights, WeightError};
pub use situation::{Avoided, Demand, OwnDesk, SAMPLE_AGE_MAX, Situation};
pub use sizes::Sizes;
pub use wait::{is_full, wait_after};
