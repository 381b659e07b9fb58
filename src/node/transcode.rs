//! From an upload to its result.

use std::sync::Arc;
use std::time::Duration;

use starling_placement::error::WorkError;
use starling_placement::journey::{self, TimeBudget};
use starling_placement::lease::{Lessee, Verdict};

use super::{Job, Node, Served};
use crate::api::{Claim, End};
use crate::content::{ClientTag, ContentId};
use crate::profile::Profile;
use crate::store::{IngestError, Key, Limits, Upload};

impl Node {
    /// Receives a client's body onto this node's disk, as far as there is room for it. Whatever goes wrong, nothing of it stays.
    pub async fn ingest<B>(
        &self,
        body: B,
        announced: Option<ContentId>,
        client: ClientTag,
    ) -> Result<Upload, IngestError>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = Limits {
            bytes_max: self.config.upload_bytes_max,
            announced,
            share: Some(self.incoming.share_of(client)),
            ..Limits::default()
        };
        self.store.receive(body, &limits).await
    }

    /// The result of a job: from the cache, from work under way, or made for it by the best node there is.
    pub async fn transcode(self: &Arc<Self>, job: Job) -> Result<Served, WorkError> {
        journey::answer(self, job).await
    }

    /// A result that is held here, as the answer to a request whose body did not have to come.
    pub async fn held(&self, content: ContentId, profile: &Profile) -> Option<Served> {
        let object = self.cached(&Key::new(content, profile)).await?;
        Some(Served::hit(&self.identity, 0, object))
    }

    /// The refusal of an upload whose body need not come: see [`journey::refuse_unread`].
    pub async fn refuse_unread(
        &self,
        client: ClientTag,
        content: ContentId,
        profile: &Profile,
        budget: &TimeBudget,
    ) -> Option<WorkError> {
        journey::refuse_unread(self, client, &Key::new(content, profile), budget).await
    }

    /// Answers a claim for a content whose home this node is taken for.
    pub async fn give_lease(&self, claim: Claim) -> Verdict {
        let lessee = Lessee { name: claim.from, boot: claim.boot };
        let key = self.key_of(claim.content, claim.profile, claim.recipe);
        let (lease, wait) = (Duration::from_millis(claim.lease_ms), Duration::from_millis(claim.wait_ms));
        journey::give_lease(self, &key, &lessee, lease, wait).await
    }

    /// Takes note of a lease's end.
    pub fn end_lease(&self, end: End) {
        let lessee = Lessee { name: end.from, boot: end.boot };
        let key = self.key_of(end.content, end.profile, end.recipe);
        self.journeys.leases.end(key, &lessee, end.holders, journey::clock::now());
    }
}
