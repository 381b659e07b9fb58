//! What is remembered: so many jobs and decisions, the newest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use starling_overlay::NodeName;
use starling_placement::content::Key;
use starling_placement::policy::Candidate;

use super::entry::Entry;
use crate::content::ContentId;

/// Jobs and decisions that are remembered, and candidates of each decision.
pub(super) const JOBS_MAX: usize = 100;
pub(super) const DECISIONS_MAX: usize = 20;
pub(super) const CANDIDATES_MAX: usize = 9;

/// A decision, and what the candidates answered.
#[derive(Debug)]
pub struct Decided {
    pub content: ContentId,
    pub profile: String,
    pub policy: &'static str,
    pub at: Instant,
    pub candidates: Arc<[Candidate]>,
    /// Name, answer, and its words.
    pub answers: Vec<(NodeName, String)>,
    pub chosen: Option<NodeName>,
}

#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) jobs: VecDeque<Entry>,
    pub(super) decisions: VecDeque<Decided>,
}

impl Pages {
    /// The newest job of this content in this profile, or a new one: one upload may be for several.
    pub(super) fn job(&mut self, content: &ContentId, profile: &str) -> &mut Entry {
        let now = Instant::now();
        let is = |job: &Entry| job.content == *content && !job.stage.is_over() && job.profile == profile;
        let place = if let Some(place) = self.jobs.iter().rposition(is) {
            place
        } else {
            if self.jobs.len() >= JOBS_MAX {
                // The oldest of those that are over, or the oldest.
                let place = self.jobs.iter().position(|job| job.stage.is_over()).unwrap_or_default();
                self.jobs.remove(place);
            }
            self.jobs.push_back(Entry::new(*content, profile, now));
            self.jobs.len() - 1
        };
        let job = &mut self.jobs[place];
        job.heard = now;
        job
    }

    pub(super) fn decided(&mut self, key: &Key, policy: &'static str, candidates: &Arc<[Candidate]>) {
        let Key { content, profile, .. } = key.clone();
        // It has no place yet.
        self.job(&content, profile.as_str());
        let profile = profile.to_string();
        if self.decisions.len() >= DECISIONS_MAX {
            self.decisions.pop_front();
        }
        let candidates: Arc<[Candidate]> = candidates.iter().take(CANDIDATES_MAX).cloned().collect();
        let (at, answers, chosen) = (Instant::now(), Vec::new(), None);
        self.decisions.push_back(Decided { content, profile, policy, at, candidates, answers, chosen });
    }

    /// The newest decision about this content in this profile.
    pub(super) fn decision(&mut self, (content, profile): (&ContentId, &str)) -> Option<&mut Decided> {
        self.decisions.iter_mut().rev().find(|one| one.content == *content && one.profile == profile)
    }

    pub(super) fn answered(&mut self, key: &Key, peer: &NodeName, words: &str) {
        let Some(one) = self.decision((&key.content, key.profile.as_str())) else { return };
        if words == "accepted" {
            one.chosen = Some(peer.clone());
        }
        // The words say more than the code that came before them.
        if let Some((_, before)) = one.answers.iter_mut().find(|(name, _)| name == peer) {
            words.clone_into(before);
        } else if one.answers.len() < CANDIDATES_MAX {
            one.answers.push((peer.clone(), words.to_owned()));
        }
    }

    pub(super) fn chosen(&mut self, of: (&ContentId, &str), node: &NodeName) {
        if let Some(one) = self.decision(of) {
            one.chosen = Some(node.clone());
        }
    }
}
