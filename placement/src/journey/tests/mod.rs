//! Every branch of a journey, in virtual time: a script instead of peers, workers and files. The own node is `a`.

#![allow(clippy::disallowed_methods, reason = "a test's tasks are on the paused runtime, as all of it")]

mod bids;
mod claims;
mod dispatches;
mod doubts;
mod handovers;
mod hedges;
mod refusals;
mod shares;
mod stage;
mod traces;

use stage::{MS, Peer, Reply, SECOND, Script, Stage, load};

use crate::error::WorkError;
use crate::journey::{CacheState, PeerError, Progress, What};
use crate::lease::Verdict;

fn refused(retry_after: Option<std::time::Duration>) -> PeerError {
    PeerError::Refused { reason: "no place".into(), retry_after }
}

fn gone() -> PeerError {
    PeerError::Unreachable("connection refused".into())
}

fn crashed() -> WorkError {
    WorkError::Crashed { how: "ffmpeg crashed (signal: 11) on a node".into() }
}

const fn saturated(retry_after: std::time::Duration) -> WorkError {
    WorkError::Saturated { retry_after }
}

/// Work of which nothing moves.
fn still() -> Reply<Result<Option<Progress>, PeerError>> {
    Reply::at_once(Ok(Some(Progress { moved: 7, waits: false, part: None })))
}

fn peer<'a>(script: &'a mut Script, name: &str) -> &'a mut Peer {
    script.peers.get_mut(name).expect("a peer of the script")
}
