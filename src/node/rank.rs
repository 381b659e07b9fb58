//! What a routing policy is asked, and what it learns: this node's part of [`crate::route`].

use std::sync::Arc;
use std::time::Instant;

use super::watched::Motion;
use super::{Done, Job, Node};
use crate::content::ContentId;
use crate::offload::OffloadError;
use crate::route::{Candidate, Demand, Handoff, Outcome, OwnDesk, Policy, Question};
use crate::workers::Place;

/// How many peers are asked at the most before the job is done here or refused.
pub(super) const PEERS_ASKED_MAX: usize = 8;
/// Candidates that are ranked for it: some of them turn out not to be asked.
const RANKED_MAX: usize = 4 * PEERS_ASKED_MAX;

impl Job {
    /// The job as a routing policy sees it.
    pub(super) fn demand(&self) -> Demand<'_> {
        Demand {
            profile: &self.profile.name,
            bytes: self.upload.bytes,
            work_pixels: self.info.as_deref().map(|info| self.profile.work_pixels(info)),
            left: self.deadline.left(),
            hardware: self.profile.hardware_codec().map_or(0, |codec| codec.bit()),
        }
    }
}

impl Node {
    /// By what it is decided where jobs go.
    pub fn policy(&self) -> Policy {
        self.router.policy()
    }

    /// Decides by another policy from now on, until the node stops.
    pub fn set_policy(&self, policy: Policy) {
        let before = self.router.set_policy(policy);
        if before != policy {
            let (load_weight, rtt_weight) = (policy.weights.load(), policy.weights.rtt());
            let (before, policy) = (before.kind.as_str(), policy.kind.as_str());
            tracing::info!(policy, before, load_weight, rtt_weight, "routing policy changed");
        }
    }

    /// The best candidates for a job, which holds a place here if it holds one; this node among them.
    pub(super) fn rank(&self, job: &Job, own: Option<&Place>) -> Vec<Candidate> {
        self.rank_best(job, own, RANKED_MAX)
    }

    /// Every node that may be asked.
    pub(super) fn rank_all(&self, job: &Job) -> Vec<Candidate> {
        self.rank_best(job, None, usize::MAX)
    }

    fn rank_best(&self, job: &Job, own: Option<&Place>, count_max: usize) -> Vec<Candidate> {
        let service = match job.info.as_deref() {
            Some(info) => self.pool.estimate(job.client, &job.profile, info).service,
            None => self.pool.usual_service(job.client, &job.profile),
        };
        let own = OwnDesk { load: self.own_load(), backlog: self.pool.backlog(job.client, own), service };
        let (view, avoided) = (self.view(), self.peers.standings().concerns());
        let question = Question { view: &view, job: job.demand(), own, avoided: &avoided };
        self.router.rank(Instant::now(), &question, count_max)
    }

    /// The router learns what became of a job that a peer had.
    pub(super) fn learn(&self, handoff: &Handoff, handed: &Result<Done, OffloadError>, motion: &Motion) {
        let now = Instant::now();
        let transfers = motion.transfers();
        if let Some((bytes, took)) = transfers.first().copied() {
            handoff.observe(now, Outcome::Sent { bytes, took });
        }
        if let (Some((bytes, took)), Ok(_)) = (transfers.get(1).copied(), handed) {
            handoff.observe(now, Outcome::Received { bytes, took });
        }
        handoff.observe(
            now,
            match handed {
                Ok(_) => Outcome::Done,
                Err(
                    OffloadError::Unreachable(_) | OffloadError::Faulty { .. } | OffloadError::Refused { .. },
                ) => Outcome::Failed,
                Err(OffloadError::Verdict(_) | OffloadError::NotTaken(_) | OffloadError::Avoided(_)) => {
                    Outcome::Over
                }
            },
        );
    }
}

/// What became of an offer.
pub(super) fn answered<T>(answer: &Result<T, OffloadError>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Accepted,
        Err(OffloadError::Refused { retry_after, .. }) => Outcome::Refused { retry_after: *retry_after },
        Err(OffloadError::Unreachable(_) | OffloadError::Faulty { .. }) => Outcome::Failed,
        Err(OffloadError::Verdict(_) | OffloadError::NotTaken(_) | OffloadError::Avoided(_)) => Outcome::Over,
    }
}

/// `node1/FRA=0.120 node4/FRA=0.031 …`, best first.
pub(super) fn scores_text(content: &ContentId, ranked: &[Candidate]) -> Arc<str> {
    let one = |Candidate { identity, score, .. }: &Candidate| {
        format!("{}/{}={score:.3}", identity.name, identity.zone)
    };
    let scored = ranked.iter().filter(|candidate| candidate.score.is_finite());
    let scores = scored.take(PEERS_ASKED_MAX + 1).map(one).collect::<Vec<_>>().join(" ");
    tracing::debug!(%content, scores, "candidates ranked");
    scores.into()
}

#[cfg(test)]
mod tests {
    use super::super::handover::tests::{peer, silent};
    use super::*;

    #[test]
    fn scores_are_told_of_those_that_have_one() {
        let mut ranked = vec![peer("d", 3, 90), peer("b", 0, 5), silent("c", 1)];
        (ranked[0].score, ranked[2].score) = (0.1, f64::INFINITY);
        assert_eq!(&*scores_text(&ContentId([0; 32]), &ranked), "d/FRA=0.100 b/FRA=0.000");
        assert_eq!(&*scores_text(&ContentId([0; 32]), &[]), "");
    }
}
