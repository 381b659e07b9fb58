//! What happens at this node and to its uploads, told to [`Events`].

use std::fmt::Display;
use std::time::Duration;

use starling_overlay::Event as MembershipEvent;
use starling_placement::journey::{Event, Timings};
use starling_placement::policy::RouteKind;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Node, Served};
use crate::api::Offer;
use crate::content::ContentId;
use crate::events::{Events, NodeEvent, ServedFor};
use crate::profile::Profile;

impl Node {
    /// Where all that happens is told.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Takes note of what happened to a job on its way.
    pub(super) fn note(&self, Event { key, what }: &Event) {
        self.events.tell(&NodeEvent::Job { key, what });
    }

    /// An upload was answered with a result.
    pub fn tell_served(
        &self,
        what_for: ServedFor,
        (content, profile): (&ContentId, &Profile),
        served: &Served,
        timings: &Timings,
    ) {
        let (profile, policy) = (&profile.name, self.policy().kind.as_str());
        self.events.tell(&NodeEvent::UploadServed { what_for, content, served, profile, policy, timings });
    }

    /// An upload was answered with an error of this status and type, in these words.
    pub fn tell_refused(
        &self,
        (status, problem): (u16, &'static str),
        error: &dyn Display,
        timings: &Timings,
    ) {
        let policy = self.policy().kind.as_str();
        self.events.tell(&NodeEvent::UploadRefused { status, problem, error, policy, timings });
    }

    /// A peer's job was answered with an error of this type, in these words.
    pub fn tell_peers_job_failed(&self, problem: &'static str, error: &dyn Display) {
        self.events.tell(&NodeEvent::PeersJobFailed { problem, error });
    }

    /// A peer's job was done.
    pub(super) fn tell_peers_job_done(&self, offer: &Offer, served: &Served) {
        let view = self.view();
        let zone =
            view.peers.iter().find(|peer| peer.identity.name == offer.from).map(|peer| &peer.identity.zone);
        // A peer that is not known has no zone: it is nearer to none.
        let route = zone.map_or(RouteKind::CrossRegion, |zone| RouteKind::between(zone, &self.identity.zone));
        let (from, content, profile) = (&offer.from, &offer.content, &offer.profile);
        self.events.tell(&NodeEvent::PeersJobDone { from, route, content, profile, served });
    }

    /// This node takes nothing new any more; what runs has so much time. Which jobs it runs then. Those that listen to its events get
    /// this as the last one.
    pub fn tell_leaving(&self, bound: Duration) {
        let running = self.begin_to_leave();
        self.events.tell(&NodeEvent::Leaving { bound, running });
        self.events.close();
        self.board.close();
    }
}

/// Tells what happens to the membership, for as long as the overlay lives.
pub async fn tell_of_membership(events: Events, mut membership: Receiver<MembershipEvent>) {
    loop {
        match membership.recv().await {
            Ok(event) => events.tell(&NodeEvent::Membership(&event)),
            Err(RecvError::Lagged(missed)) => events.tell(&NodeEvent::MembershipMissed { events: missed }),
            Err(RecvError::Closed) => return,
        }
    }
}
