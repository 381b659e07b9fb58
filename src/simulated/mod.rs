//! A simulated run as a [`Source`] of the dashboard: it is played as fast as whoever looks wants it to be, and seen as one of its nodes
//! sees it. The run itself is `starling_overlay::sim`'s, and the same as without anybody looking.

mod control;
mod player;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use starling_overlay::sim::Report;
use starling_overlay::{LoadSample, View};

pub use control::{Order, OrderError, PlayedFault, Playing};
pub use player::{Play, play};

use crate::dashboard::{About, Board, EVENTS_MAX, SAMPLE_INTERVAL, Source, Work};
use crate::events::{Entry, EventId, Events, Kind, NodeEvent, Observer};
use crate::node::{ListenError, ListenSlot, Listeners};

/// A run that is played.
pub struct Stage {
    /// What the run's thread and whoever gives orders have in common.
    playing: Mutex<Playing>,
    ordered: Condvar,
    seen: Mutex<Seen>,
    events: Events,
    board: Board,
    listeners: Listeners,
    boot: u64,
}

/// How one of the nodes saw the cluster.
struct Seen {
    view: Arc<View>,
    /// When that was looked at.
    at: Instant,
}

/// Nobody counts what happens in a simulation.
struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &NodeEvent<'_>) {}
}

impl Stage {
    /// How it is played.
    pub fn playing(&self) -> Playing {
        self.playing.lock().clone()
    }

    /// Does as it is told.
    pub fn order(&self, order: &Order) -> Result<Playing, OrderError> {
        let mut playing = self.playing.lock();
        playing.take(order)?;
        self.ordered.notify_all();
        Ok(playing.clone())
    }

    /// The run has come to its end.
    fn ended(&self, report: &Report) {
        self.playing.lock().ended(report);
    }

    /// Reads the loads now and then, for as long as this is polled.
    pub async fn sample_regularly(self: Arc<Self>) {
        let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.board.read(&self.view(), Vec::new());
        }
    }
}

impl Source for Stage {
    fn about(&self) -> About {
        let seen = self.seen.lock();
        let identity = &seen.view.local.identity;
        About {
            kind: "simulation".into(),
            name: identity.name.to_string(),
            zone: identity.zone.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.boot,
            policy: None,
        }
    }

    /// As it was when it was looked at: while the run is held, nothing grows old.
    fn view(&self) -> Arc<View> {
        let (mut view, held) = {
            let seen = self.seen.lock();
            (View::clone(&seen.view), seen.at.elapsed())
        };
        view.at += held;
        let members = std::iter::once(&mut view.local).chain(&mut view.peers);
        for member in members {
            if let Some(load) = &mut member.load {
                load.taken += held;
            }
            if let Some(damping) = &mut member.damping {
                damping.until += held;
            }
        }
        Arc::new(view)
    }

    fn own_load(&self) -> Option<LoadSample> {
        self.seen.lock().view.local.load.map(|load| load.sample)
    }

    fn recent_events(&self) -> Vec<Arc<Entry>> {
        self.events.recent(Kind::Membership, EVENTS_MAX)
    }

    fn newest_event(&self) -> Option<EventId> {
        self.events.newest()
    }

    fn work(&self) -> Work {
        Work::default()
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn watch_slot(&self, client: IpAddr) -> Result<ListenSlot, ListenError> {
        self.listeners.slot(client)
    }
}
