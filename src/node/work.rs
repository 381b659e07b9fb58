//! Work on this node: ffprobe, ffmpeg, and results into the cache.

use std::sync::Arc;

use hyper::Response;
use hyper::body::Incoming;
use starling_overlay::Identity;

use super::{CacheState, Done, Job, Node, Outcome};
use crate::cache::serve::{REPR_DIGEST, parse_digest};
use crate::cache::{NewObject, Object};
use crate::content::{ContentId, MediaInfo};
use crate::http::{ApiError, HEADER};
use crate::ingest::{self, Scratch};
use crate::offload::OffloadError;
use crate::route::RouteKind;
use crate::workers::{self, Place, Transcoded};

impl Node {
    /// What ffprobe finds in a job's video, unless somebody has asked it already.
    pub(super) async fn probe(&self, job: &Job) -> Result<Arc<MediaInfo>, ApiError> {
        if let Some(info) = &job.info {
            return Ok(Arc::clone(info));
        }
        let looked = self.pool.prober().probe(job.upload.as_ref().as_ref()).await;
        if let Some(error) = looked.as_ref().err().filter(|error| !error.is_input_fault()) {
            tracing::warn!(content = %job.upload.content, %error, "ffprobe failed here");
        }
        let info = looked?;
        job.profile.suits(&info).map_err(|error| ApiError::Unprocessable(error.to_string()))?;
        Ok(Arc::new(info))
    }

    /// Transcodes a job with this node's own workers and puts the result into the cache.
    pub(super) async fn run_worker(&self, job: &Job, place: Option<Place>) -> Outcome {
        let info = self.probe(job).await?;
        let made = match self.make(job, &info, place).await {
            // Full of results that can be made anew, perhaps. Once: it costs a transcode.
            Err(ApiError::DiskFull) if self.cache.make_room(2 * job.upload.bytes).await => {
                self.make(job, &info, None).await
            }
            made => made,
        }?;
        let object = self.keep(job, made.output, made.bytes, made.sha256).await?;
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
        let work = workers::Job {
            input: Arc::clone(&job.upload) as _,
            content: job.upload.content,
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
        let made = ticket.wait().await;
        self.publish_load();
        made.map_err(|error| {
            if error.is_tool_fault() {
                tracing::warn!(content = %job.upload.content, profile = %job.profile.name, %error, "no result");
            }
            ApiError::from_transcode(error, job.limit)
        })
    }

    /// Receives a peer's result, checks that it is what the peer says, and puts it into the cache.
    pub(super) async fn take_result(
        &self,
        job: &Job,
        peer: &Identity,
        response: Response<Incoming>,
    ) -> Result<(Object, CacheState), OffloadError> {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let broken = |what: &str| OffloadError::Unreachable(format!("{}'s answer {what}", peer.name));
        let announced =
            header(REPR_DIGEST.as_str()).and_then(parse_digest).ok_or_else(|| broken("has no digest"))?;
        let cache = if header(HEADER::CACHE) == Some(CacheState::Hit.as_str()) {
            CacheState::Hit
        } else {
            CacheState::Miss
        };
        let limits = ingest::Limits::of_result(announced);
        let received = ingest::receive_result(response.into_body(), &self.data, &limits)
            .await
            .map_err(|error| broken(&format!("could not be taken: {error}")))?;
        let object = self.keep(job, received.file, received.bytes, received.sha256).await?;
        Ok((object, cache))
    }

    /// Puts a job's result into the cache.
    async fn keep(
        &self,
        job: &Job,
        file: Scratch,
        bytes: u64,
        sha256: ContentId,
    ) -> Result<Object, ApiError> {
        let media_type = job.profile.media_type().to_owned();
        let new =
            NewObject { file, bytes, sha256, media_type, extension: job.profile.extension().to_owned() };
        let kept = self.cache.insert(&job.key(), new).await;
        if kept.as_ref().is_ok_and(Object::is_cached) {
            self.pool.unbook(&job.profile, job.upload.content);
        }
        kept.map_err(|error| ApiError::Internal(format!("the result can't be opened: {error}")))
    }
}
