//! Work on this node: ffprobe, ffmpeg, and results into the cache.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use starling_overlay::Identity;
use starling_placement::content::Key;
use starling_placement::error::WorkError;
use starling_placement::journey::{CacheState, Life, Motion, Part, PeerError, Work};
use tokio::sync::watch;

use crate::api::HEADER;
use crate::content::{MediaInfo, REPR_DIGEST, parse_digest};
use crate::node::{Facts, Job, Node};
use crate::offload::{Delivery, Fault};
use crate::store::{IngestError, Limits, Object};
use crate::workers::{self, Reservation, TranscodeError, Transcoded, Unfit, Verified, Wanted};

impl Work for Node {
    async fn cached(&self, key: &Key) -> Option<Object> {
        self.store.get(key).await
    }

    async fn probe(&self, job: &Job) -> Result<Facts, WorkError> {
        if let Some(facts) = &job.facts {
            return Ok(facts.clone());
        }
        let info = self.look(job).await?;
        self.suits(job, &info)?;
        Ok(Facts::new(Arc::new(info), &job.input.profile))
    }

    async fn run(
        &self,
        job: &Job,
        reservation: Option<Reservation>,
        life: &Life,
    ) -> Result<Object, WorkError> {
        let facts = self.probe(job).await?;
        let made = match self.make(job, &facts.info, reservation, life).await {
            // Full of results that can be made anew, perhaps. Once: it costs a transcode.
            Err(WorkError::DiskFull) if self.store.make_room(2 * job.bytes).await => {
                self.make(job, &facts.info, None, life).await
            }
            made => made,
        }?;
        self.put(made.result).await
    }

    async fn keep(
        &self,
        job: &Job,
        peer: &Identity,
        Delivery { response, promised }: Delivery,
        motion: &Motion,
    ) -> Result<(Object, CacheState), PeerError> {
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
            .receive_result(counted(response.into_body(), motion), &limits)
            .await
            .map_err(|error| self.not_received(peer, error))?;
        motion.ends();
        let facts = self.facts(job).await?;
        let input = facts.as_ref().map(|facts| (job.input.upload.as_ref().as_ref(), &*facts.info));
        let wanted = Wanted { content: job.content(), profile: &job.input.profile, input };
        let result = self.pool.verify(wanted, received, told).await.map_err(|unfit| match unfit {
            Unfit::Wrong(seen) => wrong(&format!("its result was refused: {seen}")),
            Unfit::Doubtful(seen) => self.peers.faulty(peer, Fault::Doubtful, seen),
            unfit @ Unfit::Unseen(_) => PeerError::NotTaken(unfit.to_string()),
        })?;
        let object = self.put(result).await?;
        self.peers.standings().delivered(Instant::now(), peer);
        Ok((object, cache))
    }
}

impl Node {
    /// What ffprobe finds in a job's video, for whatever is to be made of it.
    pub(in crate::node) async fn look(&self, job: &Job) -> Result<MediaInfo, WorkError> {
        let looked = self.pool.prober().probe(job.input.upload.as_ref().as_ref(), job.client).await;
        if let Some(error) = looked.as_ref().err().filter(|error| !error.is_input_fault()) {
            tracing::warn!(content = %job.content(), %error, "ffprobe failed here");
        }
        Ok(looked?)
    }

    /// Whether a job's profile can be made of what was found.
    pub(in crate::node) fn suits(&self, job: &Job, info: &MediaInfo) -> Result<(), WorkError> {
        self.pool.suits(&job.input.profile, info).map_err(|error| WorkError::unusable(error.to_string()))
    }

