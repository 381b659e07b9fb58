//! Work on this node: ffprobe, ffmpeg, and results into the cache.

use std::sync::Arc;

use starling_overlay::Identity;

use super::watched::Motion;
use super::{CacheState, Done, Job, Node, Outcome};
use crate::content::{MediaInfo, REPR_DIGEST, parse_digest};
use crate::http::{ApiError, HEADER};
use crate::offload::{Delivery, Fault, OffloadError};
use crate::route::RouteKind;
use crate::store::{IngestError, Limits, Object};
use crate::workers::{self, Place, TranscodeError, Transcoded, Unfit, Verified, Wanted};

impl Node {
    /// What ffprobe finds in a job's video, unless somebody has asked it already.
    pub(super) async fn probe(&self, job: &Job) -> Result<Arc<MediaInfo>, ApiError> {
        if let Some(info) = &job.info {
            return Ok(Arc::clone(info));
        }
        let info = self.look(job).await?;
        self.suits(job, &info)?;
        Ok(Arc::new(info))
    }

    /// The same for whatever is to be made of it.
    pub(super) async fn look(&self, job: &Job) -> Result<MediaInfo, ApiError> {
        let looked = self.pool.prober().probe(job.upload.as_ref().as_ref(), job.client).await;
        if let Some(error) = looked.as_ref().err().filter(|error| !error.is_input_fault()) {
            tracing::warn!(content = %job.upload.content, %error, "ffprobe failed here");
        }
        Ok(looked?)
    }

    /// Whether a job's profile can be made of what was found.
    pub(super) fn suits(&self, job: &Job, info: &MediaInfo) -> Result<(), ApiError> {
        self.pool.suits(&job.profile, info).map_err(|error| ApiError::Unprocessable(error.to_string()))
    }

    /// Transcodes a job with this node's own workers and puts the result into the cache.
    pub(super) async fn run_worker(&self, job: &Job, place: Option<Place>) -> Outcome {
        let info = self.probe(job).await?;
        let made = match self.make(job, &info, place).await {
            // Full of results that can be made anew, perhaps. Once: it costs a transcode.
            Err(ApiError::DiskFull) if self.store.make_room(2 * job.upload.bytes).await => {
                self.make(job, &info, None).await
            }
            made => made,
        }?;
        let object = self.keep(made.result).await?;
        Ok(Done {
            object,
            by: Arc::clone(&self.identity),
            route: RouteKind::Local,
            cache: CacheState::Miss,
            scores: "".into(),
        })
    }

    /// Has this node's own workers make a job's result.
    async fn make(&self, job: &Job, info: &MediaInfo, place: Option<Place>) -> Result<Transcoded, ApiError> {
        self.can_make(&job.profile)?;
        let work = workers::Job {
            input: Arc::clone(&job.upload) as _,
            content: job.upload.content,
            client: job.client,
            profile: Arc::clone(&job.profile),
            info: info.clone(),
            deadline: job.deadline.at,
            limit: job.limit.at,
        };
        let ticket = match place {
            Some(place) => place.submit(work)?,
            None => self.pool.submit(work)?,
        };
        self.publish_load();
        let life = self.lives.enter(&job.key());
        let progress = ticket.progress();
        let made = tokio::select! {
            made = ticket.wait() => made,
            // Never ends by itself.
            () = life.follow(progress) => Err(TranscodeError::Cancelled),
        };
        self.publish_load();
        made.map_err(|error| {
            if error.is_tool_fault() {
                tracing::warn!(content = %job.upload.content, profile = %job.profile.name, %error, "no result");
            }
            ApiError::from_transcode(error, job.limit)
        })
    }

    /// Receives a peer's result and puts it into the cache, if it passes what one that is made here has to pass.
    pub(super) async fn take_result(
        &self,
        job: &Job,
        peer: &Identity,
        Delivery { response, promised }: Delivery,
        motion: &Motion,
    ) -> Result<(Object, CacheState), OffloadError> {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wrong = |seen: &str| self.peers.faulty(peer, Fault::Lied, seen.to_owned());
        let announced = header(REPR_DIGEST.as_str())
            .and_then(parse_digest)
            .ok_or_else(|| wrong("its result has no digest"))?;
        if promised.is_some_and(|promised| promised != announced) {
            let seen = "its result is not the one that it proved".to_owned();
            return Err(self.peers.faulty(peer, Fault::Unproven, seen));
        }
        let cache = if header(HEADER::CACHE) == Some(CacheState::Hit.as_str()) {
            CacheState::Hit
        } else {
            CacheState::Miss
        };
        let told = header(HEADER::INPUT_DAMAGE).and_then(|value| value.parse().ok());
        let limits = Limits::of_result(announced);
        let received = self
            .store
            .receive_result(motion.count(response.into_body()), &limits)
            .await
            .map_err(|error| self.not_received(peer, error))?;
        motion.ends();
        let facts = self.facts(job).await?;
        let input = facts.as_deref().map(|info| (job.upload.as_ref().as_ref(), info));
        let wanted = Wanted { content: job.upload.content, profile: &job.profile, input };
        let result = self.pool.verify(wanted, received, told).await.map_err(|unfit| match unfit {
            Unfit::Wrong(seen) => wrong(&format!("its result was refused: {seen}")),
            Unfit::Doubtful(seen) => self.peers.faulty(peer, Fault::Doubtful, seen),
            unfit @ Unfit::Unseen(_) => OffloadError::NotTaken(unfit.to_string()),
        })?;
        let object = self.keep(result).await?;
        self.peers.standings().delivered(peer);
        Ok((object, cache))
    }

    /// What it means that a peer's result did not come, or not as it was announced.
    fn not_received(&self, peer: &Identity, error: IngestError) -> OffloadError {
        match error {
            IngestError::Body(_) => OffloadError::Unreachable(error.to_string()),
            IngestError::TimedOut { .. } => self.peers.faulty(peer, Fault::Stalled, error.to_string()),
            IngestError::DiskFull | IngestError::Io(_) => OffloadError::NotTaken(error.to_string()),
            error => self.peers.faulty(peer, Fault::Lied, format!("its result was refused: {error}")),
        }
    }

    /// What ffprobe finds in a job's video, to hold a result against it; none where this node can't look at it.
    async fn facts(&self, job: &Job) -> Result<Option<Arc<MediaInfo>>, OffloadError> {
        match self.probe(job).await {
            Ok(info) => Ok(Some(info)),
            Err(ApiError::Internal(_) | ApiError::Crashed(_)) => Ok(None),
            Err(verdict) => Err(verdict.into()),
        }
    }

    /// Puts a result into the cache.
    async fn keep(&self, result: Verified) -> Result<Object, ApiError> {
        let (profile, content) = (Arc::clone(result.profile()), result.content());
        let kept = self.store.keep(result).await;
        if kept.as_ref().is_ok_and(Object::is_cached) {
            self.pool.unbook(&profile, content);
        }
        kept.map_err(|error| ApiError::Internal(format!("the result can't be opened: {error}")))
    }
}
