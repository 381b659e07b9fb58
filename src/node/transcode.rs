//! From an upload to its result: cache, single flight, work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::flights::Role;
use super::{CacheState, Done, Job, Node, Outcome, Served, claim};
use crate::content::{ClientTag, ContentId};
use crate::http::ApiError;
use crate::profile::Profile;
use crate::route::RouteKind;
use crate::store::{Key, Limits, Object, Upload};
use crate::workers::Place;

/// A request that has so much more time than the one that was refused may fare better.
const MORE_TIME: Duration = Duration::from_millis(250);

/// How shared work ended.
#[derive(Clone)]
pub(super) struct Ended {
    outcome: Outcome,
    /// The deadline of the request that began it.
    deadline: Instant,
}

impl Ended {
    /// Whether it says nothing of a request with this deadline that joined it.
    fn is_another_case(&self, deadline: Instant) -> bool {
        match &self.outcome {
            // The one who began it had less time than this request has.
            Err(ApiError::DeadlinePassed { .. }) => true,
            Err(error) => error.is_want_of_time() && deadline > self.deadline + MORE_TIME,
            Ok(_) => false,
        }
    }
}

/// Where a shared piece of work may take place. Work here never waits for work anywhere: two nodes that hand each
/// other one content at the same moment would wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// On whichever node the policy finds best.
    Anywhere,
    /// On this node.
    Here,
}

impl Node {
    /// Receives a client's body onto this node's disk, as far as there is room for it. Whatever goes wrong, nothing of it stays.
    pub async fn ingest<B>(
        &self,
        body: B,
        announced: Option<ContentId>,
        client: ClientTag,
    ) -> Result<Upload, ApiError>
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
        Ok(self.store.receive(body, &limits).await?)
    }

    /// The result of a job: from the cache, from work under way, or made for it by the best node there is.
    pub async fn transcode(self: &Arc<Self>, job: Job) -> Result<Served, ApiError> {
        self.share(Scope::Anywhere, job, None).await
    }

    /// The result of a job, made on this node if it has to be made. `place` is its place in the queue, if it has one.
    pub(super) async fn transcode_here(
        self: &Arc<Self>,
        job: Job,
        place: Option<Place>,
    ) -> Result<Served, ApiError> {
        self.share(Scope::Here, job, place).await
    }

    async fn share(
        self: &Arc<Self>,
        scope: Scope,
        job: Job,
        mut place: Option<Place>,
    ) -> Result<Served, ApiError> {
        let key = job.key();
        loop {
            if let Some(object) = self.cached(&key).await {
                return Ok(self.hit(job.upload.bytes, object));
            }
            let (flight, role) = self.flights.join_or_lead((key.clone(), scope), || {
                let (deadline, work) =
                    (job.deadline.at, Arc::clone(self).work(scope, job.clone(), place.take()));
                async move { Ended { outcome: work.await, deadline } }
            });
            if role == Role::Joined {
                tracing::debug!(content = %job.upload.content, "joins work under way");
            }
            // Who joins needs none.
            drop(place.take());
            let ended = tokio::time::timeout_at(job.deadline.at.into(), flight.outcome())
                .await
                .map_err(|_| job.deadline.passed())?;
            let ended = ended.ok_or_else(|| {
                ApiError::Internal("the work ended without an outcome; the node's log says why".into())
            })?;
            if role == Role::Joined && ended.is_another_case(job.deadline.at) {
                continue;
            }
            // Shared work has more time than the request that waits for it, which is told of its own.
            let outcome = ended.outcome.map_err(|error| error.for_deadline(job.deadline));
            return outcome.map(|done| self.served(&job, done, role));
        }
    }

    /// A result that is held here, as the answer to a request whose body did not have to come.
    pub async fn held(&self, content: ContentId, profile: &Profile) -> Option<Served> {
        let object = self.cached(&Key::new(content, profile)).await?;
        Some(self.hit(0, object))
    }

    /// Boxed, since work anywhere may turn out to be work here, and so contains this same future.
    fn work(self: Arc<Self>, scope: Scope, job: Job, place: Option<Place>) -> BoxFuture<'static, Outcome> {
        match scope {
            Scope::Anywhere => Box::pin(async move { claim::claim_and_dispatch(&self, &job).await }),
            Scope::Here => Box::pin(async move { self.run_worker(&job, place).await }),
        }
    }

    fn hit(&self, bytes_in: u64, object: Object) -> Served {
        Served {
            object,
            cache: CacheState::Hit,
            via: Arc::clone(&self.identity),
            by: Arc::clone(&self.identity),
            route: RouteKind::Local,
            bytes_in,
            scores: "".into(),
        }
    }

    fn served(&self, job: &Job, done: Done, role: Role) -> Served {
        Served {
            object: done.object,
            cache: if role == Role::Leader { done.cache } else { CacheState::Joined },
            via: Arc::clone(&self.identity),
            by: done.by,
            route: done.route,
            bytes_in: job.upload.bytes,
            scores: done.scores,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_want_of_time_concerns_those_with_as_little() {
        let deadline = Instant::now();
        let ended = |error: ApiError| Ended { outcome: Err(error), deadline };
        let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
        let refused = ended(ApiError::Saturated { retry_after: second });
        assert!(refused.is_another_case(deadline + second));
        assert!(!refused.is_another_case(deadline + millisecond));
        let short = ended(ApiError::DeadlineTooShort { allowed: second, needs: second });
        assert!(short.is_another_case(deadline + second));
        assert!(!short.is_another_case(deadline));
        assert!(ended(ApiError::DeadlinePassed { allowed: second }).is_another_case(deadline));
        assert!(!ended(ApiError::DiskFull).is_another_case(deadline + second));
    }
}
