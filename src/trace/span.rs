//! What took its time in a request, for a collector of spans. Without one nothing is made, and it costs the load of a pointer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{Scope, SpanId, TraceId, current};

/// Notes that a span has; those after them are counted alone.
const NOTES_MAX: usize = 32;

/// Whose side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// That of what is asked.
    Server,
    /// That of what asks.
    Client,
    /// No call.
    Internal,
}

/// Something that happened within a span.
#[derive(Clone, Debug)]
pub struct Note {
    /// The event's name.
    pub name: &'static str,
    /// When.
    pub at: SystemTime,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// Something that took its time, and is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it is.
    pub name: String,
    /// Whose side.
    pub kind: SpanKind,
    /// The trace.
    pub trace: TraceId,
    /// Its own name in it.
    pub id: SpanId,
    /// What it is a part of.
    pub parent: Option<SpanId>,
    /// Whether that is another process's.
    pub parent_is_remote: bool,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed by a fault of the cluster's.
    pub failed: bool,
    /// What else is known of it.
    pub fields: Map<String, Value>,
    /// What happened in it.
    pub notes: Vec<Note>,
    /// Notes beyond what a span has at the most: they are counted alone.
    pub notes_lost: u32,
}

/// What was seen so far of a request.
#[derive(Debug, Default)]
pub(super) struct Seen {
    notes: Mutex<(Vec<Note>, u32)>,
}

static KEEPER: OnceLock<Keeper> = OnceLock::new();

#[derive(Debug)]
struct Keeper {
    spans: mpsc::Sender<Span>,
    lost: AtomicU64,
}

/// The spans of this process, as they end.
#[derive(Debug)]
pub struct Spans(mpsc::Receiver<Span>);

impl Spans {
    /// Keeps the spans of this process from now on, as many at once as `waiting_max`; those beyond are lost. Once in a process: none
    /// the second time.
    pub fn keep(waiting_max: usize) -> Option<Self> {
        let (spans, waiting) = mpsc::channel(waiting_max);
        KEEPER.set(Keeper { spans, lost: AtomicU64::new(0) }).ok().map(|()| Self(waiting))
    }

    /// The next ones, as many as `count_max`; none where there are none now.
    pub fn take(&mut self, count_max: usize) -> Vec<Span> {
        std::iter::from_fn(|| self.0.try_recv().ok()).take(count_max).collect()
    }

    /// Spans that were lost since this was asked last, since too many waited.
    pub fn take_lost(&self) -> u64 {
        KEEPER.get().map_or(0, |keeper| keeper.lost.swap(0, Ordering::Relaxed))
    }
}

/// The keeper, where spans of this request are kept.
fn keeper(scope: &Scope) -> Option<&'static Keeper> {
    KEEPER.get().filter(|_| scope.context().is_sampled())
}

