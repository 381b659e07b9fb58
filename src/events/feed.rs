//! The events that are kept for a while, and those that listen.
//!
//! Two rings, both bounded by number and by bytes: changes of the membership are few and must not be pushed out by the many events of
//! jobs. A listener has a place in them and no queue of its own: one that reads too slowly finds that its place is gone, is told
//! so, and is cut off.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use starling_overlay::NodeName;
use tokio::sync::watch;

use super::told::told;
use super::{Kind, Kinds, NodeEvent, spans};
use crate::trace;

/// Events of the membership that are kept, and all others.
const MEMBERSHIP_EVENTS_MAX: usize = 1_024;
const OTHER_EVENTS_MAX: usize = 4_096;
/// What either may take, in bytes of text.
const RING_BYTES_MAX: usize = 2 << 20;
/// About what a listener gets at once.
const BATCH_BYTES_MAX: usize = 64 << 10;

/// Which event of which boot of a node; later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The node's boot.
    pub boot: u64,
    /// The event's number in it, from 1; 0 stands before the first.
    pub number: u64,
}

/// A text is no event's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event's id: give one as it came with an event, such as 1764352800000-42")]
pub struct EventIdError(String);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.number)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let parsed = text
            .split_once('-')
            .and_then(|(boot, number)| Some(Self { boot: boot.parse().ok()?, number: number.parse().ok()? }));
        parsed.ok_or_else(|| EventIdError(text.chars().take(80).collect()))
    }
}

/// One event that is kept.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: EventId,
    /// What it is about.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// All of it as a JSON object in one line.
    pub data: String,
}

/// Events that a listener does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// They are of an earlier boot of the node, which keeps none.
    Restarted {
        /// The last one that the listener has.
        after: EventId,
    },
    /// Some of those between these two are kept no more.
    Overwritten {
        /// The last one that the listener has.
        after: EventId,
        /// The last one that is lost.
        until: EventId,
    },
}

/// What a listener gets next.
#[derive(Debug)]
pub enum Batch {
    /// Events, in order; one at least.
    Events(Vec<Arc<Entry>>),
    /// Something is missing here; what comes after it follows.
    Gap(Gap),
    /// The listener was too slow, and is cut off: nothing follows.
    TooSlow(Gap),
}

/// One ring.
#[derive(Debug)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    entries_max: usize,
    bytes: usize,
    /// Number of the last event that was dropped.
    dropped: u64,
}

impl Ring {
    fn new(entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), entries_max, bytes: 0, dropped: 0 }
    }

    fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.data.len();
        self.entries.push_back(entry);
        while self.entries.len() > self.entries_max || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.data.len();
            self.dropped = oldest.id.number;
        }
    }

    /// Those after this number.
    fn after(&self, number: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let begin = self.entries.partition_point(|entry| entry.id.number <= number);
        self.entries.range(begin..)
    }
}

#[derive(Debug)]
struct Kept {
    newest: u64,
    membership: Ring,
    other: Ring,
}

/// What listeners wait for.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    newest: u64,
    closed: bool,
}

/// The events that are kept.
#[derive(Debug)]
pub(super) struct Feed {
    node: NodeName,
    boot: u64,
    kept: Mutex<Kept>,
    state: watch::Sender<State>,
}

impl Feed {
    pub(super) fn new(node: NodeName, boot: u64) -> Self {
        let kept = Kept {
            newest: 0,
            membership: Ring::new(MEMBERSHIP_EVENTS_MAX),
            other: Ring::new(OTHER_EVENTS_MAX),
        };
        Self { node, boot, kept: Mutex::new(kept), state: watch::Sender::default() }
    }

    pub(super) fn newest(&self) -> EventId {
        EventId { boot: self.boot, number: self.kept.lock().newest }
    }

    pub(super) fn recent(&self, kind: Kind, count_max: usize) -> Vec<Arc<Entry>> {
        let kept = self.kept.lock();
        let ring = if kind == Kind::Membership { &kept.membership } else { &kept.other };
        let of_kind = ring.entries.iter().rev().filter(|entry| entry.kind == kind);
        let mut recent: Vec<_> = of_kind.take(count_max).cloned().collect();
        recent.reverse();
        recent
    }

