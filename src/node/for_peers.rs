//! The other side of an offload: jobs that peers bring here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use starling_placement::desk::{Asked, Ready};
use starling_placement::error::WorkError;
use starling_placement::journey::{self, TimeBudget, Timings};
use starling_placement::offers;

use super::{Facts, Input, Node, PeersJobError, RefusedOffer, Served};
use crate::api::{Accepted, Offer, OfferId};
use crate::config::NodeConfig;
use crate::events::NodeEvent;
use crate::offload::Seat;
use crate::store::Key;
use crate::trace;
use crate::workers::Reservation;

/// Offers that one address may have held here at once, until their videos are here.
pub(super) fn offers_per_peer_max(config: &NodeConfig) -> u32 {
    offers::offers_per_peer_max(u32::from(config.queue_capacity_jobs), u32::from(config.workers))
}

impl Node {
    /// Answers an offer: with a place in the queue that is held for a moment, or a refusal. Reads no byte of the job.
    ///
    /// What is held for one address is bounded, whatever names it gives itself.
    pub fn consider(&self, peer: IpAddr, offer: Offer) -> Result<Accepted, RefusedOffer> {
        let (from, content, profile) = (&offer.from, &offer.content, &offer.profile);
        trace::identify(offer.client(), Some(*content));
        match self.place_for(peer, &offer) {
            Ok((place, ready)) => {
                self.events.tell(&NodeEvent::OfferAccepted { from, content, profile });
                self.publish_load();
                Ok(Accepted { offer: self.offers.hold(offer, place), ready })
            }
            Err(refused) => {
                let reason = refused.code();
                self.events.tell(&NodeEvent::OfferRefused { from, content, profile, reason });
                Err(refused)
            }
        }
    }

    fn place_for(&self, peer: IpAddr, offer: &Offer) -> Result<((Reservation, Seat), Ready), RefusedOffer> {
        if self.is_draining() || self.rests() {
            return Err(WorkError::Draining.into());
        }
        let seat = self.offers.enter(peer).map_err(|max| RefusedOffer::TooMany { max })?;
        let max = self.config.upload_bytes_max;
        if offer.bytes > max {
            return Err(RefusedOffer::TooLarge { max });
        }
        let profile = self.profile_by_recipe(&offer.profile, offer.recipe)?;
        self.can_make(&profile)?;
        let deadline =
            Instant::now() + Duration::from_millis(offer.deadline_ms).min(self.config.deadline_max);
        let client = offer.client();
        let pixels = match &offer.info {
            Some(info) => Some(self.pool.work_pixels(&profile, info).map_err(WorkError::from)?),
            None => None,
        };
        let asked = Asked {
            client,
            content: offer.content,
            profile: &profile.name,
            work_pixels: pixels,
            deadline,
            backlog: offer.backlog,
        };
        let (place, ready) = self.pool.consider(&asked)?;
        Ok(((place, seat), ready))
    }

    /// The job of an offer that was accepted does not come: its place is free again.
    pub fn release_offer(&self, id: OfferId) {
        if self.offers.release(id) {
            self.publish_load();
        }
    }

    /// Does a job whose offer was accepted.
    pub async fn work_for_peer<B>(
        self: &Arc<Self>,
        id: OfferId,
        body: B,
        budget: TimeBudget,
    ) -> Result<Served, PeersJobError>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (offer, (place, seat)) =
            self.offers.take(id).map_err(|error| PeersJobError::Offer { id, error })?;
        trace::identify(offer.client(), Some(offer.content));
        let profile = self.profile_by_recipe(&offer.profile, offer.recipe)?;
        let life = self.journeys.lives.enter(&Key::new(offer.content, &profile));
        let coming = Arc::clone(&life);
        let body = body.map_frame(move |frame| {
            coming.moves();
            frame
        });
        let receive = self.ingest(body, Some(offer.content), offer.client());
        let upload = tokio::time::timeout_at(budget.deadline().into(), receive)
            .await
            .map_err(|_| WorkError::TooLate)??;
        // It has brought what it offered.
        drop(seat);
        life.waits();
        let facts = offer.info.clone().map(|info| Facts::new(Arc::new(info), &profile));
        let input = Input { upload: Arc::new(upload), profile };
        let mut job = input.into_job(offer.client(), budget, Timings::new(Instant::now()));
        job.facts = facts;
        // One hop is the limit, so it is done here.
        let served = journey::work_here(self, &job, Some(place)).await?;
        self.tell_peers_job_done(&offer, &served);
        Ok(served)
    }
}
