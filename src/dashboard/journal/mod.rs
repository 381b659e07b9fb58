//! The jobs that a node has and had lately, and how it decided where they go: made of its events, as they happen.

mod entry;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;
use starling_overlay::NodeName;
use starling_placement::content::Key;
use starling_placement::journey::What;
use tokio::sync::watch;

use entry::{Entry, Stage};
pub(super) use pages::Decided;
use pages::Pages;

use super::explain;
use super::state::{Decision, Work};
use crate::content::ContentId;
use crate::events::{Departure, NodeEvent, Observer};
use crate::workers::Progress;

/// Longest note.
const NOTE_CHARS_MAX: usize = 160;

/// The jobs and decisions of one node.
#[derive(Debug)]
pub struct Journal {
    node: NodeName,
    /// By which policy it decides now.
    policy: Mutex<&'static str>,
    pages: Mutex<Pages>,
}

impl Journal {
    /// Of this node, with nothing in it.
    pub fn new(node: NodeName, policy: &'static str) -> Self {
        Self { node, policy: Mutex::new(policy), pages: Mutex::default() }
    }

    /// A worker here is to make this; how far it is is heard from `progress`.
    pub fn follow(&self, content: &ContentId, profile: &str, progress: watch::Receiver<Progress>) {
        let mut pages = self.pages.lock();
        pages.job(content, profile).progress = Some(progress);
    }

    /// All that is known.
    pub fn work(&self) -> Work {
        let now = Instant::now();
        let mut pages = self.pages.lock();
        pages.jobs.retain(|job| job.is_told(now));
        Work {
            jobs: pages.jobs.iter().map(|job| job.told(&self.node, now)).collect(),
            decisions: pages.decisions.iter().map(|one| self.decision(one, &pages.jobs, now)).collect(),
        }
    }

    fn decision(&self, one: &Decided, jobs: &VecDeque<Entry>, now: Instant) -> Decision {
        let open =
            |job: &Entry| job.content == one.content && job.profile == one.profile && !job.stage.is_over();
        let over = one.chosen.is_none() && !jobs.iter().any(open);
        Decision {
            over,
            node: self.node.to_string(),
            content: one.content.short(),
            profile: Some(one.profile.clone()),
            policy: one.policy.to_owned(),
            age_ms: now.saturating_duration_since(one.at).as_millis() as u64,
            chosen: one.chosen.as_ref().map(ToString::to_string),
            candidates: explain::candidates(one, over),
        }
    }

    fn observe_job(&self, key: &Key, what: &What) {
        let mut pages = self.pages.lock();
        if let What::Ranked { candidates, .. } = what {
            let policy = *self.policy.lock();
            pages.decided(key, policy, candidates);
            return;
        }
        let here = &self.node;
        let job = pages.job(&key.content, key.profile.as_str());
        match what {
            What::Joined => job.cache = Some("joined"),
            What::Offered { peer, route, answer } => {
                if answer.as_str() == "accepted" {
                    job.stage = Stage::Sent;
                    job.by = Some(peer.clone());
                    job.route = Some(route.as_str());
                }
                pages.answered(key, peer, answer.as_str());
            }
            What::HandedOver { peer, done: false, .. } => {
                job.note = Some(format!("{peer} took it and did not do it"));
                if job.stage == Stage::Sent && job.by.as_ref() == Some(peer) {
                    (job.stage, job.by, job.route) = (Stage::Placing, None, None);
                }
            }
            What::Refused { peer, reason, .. } | What::Lost { peer, reason } => {
                let words = short(reason);
                job.note = Some(format!("{peer}: {words}"));
                pages.answered(key, peer, &words);
            }
            What::HedgedHere { by, .. } => job.note = Some(format!("{by} takes long: done here, too")),
            What::Stalled { peer, .. } | What::Slow { peer } => {
                job.note = Some(format!("{peer} takes long: tried elsewhere, too"));
            }
            What::FailedHere { error } => job.note = Some(format!("{here}: {}", error.code())),
            What::Crashed { on: node, error } | What::Doubted { peer: node, error } => {
                job.note = Some(format!("{node}: {}", error.code()));
            }
            _ => {}
        }
    }

    fn observe_work(&self, event: &NodeEvent<'_>) {
        let mut pages = self.pages.lock();
        let here = self.node.clone();
        match event {
            NodeEvent::Enqueued { content, profile } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.by) = (Stage::Waiting, Some(here));
            }
            NodeEvent::Begun { content, profile, .. } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.by) = (Stage::Running, Some(here.clone()));
                job.route.get_or_insert("local");
                pages.chosen((content, profile.as_str()), &here);
            }
            NodeEvent::Made { content, profile, took, .. } => {
                let job = pages.job(content, profile.as_str());
                job.progress = None;
                // An upload's own is done when it is answered.
                if job.from.is_some() {
                    (job.stage, job.took) = (Stage::Done, Some(*took));
                }
            }
            NodeEvent::NotMade { content, profile, error, .. } => {
                let job = pages.job(content, profile.as_str());
                job.fail(short(error.code()));
            }
            NodeEvent::Withdrawn { content, profile, why } => {
                let job = pages.job(content, profile.as_str());
                match why {
                    Departure::Cancelled => job.ends(Stage::Cancelled),
                    // Another node is to do it.
                    Departure::Displaced | Departure::HandedOver if job.from.is_none() => {
                        (job.stage, job.by, job.progress) = (Stage::Placing, None, None);
                    }
                    Departure::Displaced | Departure::HandedOver | Departure::Late => {
                        job.fail(why.as_str().replace('_', " "));
                    }
                }
            }
            NodeEvent::OfferAccepted { from, content, profile } => {
                let job = pages.job(content, profile.as_str());
                (job.stage, job.from, job.by) = (Stage::Waiting, Some((*from).clone()), Some(here));
            }
            NodeEvent::OfferExpired { content, profile, .. } => {
                let job = pages.job(content, profile.as_str());
                job.fail("its video never came".to_owned());
            }
            _ => {}
        }
    }

    fn observe_answer(&self, event: &NodeEvent<'_>) {
        let mut pages = self.pages.lock();
        match event {
            NodeEvent::UploadServed { content, served, profile, timings, .. } => {
                let job = pages.job(content, profile.as_str());
                job.stage = Stage::Done;
                job.took = Some(timings.elapsed());
                job.by = Some(served.by.name.clone());
                job.route = Some(served.route.as_str());
                job.cache = Some(served.cache.as_str());
                if served.cache.as_str() != "hit" {
                    pages.chosen((content, profile.as_str()), &served.by.name);
                }
            }
            NodeEvent::PeersJobDone { from, content, profile, route, served } => {
                let job = pages.job(content, profile.as_str());
                job.stage = Stage::Done;
                job.from = Some((*from).clone());
                job.by = Some(served.by.name.clone());
                job.route = Some(route.as_str());
                job.cache = Some(served.cache.as_str());
                job.took.get_or_insert(job.heard - job.since);
            }
            _ => {}
        }
    }
}

impl Observer for Journal {
    fn observe(&self, event: &NodeEvent<'_>) {
        match event {
            NodeEvent::Job { key, what } => self.observe_job(key, what),
            NodeEvent::UploadServed { .. } | NodeEvent::PeersJobDone { .. } => self.observe_answer(event),
            NodeEvent::PolicyChanged { policy, .. } => *self.policy.lock() = policy.kind.as_str(),
            _ => self.observe_work(event),
        }
    }
}

fn short(words: &str) -> String {
    crate::printable::line(&words.chars().take(NOTE_CHARS_MAX).collect::<String>()).into_owned()
}