fn push(keeper: &Keeper, span: Span) {
    // Nothing waits for the collector.
    if keeper.spans.try_send(span).is_err() {
        keeper.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// A part of the current request that is over, if its spans are kept.
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Whose side.
    pub kind: SpanKind,
    /// How long it took, until now.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// Something has happened in the current request: a part of it is over, or it is a note of its span. `fields` are asked only where they
/// are kept.
pub fn saw(name: &'static str, part: Option<&Part>, fields: impl FnOnce() -> Map<String, Value>) {
    if KEEPER.get().is_none() {
        return;
    }
    let Some(scope) = current() else { return };
    let Some(keeper) = keeper(&scope) else { return };
    let now = SystemTime::now();
    let Some(&Part { name, kind, took, failed }) = part else {
        let mut seen = scope.seen().notes.lock();
        if seen.0.len() < NOTES_MAX {
            seen.0.push(Note { name, at: now, fields: fields() });
        } else {
            seen.1 = seen.1.saturating_add(1);
        }
        return;
    };
    let span = Span {
        name: name.to_owned(),
        kind,
        trace: scope.trace_id(),
        id: SpanId::random(),
        parent: Some(scope.span_id()),
        parent_is_remote: false,
        began: now.checked_sub(took).unwrap_or(now),
        took,
        failed,
        fields: fields(),
        notes: Vec::new(),
        notes_lost: 0,
    };
    push(keeper, span);
}

/// A request, or a try at a job, under way. Its span ends when this is dropped, however that comes.
#[derive(Debug)]
pub struct Underway {
    scope: Scope,
    name: String,
    kind: SpanKind,
    began: (SystemTime, Instant),
    /// Kept whatever becomes of it; else only if it turns out to be about a video.
    wanted: bool,
    failed: bool,
    fields: Map<String, Value>,
}

impl Underway {
    /// It begins now; none where its span would not be kept.
    pub fn begin(scope: &Scope, kind: SpanKind, wanted: bool, name: impl FnOnce() -> String) -> Option<Self> {
        keeper(scope)?;
        Some(Self {
            scope: scope.clone(),
            name: name(),
            kind,
            began: (SystemTime::now(), Instant::now()),
            wanted,
            failed: false,
            fields: Map::new(),
        })
    }

    /// What else is known of it.
    pub fn say(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// It fails by a fault of the cluster's.
    pub fn fail(&mut self) {
        self.failed = true;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let Some(keeper) = keeper(&self.scope) else { return };
        let (notes, notes_lost) = std::mem::take(&mut *self.scope.seen().notes.lock());
        if !self.wanted && !self.scope.is_identified() && notes.is_empty() {
            return;
        }
        let mut fields = std::mem::take(&mut self.fields);
        let of_request = self.scope.fields().filter(|(name, _)| *name != "trace_id");
        fields.extend(of_request.map(|(name, value)| (name.to_owned(), value.into())));
        let context = self.scope.context();
        let (began, begun) = self.began;
        let span = Span {
            name: std::mem::take(&mut self.name),
            kind: self.kind,
            trace: context.trace,
            id: context.span,
            parent: context.parent,
            parent_is_remote: context.parent.is_some(),
            began,
            took: begun.elapsed(),
            failed: self.failed,
            fields,
            notes,
            notes_lost,
        };
        push(keeper, span);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{TraceContext, within_sync};
    use super::*;

    fn fields() -> Map<String, Value> {
        Map::from_iter([("peer".to_owned(), Value::from("node2"))])
    }

    fn begin(scope: &Scope, wanted: bool) -> Option<Underway> {
        Underway::begin(scope, SpanKind::Server, wanted, || "POST /upload".to_owned())
    }

    /// All of it in one test: a process has one keeper.
    #[test]
    fn spans_of_sampled_requests_are_kept_in_bounds() {
        let given = |flags: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let scope = |flags: &str| Scope::new(TraceContext::of_traceparent(&given(flags)).unwrap());
        assert!(begin(&scope("01"), true).is_none(), "nothing is kept, so nothing is made");
        let mut spans = Spans::keep(3).unwrap();
        assert!(Spans::keep(3).is_none());
        assert!(begin(&scope("00"), true).is_none(), "its client does not want it kept");

        let upload = scope("01");
        let mut underway = begin(&upload, true).unwrap();
        within_sync(Some(&upload), || {
            for _ in 0..=NOTES_MAX {
                saw("offered", None, fields);
            }
            let took = Duration::from_millis(5);
            saw("begun", Some(&Part { name: "queue", kind: SpanKind::Internal, took, failed: true }), fields);
        });
        saw("offered", None, || unreachable!("of no request"));
        underway.say("http.response.status_code", 503);
        underway.fail();
        drop(underway);
        let [queue, whole] = &spans.take(9)[..] else { panic!("two spans") };
        assert_eq!(
            (queue.name.as_str(), queue.parent, queue.failed),
            ("queue", Some(upload.span_id()), true)
        );
        assert!(queue.id != whole.id && queue.trace == whole.trace && queue.fields == fields());
        assert_eq!((whole.id, whole.parent), (upload.span_id(), Some(SpanId(0x00f0_67aa_0ba9_02b7))));
        assert!(whole.failed && whole.parent_is_remote && whole.fields["http.response.status_code"] == 503);
        assert_eq!((whole.notes.len(), whole.notes_lost), (NOTES_MAX, 1));

        // What is about no video is not told, unless it is wanted.
        drop(begin(&scope("01"), false));
        assert!(spans.take(9).is_empty());
        for _ in 0..5 {
            drop(begin(&scope("01"), true));
        }
        assert_eq!((spans.take(9).len(), spans.take_lost(), spans.take_lost()), (3, 2, 0));
    }
}
