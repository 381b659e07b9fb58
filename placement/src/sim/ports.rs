//! What a journey asks of its own node.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use starling_overlay::{Identity, LoadSample};

use super::bench::{Made, Place, Ticket};
use super::node::{Delivery, Object, Pixels, SimNode};
use super::setup::Plant;
use crate::content::{ClientTag, Key};
use crate::desk::{Backlog, Entry, Estimate, JobSpec, Unseen};
use crate::error::WorkError;
use crate::journey::{CacheState, Facts, Job, Life, Motion, OwnDesk, PeerError, Work, clock};
use crate::profile::ProfileName;

/// A look at a video, and at a result that a peer made.
pub(super) const LOOK_TIME: Duration = Duration::from_millis(60);
const VERIFY_TIME: Duration = Duration::from_millis(30);

impl OwnDesk for SimNode {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn can_make(&self, _: &ProfileName) -> Result<(), WorkError> {
        Ok(())
    }

    fn reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> Option<Place> {
        self.place_unseen(&unseen(client, key, deadline), key)
    }

    fn send_away(&self, place: &Place) {
        self.bench().desk.send_away(place.id());
        self.publish_load();
    }

    fn would_reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> bool {
        self.bench().desk.would_reserve_unseen(clock::now(), &unseen(client, key, deadline))
    }

    fn own_load(&self) -> LoadSample {
        self.load()
    }

    fn backlog(&self, client: ClientTag, own: Option<&Place>) -> Backlog {
        self.bench().desk.backlog(clock::now(), client, own.map(Place::id))
    }

    fn usual_service(&self, client: ClientTag, profile: &ProfileName) -> Option<Duration> {
        self.bench().desk.usual_service(clock::now(), client, profile)
    }

    fn estimate(&self, client: ClientTag, profile: &ProfileName, work_pixels: u64) -> Estimate {
        self.bench().desk.estimate(clock::now(), client, profile, work_pixels)
    }

    fn book(
        &self,
        client: ClientTag,
        key: &Key,
        work_pixels: Option<u64>,
        allowed: Duration,
    ) -> Option<Duration> {
        let job = (client, key.content, &key.profile);
        let after = self.bench().desk.book(clock::now(), job, work_pixels, allowed);
        if self.cluster.setup.plant == Some(Plant::ForgottenBooking) {
            self.bench().desk.unbook(key.content, &key.profile);
        }
        if let Some(after) = after {
            self.cluster.promised(self.index, key, after);
        }
        after
    }

    fn hold_booking(&self, key: &Key) {
        // It waits for another node's work.
        self.cluster.waits(self.index, key.content);
        self.bench().desk.hold_booking(clock::now(), key.content, &key.profile);
    }
}

fn unseen(client: ClientTag, key: &Key, deadline: Instant) -> Unseen<'_> {
    Unseen { client, content: key.content, profile: &key.profile, deadline }
}

impl Work for SimNode {
    async fn cached(&self, key: &Key) -> Option<Object> {
        Self::cached(self, key)
    }

    async fn probe(&self, job: &Job<Self>) -> Result<Pixels, WorkError> {
        if let Some(facts) = job.facts {
            return Ok(facts);
        }
        tokio::time::sleep(LOOK_TIME).await;
        Ok(Pixels(job.input.pixels))
    }

    async fn run(&self, job: &Job<Self>, reservation: Option<Place>, _: &Life) -> Result<Object, WorkError> {
        let facts = self.probe(job).await?;
        let spec = JobSpec {
            client: job.client,
            content: job.key.content,
            profile: job.key.profile.clone(),
            work_pixels: facts.work_pixels(),
            deadline: job.budget.deadline(),
        };
        let place = match reservation {
            Some(place) => place,
            None => self.place(&spec, Entry::Booked, &job.key)?,
        };
        let work = (job.input.seconds, job.budget.limit());
        // The one that is given here: the worker tells it of its steps, and need not wake for that who waits for the end.
        let life = self.journeys.lives.enter(&job.key);
        let mut ticket = self.submit(&place, (spec, job.key.clone()), work, (job.input.requester, &life))?;
        drop(place);
        self.cluster.waits(job.input.requester, job.key.content);
        made(&mut ticket, job.budget.limit()).await?;
        Ok(Self::cached(self, &job.key).expect("what was made is kept"))
    }

    async fn keep(
        &self,
        job: &Job<Self>,
        _: &Identity,
        Delivery { from, object, was_held }: Delivery,
        motion: &Motion,
    ) -> Result<(Object, CacheState), PeerError> {
        let body = motion.begins();
        self.body_from(from, object.bytes, |bytes| motion.moves(body, bytes)).await?;
        motion.ends();
        tokio::time::sleep(VERIFY_TIME).await;
        self.keeps(&job.key);
        Ok((object, if was_held { CacheState::Hit } else { CacheState::Miss }))
    }
}

/// Waits for a job's end.
async fn made(ticket: &mut Ticket, limit: Instant) -> Made {
    tokio::select! {
        biased;
        made = &mut ticket.reply => made.unwrap_or(Err(WorkError::TooLate)),
        () = clock::sleep_until(limit) => Err(WorkError::TooLate),
    }
}
