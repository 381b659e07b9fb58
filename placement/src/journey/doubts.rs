//! What peers said of a job or did with it that is not believed until this node knows better: a peer may lie, or be ill.
//!
//! A peer's verdict on a video is no reason to refuse it. This node sees for itself, with its own tools, before its client is told that
//! no node makes anything of it. When the job is done after all, whoever spoke against it is held to that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_overlay::Identity;

use super::{Fault, Ports, clock};

/// Peers whose word is taken note of before no further one is asked: more of them make it no truer.
const DOUBTS_MAX: usize = 2;
/// A peer that had a job for so many times as long as another node took to do it has not done what it said.
const TOO_SLOW: u32 = 3;

/// What is held ready against peers that had one job.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Who says that the video can't be used, and why.
    verdicts: Vec<(Arc<Identity>, String)>,
    /// Peers on which a tool came to grief over it.
    crashes: usize,
    /// Peers at which it stood still.
    stalls: usize,
    /// Whose work was not waited for any longer, and since when the peer had it.
    slow: Vec<(Arc<Identity>, Instant)>,
    /// When the last attempt began.
    begun: Option<Instant>,
}

impl Doubts {
    /// A peer says that the video can't be used.
    pub(super) fn verdict(&mut self, peer: &Arc<Identity>, why: &str) {
        self.verdicts.push((Arc::clone(peer), why.to_owned()));
    }

    /// A peer says that a tool came to grief over it.
    pub(super) const fn crash(&mut self) {
        self.crashes += 1;
    }

    /// It stands still at a peer.
    pub(super) const fn stall(&mut self) {
        self.stalls += 1;
    }

    /// Whether it has stood still at so many that this node is next: whoever has many names has one more for each try.
    pub(super) const fn have_stalled(&self) -> bool {
        self.stalls >= DOUBTS_MAX
    }

    /// A peer has had the job since then, and says that it gets on, and is not done.
    pub(super) fn slow(&mut self, peer: &Arc<Identity>, since: Instant) {
        self.slow.push((Arc::clone(peer), since));
    }

    /// One more attempt begins.
    pub(super) fn begins(&mut self) {
        self.begun = Some(clock::now());
    }

    /// Whether a peer had the job and spoke against it.
    pub(super) const fn are_any(&self) -> bool {
        self.verdicts.len() + self.crashes > 0
    }

    /// Whether no further peer is asked before this node has seen for itself.
    pub(super) const fn are_enough(&self) -> bool {
        self.verdicts.len() + self.crashes >= DOUBTS_MAX
    }

    /// The last verdict, if there is any.
    pub(super) fn last(&self) -> Option<&str> {
        self.verdicts.last().map(|(_, why)| why.as_str())
    }

    /// The job is done, by this node: what was said against it was wrong.
    pub(super) fn settle<P: Ports>(&mut self, ports: &P, by: &Identity) {
        for (peer, why) in self.verdicts.drain(..) {
            let seen = format!("it said that a video can't be used ({why:.100}), and {} made it", by.name);
            ports.hold_against(&peer, Fault::Contradicted, &seen);
        }
        let now = clock::now();
        let took = self.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        for (peer, since) in self.slow.drain(..).filter(|(peer, _)| peer.name != by.name) {
            let had = now.saturating_duration_since(since);
            if had >= took * TOO_SLOW {
                let seen =
                    format!("it had a job for {had:.1?}, and {} did it in {took:.1?} meanwhile", by.name);
                ports.hold_against(&peer, Fault::Reneged, &seen);
            }
        }
        self.crashes = 0;
    }
}
