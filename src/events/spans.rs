//! Events as spans: what took its time is a span of its own, all else a note of its request's.

use serde_json::{Map, Value};
use starling_placement::journey::What;

use super::NodeEvent;
use crate::trace::{self, Part, SpanKind};

/// An event of this name was told, with these members of a JSON object, each with a comma before it.
pub(super) fn saw(event: &NodeEvent<'_>, name: &'static str, fields: &str) {
    trace::saw(name, part(event).as_ref(), || object(fields));
}

fn part(event: &NodeEvent<'_>) -> Option<Part> {
    let internal = |name, took, failed| Part { name, kind: SpanKind::Internal, took, failed };
    Some(match event {
        NodeEvent::Begun { waited, .. } => internal("queue", *waited, false),
        NodeEvent::Made { took, .. } => internal("transcode", *took, false),
        NodeEvent::NotMade { took, error, .. } => internal("transcode", *took, error.is_tool_fault()),
        NodeEvent::Job { what: What::Transferred { there, took, .. }, .. } => {
            let name = if *there { "offload send" } else { "offload receive" };
            Part { name, kind: SpanKind::Client, took: *took, failed: false }
        }
        _ => return None,
    })
}

fn object(fields: &str) -> Map<String, Value> {
    let object = format!("{{{}}}", fields.strip_prefix(',').unwrap_or_default());
    serde_json::from_str(&object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_events_are_read_back() {
        let read = object(r#","peer":"node2","bytes":7,"share":0.5,"done":true"#);
        assert_eq!(
            (&read["peer"], &read["bytes"], &read["done"]),
            (&"node2".into(), &7.into(), &true.into())
        );
        assert!(object("").is_empty());
    }
}
