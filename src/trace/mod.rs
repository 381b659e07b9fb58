//! Which request what happens belongs to: W3C Trace Context, taken from clients, carried through tasks and threads, and passed on to
//! peers. Log lines and events say it as `trace_id`, so that an upload can be followed over all nodes that had to do with it.
//!
//! The trace travels beside the work and not in it: a task-local value that [`spawn`] and [`spawn_blocking`] take along. Work that
//! waits in a queue for a thread keeps it, and takes it up again with [`within_sync`].

mod context;
mod scope;
mod span;

pub use context::{SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId};
pub use scope::{Scope, carried, current, identify, spawn, spawn_blocking, to_the_end, within, within_sync};
pub use span::{Note, Part, Span, SpanKind, Spans, Underway, saw};
