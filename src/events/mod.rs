//! Everything that happens to jobs, to the membership and to this node, as one enum, [`NodeEvent`], told in one place:
//! [`Events::tell`]. Log lines (`log.rs`), metrics (an [`Observer`]) and the stream of `GET /events` (`told.rs`, `feed.rs`) are all
//! made of it, and a test may look at it as well.
//!
//! Log lines of the membership are the overlay's own: it makes them of the same [`starling_overlay::Event`], and paces them.

mod event;
mod feed;
mod log;
mod refusals;
mod spans;
#[cfg(test)]
mod tests;
mod told;

use std::fmt;
use std::sync::Arc;

pub use event::{Departure, NodeEvent, ServedFor};
pub use feed::{Batch, Entry, EventId, EventIdError, Gap, Listener};
pub use told::{Kind, Kinds};

use feed::Feed;
use parking_lot::Mutex;
use refusals::Refusals;
use starling_overlay::{BootEpoch, NodeName};

/// Hears each event when it happens, on the thread where it happens: must return at once.
pub trait Observer: Send + Sync {
    /// This has happened.
    fn observe(&self, event: &NodeEvent<'_>);
}

/// Where events are told. Clones are the same place; the default one takes no note of anything.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<Inner>>);

struct Inner {
    observer: Arc<dyn Observer>,
    feed: Arc<Feed>,
    refusals: Mutex<Refusals>,
}

impl Events {
    /// The events of this boot of a node.
    pub fn new(node: NodeName, boot: BootEpoch, observer: Arc<dyn Observer>) -> Self {
        let feed = Arc::new(Feed::new(node, boot.0));
        Self(Some(Arc::new(Inner { observer, feed, refusals: Mutex::default() })))
    }

    /// This has happened: it is logged, counted, and kept for those that listen.
    pub fn tell(&self, event: &NodeEvent<'_>) {
        let Some(inner) = &self.0 else { return };
        log::line(event, &inner.refusals);
        inner.observer.observe(event);
        inner.feed.push(event);
    }

    /// Listens to events of these kinds that come after `after`: none is everything that is still kept. Without `follow` it ends
    /// with the newest one. None where nothing is kept.
    pub fn listen(&self, after: Option<EventId>, kinds: Kinds, follow: bool) -> Option<Listener> {
        self.0.as_ref().map(|inner| Feed::listen(&inner.feed, after, kinds, follow))
    }

    /// The newest events of this kind, oldest first, as many as `count_max`.
    pub fn recent(&self, kind: Kind, count_max: usize) -> Vec<Arc<Entry>> {
        self.0.as_ref().map_or_else(Vec::new, |inner| inner.feed.recent(kind, count_max))
    }

    /// The id of the newest event.
    pub fn newest(&self) -> Option<EventId> {
        self.0.as_ref().map(|inner| inner.feed.newest())
    }

    /// Ends all listening: what is told from now on is only logged and counted. For a node that leaves.
    pub fn close(&self) {
        if let Some(inner) = &self.0 {
            inner.feed.close();
            log::unsaid_refusals(&inner.refusals);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
