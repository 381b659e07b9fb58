//! The own desk.

use std::time::{Duration, Instant};

use starling_overlay::LoadSample;
use starling_placement::content::Key;
use starling_placement::desk::{Backlog, Estimate};
use starling_placement::error::WorkError;
use starling_placement::journey::OwnDesk;

use crate::content::ClientTag;
use crate::node::Node;
use crate::profile::ProfileName;
use crate::workers::Reservation;

impl OwnDesk for Node {
    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn can_make(&self, profile: &ProfileName) -> Result<(), WorkError> {
        if let Some(profile) = self.profiles.get(profile) {
            return Self::can_make(self, &profile);
        }
        let lack = "no profile of this name is known here".to_owned();
        Err(WorkError::Unavailable { profile: profile.clone(), lack })
    }

    fn reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> Option<Reservation> {
        let place = self.pool.reserve_unseen(client, &key.profile, key.content, deadline);
        if place.is_some() {
            self.publish_load();
        }
        place
    }

    fn send_away(&self, reservation: &Reservation) {
        reservation.send_away();
        self.publish_load();
    }

    fn would_reserve(&self, client: ClientTag, key: &Key, deadline: Instant) -> bool {
        self.pool.would_take(client, &key.profile, key.content, deadline)
    }

    fn own_load(&self) -> LoadSample {
        Self::own_load(self)
    }

    fn backlog(&self, client: ClientTag, own: Option<&Reservation>) -> Backlog {
        self.pool.backlog(client, own)
    }

    fn usual_service(&self, client: ClientTag, profile: &ProfileName) -> Option<Duration> {
        self.pool.usual_service(client, profile)
    }

    fn estimate(&self, client: ClientTag, profile: &ProfileName, work_pixels: u64) -> Estimate {
        self.pool.estimate(client, profile, work_pixels)
    }

    fn book(
        &self,
        client: ClientTag,
        key: &Key,
        work_pixels: Option<u64>,
        allowed: Duration,
    ) -> Option<Duration> {
        self.pool.book(client, &key.profile, key.content, work_pixels, allowed)
    }

    fn hold_booking(&self, key: &Key) {
        self.pool.hold_booking(&key.profile, key.content);
    }
}
