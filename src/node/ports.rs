//! The ports of [`starling_placement::journey`] made real: what a journey needs is asked here of the pool, the disk, ffmpeg and the
//! peers.

mod desk;
mod peers;
mod work;

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use starling_overlay::{Identity, View};
use starling_placement::journey::{self, Event, Host, Journeys, Things};
use starling_placement::policy::{Avoided, Router};

use super::{Facts, Input, Node};
use crate::api::Accepted;
use crate::offload::{Delivery, Fault};
use crate::store::Object;
use crate::trace;
use crate::workers::Reservation;

impl Things for Node {
    type Input = Input;
    type Facts = Facts;
    type Reservation = Reservation;
    type Object = Object;
    type Accepted = Accepted;
    type Delivery = Delivery;
}

impl journey::Reservation for Reservation {
    fn is_booked(&self) -> bool {
        Self::is_booked(self)
    }
}

impl Host for Node {
    fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    async fn lost(&self, peer: &Identity) {
        let mut view = self.view.clone();
        let gone = view.wait_for(|view| {
            !view.peers.iter().any(|member| {
                member.identity.name == peer.name
                    && member.identity.boot == peer.boot
                    && member.state.is_live()
            })
        });
        if gone.await.is_err() {
            // The overlay has stopped, so nothing watches any more; the connection still does.
            std::future::pending::<()>().await;
        }
    }

    fn journeys(&self) -> &Journeys<Object> {
        &self.journeys
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        trace::spawn(task);
    }

    fn tell(&self, event: Event) {
        self.note(&event);
    }

    fn router(&self) -> &Router {
        &self.router
    }

    fn avoided(&self) -> Vec<Avoided> {
        self.peers.standings().concerns(Instant::now())
    }

    fn is_distrusted(&self, peer: &Identity) -> bool {
        self.peers.standings().is_distrusted(Instant::now(), peer)
    }

    fn hold_against(&self, peer: &Identity, fault: Fault, seen: &str) {
        self.peers.report(peer, fault, seen);
    }
}
