//! The dashboard of a node's own view.

use std::net::IpAddr;
use std::sync::Arc;

use starling_overlay::{LoadSample, View};
use tokio::time::MissedTickBehavior;

use super::doers::Doers;
use super::{ListenError, ListenSlot, Node};
use crate::dashboard::{About, Board, EVENTS_MAX, Figures, SAMPLE_INTERVAL, Source, Work};
use crate::events::{Entry, EventId, Kind, NodeEvent, Observer};
use crate::metrics::{Format, Metrics};

/// All that hear what happens at a node.
pub(super) struct Hearers {
    pub metrics: Arc<Metrics>,
    pub journal: Arc<crate::dashboard::Journal>,
    pub doers: Arc<Doers>,
}

impl Observer for Hearers {
    fn observe(&self, event: &NodeEvent<'_>) {
        self.metrics.observe(event);
        self.journal.observe(event);
        self.doers.observe(event);
    }
}

impl Source for Node {
    fn about(&self) -> About {
        About {
            kind: "node".into(),
            name: self.identity.name.to_string(),
            zone: self.identity.zone.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            boot: self.identity.boot.0,
            policy: Some(self.policy().kind.as_str().into()),
        }
    }

    fn view(&self) -> Arc<View> {
        Self::view(self)
    }

    fn own_load(&self) -> Option<LoadSample> {
        Some(Self::own_load(self))
    }

    fn recent_events(&self) -> Vec<Arc<Entry>> {
        self.events.recent(Kind::Membership, EVENTS_MAX)
    }

    fn newest_event(&self) -> Option<EventId> {
        self.events.newest()
    }

    fn work(&self) -> Work {
        self.journal.work()
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn watch_slot(&self, client: IpAddr) -> Result<ListenSlot, ListenError> {
        self.listen_slot(client)
    }
}

/// Reads the node's own figures now and then, for as long as this is polled.
pub(super) async fn read_regularly(node: Arc<Node>) {
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match node.metrics_text(Format::Text) {
            Ok(text) => {
                let figures = Figures::parse(&text).map(|figures| (node.identity.name.clone(), figures));
                node.board.read(&Node::view(&node), figures.into_iter().collect());
            }
            Err(error) => {
                tracing::warn!(%error, "the node's own metrics can't be read: the dashboard has none");
            }
        }
    }
}