    /// Keeps an event.
    pub(super) fn push(&self, event: &NodeEvent<'_>) {
        let told = told(event);
        let (kind, name, fields) = (told.kind, told.name, told.fields.0);
        let node = &self.node;
        let trace = trace_of(kind);
        if of_request(kind) {
            spans::saw(event, name, &fields);
        }
        let newest = {
            let mut kept = self.kept.lock();
            kept.newest += 1;
            let id = EventId { boot: self.boot, number: kept.newest };
            // Under the lock, so that times don't go back from one event to the next.
            let at = humantime::format_rfc3339_millis(SystemTime::now());
            // Neither a name nor a time has anything to escape.
            let data = format!(
                r#"{{"id":"{id}","at":"{at}","node":"{node}","kind":"{}","event":"{name}"{fields}{trace}}}"#,
                kind.as_str()
            );
            let entry = Arc::new(Entry { id, kind, name, data });
            let ring = if kind == Kind::Membership { &mut kept.membership } else { &mut kept.other };
            ring.push(entry);
            id.number
        };
        self.state.send_if_modified(|state| {
            // Two threads may come here in another order than before.
            let newer = newest > state.newest;
            state.newest = state.newest.max(newest);
            newer
        });
    }

    pub(super) fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
    }

    pub(super) fn listen(this: &Arc<Self>, after: Option<EventId>, kinds: Kinds, follow: bool) -> Listener {
        let start = EventId { boot: this.boot, number: 0 };
        let restarted = after.filter(|after| after.boot != this.boot);
        Listener {
            after: after.filter(|_| restarted.is_none()).unwrap_or(start),
            from_oldest: after.is_none(),
            restarted,
            told_lost: 0,
            begun: false,
            over: false,
            kinds,
            follow,
            state: this.state.subscribe(),
            feed: Arc::clone(this),
        }
    }
}

/// Whether events of this kind are of a request.
const fn of_request(kind: Kind) -> bool {
    matches!(kind, Kind::Job | Kind::Work)
}

/// The trace of the request that an event is of, as a member of its object.
fn trace_of(kind: Kind) -> String {
    let scope = trace::current().filter(|_| of_request(kind));
    scope.map_or_else(String::new, |scope| format!(r#","trace_id":"{}""#, scope.trace_id()))
}

/// One that listens.
#[derive(Debug)]
pub struct Listener {
    feed: Arc<Feed>,
    state: watch::Receiver<State>,
    /// The last event that it has, or has passed by.
    after: EventId,
    /// It takes what there is, and misses nothing that was before.
    from_oldest: bool,
    /// The last event that it has of another boot.
    restarted: Option<EventId>,
    /// Up to here it was told that events are lost.
    told_lost: u64,
    /// It was given events, or has waited for some: what is lost from now on is for its being slow.
    begun: bool,
    over: bool,
    kinds: Kinds,
    follow: bool,
}

impl Listener {
    /// What comes next, when it comes; none when nothing follows. Cancel-safe.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            if self.over {
                return None;
            }
            if let Some(after) = self.restarted.take() {
                self.from_oldest = true;
                return Some(Batch::Gap(Gap::Restarted { after }));
            }
            // Before the look, so that what comes after it wakes this.
            let State { closed, .. } = *self.state.borrow_and_update();
            if let Some(batch) = self.read() {
                return Some(batch);
            }
            if closed || !self.follow {
                return None;
            }
            self.begun = true;
            // The feed, and so the sender, lives as long as this does.
            self.state.changed().await.ok()?;
        }
    }

    fn read(&mut self) -> Option<Batch> {
        let kept = self.feed.kept.lock();
        let others = Kind::ALL.into_iter().any(|kind| kind != Kind::Membership && self.kinds.has(kind));
        let membership = Some(&kept.membership).filter(|_| self.kinds.has(Kind::Membership));
        let other = Some(&kept.other).filter(|_| others);
        let dropped = [membership, other].iter().flatten().map(|ring| ring.dropped).max().unwrap_or_default();
        if std::mem::take(&mut self.from_oldest) {
            self.told_lost = dropped;
        }
        if dropped > self.after.number.max(self.told_lost) {
            self.told_lost = dropped;
            let until = EventId { boot: self.feed.boot, number: dropped };
            let gap = Gap::Overwritten { after: self.after, until };
            self.over = self.begun;
            return Some(if self.begun { Batch::TooSlow(gap) } else { Batch::Gap(gap) });
        }
        let mut membership =
            membership.map(|ring| ring.after(self.after.number)).into_iter().flatten().peekable();
        let mut other = other.map(|ring| ring.after(self.after.number)).into_iter().flatten().peekable();
        let (mut events, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES_MAX {
            let first = match (membership.peek(), other.peek()) {
                (Some(one), Some(two)) if one.id.number < two.id.number => membership.next(),
                (Some(_), None) => membership.next(),
                _ => other.next(),
            };
            let Some(entry) = first else {
                self.after.number = kept.newest;
                break;
            };
            self.after = entry.id;
            if self.kinds.has(entry.kind) {
                bytes += entry.data.len();
                events.push(Arc::clone(entry));
            }
        }
        if events.is_empty() {
            return None;
        }
        self.begun = true;
        Some(Batch::Events(events))
    }
}
