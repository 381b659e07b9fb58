//! What is said to the other nodes.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use starling_overlay::{Identity, NodeName};
use starling_placement::content::Key;
use starling_placement::error::WorkError;
use starling_placement::journey::clock;
use starling_placement::journey::{Motion, PeerError, Peers, Progress, Proposal};
use starling_placement::lease::Verdict;

use super::work::counted;
use crate::api::{Accepted, Claim, End, Offer};
use crate::body::file_body;
use crate::node::{Facts, Job, Node};
use crate::offload::Delivery;

impl Peers for Node {
    async fn ask_home(
        &self,
        home: &Identity,
        rtt: Option<Duration>,
        key: &Key,
        lease: Duration,
        wait: Duration,
    ) -> Result<Verdict, PeerError> {
        let claim = Claim {
            content: key.content,
            profile: key.profile.clone(),
            recipe: Some(key.recipe),
            from: self.identity.name.clone(),
            boot: self.identity.boot,
            lease_ms: lease.as_millis() as u64,
            wait_ms: wait.as_millis() as u64,
        };
        self.peers.claim_lease(home, rtt, &claim).await
    }

    async fn end_lease(&self, home: &Identity, key: &Key, holders: &[NodeName]) -> Result<(), PeerError> {
        let Key { content, profile, recipe } = key.clone();
        let (from, boot) = (self.identity.name.clone(), self.identity.boot);
        let end = End { content, profile, recipe: Some(recipe), from, boot, holders: holders.to_vec() };
        self.peers.end_lease(home, &end).await
    }

    async fn offer(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        proposal: &Proposal<Facts>,
    ) -> Result<Accepted, PeerError> {
        let offer = Offer {
            from: self.identity.name.clone(),
            content: proposal.key.content,
            bytes: proposal.bytes,
            profile: proposal.key.profile.clone(),
            recipe: Some(proposal.key.recipe),
            deadline_ms: proposal.budget.left().as_millis() as u64,
            backlog: proposal.backlog,
            client: Some(proposal.client),
            info: proposal.facts.as_ref().map(|facts| (*facts.info).clone()),
        };
        self.peers.offer(peer, rtt, &offer).await
    }

    async fn release(&self, peer: &Identity, accepted: &Accepted) {
        if let Err(error) = self.peers.end_offer(peer, accepted.offer).await {
            tracing::debug!(peer = %peer.name, %error, "a peer was not told that a job does not come: its place is free in a moment");
        }
    }

    async fn send(
        &self,
        peer: &Identity,
        job: &Job,
        accepted: &Accepted,
        motion: &Motion,
    ) -> Result<Delivery, PeerError> {
        self.doers.sent(&job.key, &peer.name);
        let upload = &job.input.upload;
        let file = upload
            .open()
            .map_err(|error| WorkError::fault(format!("the upload can't be read back: {error}")))?;
        let body = file_body(Arc::new(file), 0..job.bytes, Arc::clone(upload));
        let body = (counted(body, motion).boxed_unsync(), job.bytes);
        self.peers.send(peer, accepted, body, clock::left(job.budget.limit())).await
    }

    async fn fetch(&self, peer: &Identity, key: &Key) -> Result<Option<Delivery>, PeerError> {
        self.peers.fetch(peer, key).await
    }

    async fn ask_progress(
        &self,
        peer: &Identity,
        rtt: Option<Duration>,
        key: &Key,
    ) -> Result<Option<Progress>, PeerError> {
        let progress = self.peers.ask_progress(peer, rtt, key).await;
        if matches!(progress, Ok(Some(_))) {
            self.doers.is_at(key, &peer.name);
        }
        progress
    }
}