    /// Has this node's own workers make a job's result.
    async fn make(
        &self,
        job: &Job,
        info: &MediaInfo,
        reservation: Option<Reservation>,
        life: &Life,
    ) -> Result<Transcoded, WorkError> {
        self.can_make(&job.input.profile)?;
        let work = workers::Job {
            input: Arc::clone(&job.input.upload) as _,
            content: job.content(),
            client: job.client,
            profile: Arc::clone(&job.input.profile),
            info: info.clone(),
            deadline: job.budget.deadline(),
            limit: job.budget.limit(),
        };
        let ticket = match reservation {
            Some(reservation) => reservation.submit(work)?,
            None => self.pool.submit(work)?,
        };
        self.publish_load();
        let progress = ticket.progress();
        self.journal.follow(&job.content(), job.input.profile.name.as_str(), progress.clone());
        let made = tokio::select! {
            made = ticket.wait() => made,
            // Never ends by itself.
            () = follow(life, progress) => Err(TranscodeError::Cancelled),
        };
        self.publish_load();
        match made {
            // Cut off since the node leaves, which is no fault of it.
            Err(TranscodeError::Cancelled) if self.is_draining() => Err(WorkError::Draining),
            made => Ok(made?),
        }
    }

    /// What it means that a peer's result did not come, or not as it was announced.
    fn not_received(&self, peer: &Identity, error: IngestError) -> PeerError {
        match error {
            IngestError::Body(_) => PeerError::Unreachable(error.to_string()),
            IngestError::TimedOut { .. } => self.peers.faulty(peer, Fault::Stalled, error.to_string()),
            IngestError::DiskFull | IngestError::Io(_) => PeerError::NotTaken(error.to_string()),
            error => self.peers.faulty(peer, Fault::Lied, format!("its result was refused: {error}")),
        }
    }

    /// What ffprobe finds in a job's video, to hold a result against it; none where this node can't look at it.
    async fn facts(&self, job: &Job) -> Result<Option<Facts>, PeerError> {
        match self.probe(job).await {
            Ok(facts) => Ok(Some(facts)),
            Err(WorkError::Fault { .. } | WorkError::Crashed { .. }) => Ok(None),
            Err(verdict) => Err(verdict.into()),
        }
    }

    /// Puts a result into the cache.
    async fn put(&self, result: Verified) -> Result<Object, WorkError> {
        let (profile, content) = (Arc::clone(result.profile()), result.content());
        let kept = self.store.keep(result).await;
        if kept.as_ref().is_ok_and(Object::is_cached) {
            self.pool.unbook(&profile, content);
        }
        kept.map_err(|error| WorkError::fault(format!("the result can't be opened: {error}")))
    }
}

/// Tells what moves in a transcode, for as long as this is polled.
///
/// It may have been begun before this listens, and hang from its first moment: that it is begun is told in any case, since what is
/// taken to wait for a worker is waited for.
async fn follow(life: &Life, mut progress: watch::Receiver<workers::Progress>) {
    loop {
        let now = *progress.borrow_and_update();
        if now.running {
            life.moves();
            life.has_come_to(Part {
                permille: now.fraction.map(|fraction| (fraction.clamp(0.0, 1.0) * 1000.0) as u16),
                frames: now.frames,
                encoded_ms: now.encoded.as_millis() as u64,
            });
        }
        if progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The same body, counted as it goes by.
pub(super) fn counted<B>(body: B, motion: &Motion) -> impl Body<Data = Bytes, Error = B::Error> + use<B>
where
    B: Body<Data = Bytes>,
{
    let (motion, number) = (motion.clone(), motion.begins());
    body.map_frame(move |frame: Frame<Bytes>| {
        motion.moves(number, frame.data_ref().map_or(0, Bytes::len));
        frame
    })
}

#[cfg(test)]
mod tests {
    use starling_placement::content::ContentId;
    use starling_placement::journey::Lives;

    use super::*;

    #[tokio::test]
    async fn work_that_was_begun_before_it_is_listened_to_does_not_wait() {
        let lives = Lives::default();
        let key = Key {
            content: ContentId::of(b"clip"),
            profile: "360p".parse().unwrap(),
            recipe: ContentId::of(b"recipe"),
        };
        let life = lives.enter(&key);
        for (running, waits) in [(false, true), (true, false)] {
            let progress = watch::Sender::new(workers::Progress { running, ..workers::Progress::default() });
            let followed =
                tokio::time::timeout(std::time::Duration::ZERO, follow(&life, progress.subscribe()));
            followed.await.unwrap_err();
            assert_eq!(lives.progress(&key).map(|progress| progress.waits), Some(waits));
        }
    }
}
