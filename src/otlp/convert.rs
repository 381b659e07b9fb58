//! Spans in the words of OpenTelemetry.

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::trace::{self, Note, Span};

/// A span as it is sent.
pub(super) fn span(span: Span) -> SpanData {
    let id = |id: trace::SpanId| SpanId::from_bytes(id.0.to_be_bytes());
    let trace = TraceId::from_bytes(span.trace.0.to_be_bytes());
    let mut events = SpanEvents::default();
    (events.events, events.dropped_count) = (span.notes.into_iter().map(event).collect(), span.notes_lost);
    SpanData {
        span_context: SpanContext::new(trace, id(span.id), TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, id),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            trace::SpanKind::Server => SpanKind::Server,
            trace::SpanKind::Client => SpanKind::Client,
            trace::SpanKind::Internal => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: span.began,
        end_time: span.began.checked_add(span.took).unwrap_or(span.began),
        attributes: attributes(span.fields),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("starling")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn event(note: Note) -> Event {
    Event::new(note.name, note.at, attributes(note.fields), 0)
}

fn attributes(fields: serde_json::Map<String, serde_json::Value>) -> Vec<KeyValue> {
    fields.into_iter().map(|(name, field)| KeyValue::new(name, value(field))).collect()
}

fn value(field: serde_json::Value) -> Value {
    match field {
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::I64(whole),
            None => Value::F64(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::String(text.into()),
        other => Value::String(other.to_string().into()),
    }
}
