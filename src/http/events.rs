//! `GET /events`: what happens, as server-sent events (the HTML standard, section 9.2).

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Response};

use super::respond::{event_stream, problem};
use super::{ApiError, Body, full_body};
use crate::events::{Batch, EventId, Gap, Kinds, Listener};
use crate::node::{ListenSlot, Node};

/// A line of comment comes when nothing else has for so long: what is between, and the client, see that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// When a browser is to try again after its connection was lost.
const RETRY_MS: u32 = 1_000;
/// What a client that was cut off, or that comes back, says of the last event it has.
const LAST_EVENT_ID: &str = "last-event-id";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Ask {
    from: From,
    kinds: Kinds,
    follow: bool,
}

/// Where to begin.
#[derive(Debug, PartialEq, Eq)]
enum From {
    Now,
    Oldest,
    After(EventId),
}

pub(super) fn events<B>(node: &Arc<Node>, client: IpAddr, request: &Request<B>) -> Response<Body> {
    match open(node, client, request) {
        Ok(response) => response,
        Err(error) => problem(&error),
    }
}

fn open<B>(node: &Arc<Node>, client: IpAddr, request: &Request<B>) -> Result<Response<Body>, ApiError> {
    let ask = ask(request)?;
    if node.is_draining() {
        return Err(ApiError::Draining);
    }
    let body = if request.method() == Method::HEAD {
        full_body("")
    } else {
        let slot = node.listen_slot(client)?;
        let newest = node.events().newest();
        let after = match ask.from {
            From::Now => newest,
            From::Oldest => None,
            From::After(id) => Some(known(id, newest)?),
        };
        let listener = node.events().listen(after, ask.kinds, ask.follow).ok_or(ApiError::Draining)?;
        // Who loses the connection before anything has happened comes back to here.
        let begin = after.map_or_else(String::new, |id| format!("id: {id}\n"));
        streamed(format!("{begin}retry: {RETRY_MS}\n\n"), listener, slot)
    };
    Ok(event_stream(body))
}

/// An id that this node may have given.
fn known(id: EventId, newest: Option<EventId>) -> Result<EventId, ApiError> {
    match newest {
        Some(newest) if id.boot == newest.boot && id.number > newest.number => {
            Err(ApiError::BadRequest(format!(
                "{id} is no event of this node yet, whose newest is {newest}: give an id that came from it"
            )))
        }
        _ => Ok(id),
    }
}

/// Reads the query and the header of what has been heard. The header is the stronger: a browser comes back with it to the same URL.
fn ask<B>(request: &Request<B>) -> Result<Ask, ApiError> {
    let bad = |what: String| ApiError::BadRequest(what);
    let mut ask = Ask { from: From::Now, kinds: Kinds::ALL, follow: true };
    for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
        match (&*name, &*value) {
            ("from", "now") => ask.from = From::Now,
            ("from", "oldest") => ask.from = From::Oldest,
            ("after", id) => {
                ask.from = From::After(id.parse().map_err(|error| bad(format!("after: {error}")))?);
            }
            ("kind", kinds) => ask.kinds = kinds.parse().map_err(|error| bad(format!("kind: {error}")))?,
            ("follow", "1" | "true") => ask.follow = true,
            ("follow", "0" | "false") => ask.follow = false,
            ("from" | "follow", _) => {
                return Err(bad(format!(
                    "{name}={value:.80}: give from=now, from=oldest, follow=1 or follow=0"
                )));
            }
            _ => {
                return Err(bad(format!(
                    "{name:.80}: unknown query parameter; there are from, after, kind and follow alone"
                )));
            }
        }
    }
    if let Some(id) = request.headers().get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let id = id.to_str().unwrap_or_default();
        ask.from = From::After(id.parse().map_err(|error| bad(format!("Last-Event-ID: {error}")))?);
    }
    Ok(ask)
}

/// The stream. It has no queue: what comes next is read when the client takes it, and a client that takes nothing loses its
/// connection, as any other does (`write_stall.rs`).
fn streamed(begin: String, listener: Listener, slot: ListenSlot) -> Body {
    let frames = stream::unfold((Some(begin), listener, slot), |(begin, mut listener, slot)| async move {
        let text = if let Some(begin) = begin {
            begin
        } else {
            tokio::select! {
                biased;
                batch = listener.next() => text(&batch?),
                () = tokio::time::sleep(HEARTBEAT) => ": heartbeat\n\n".to_owned(),
            }
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), (None, listener, slot)))
    });
    StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync()
}

fn text(batch: &Batch) -> String {
    match batch {
        Batch::Events(events) => {
            let mut text = String::with_capacity(events.iter().map(|event| event.data.len() + 80).sum());
            for event in events {
                let id = event.id.to_string();
                text.extend(["id: ", &id, "\nevent: ", event.name, "\ndata: ", &event.data, "\n\n"]);
            }
            text
        }
        Batch::Gap(gap) => missing("gap", gap),
        Batch::TooSlow(gap) => missing("too_slow", gap),
    }
}

/// Without an id: whoever comes back comes back to the same gap.
fn missing(name: &str, gap: &Gap) -> String {
    let fields = match gap {
        Gap::Restarted { after } => format!(r#""reason":"restarted","after":"{after}""#),
        Gap::Overwritten { after, until } => {
            format!(r#""reason":"overwritten","after":"{after}","until":"{until}""#)
        }
    };
    format!("event: {name}\ndata: {{\"kind\":\"stream\",\"event\":\"{name}\",{fields}}}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, last: Option<&str>) -> Result<Ask, String> {
        let mut request = Request::get(format!("/events{query}"));
        if let Some(last) = last {
            request = request.header(LAST_EVENT_ID, last);
        }
        ask(&request.body(()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_query_says_what_is_wanted_and_the_last_id_where_to_go_on() {
        let plain = Ask { from: From::Now, kinds: Kinds::ALL, follow: true };
        assert_eq!(asked("", None), Ok(plain));
        let some = asked("?from=oldest&kind=membership,cache&follow=0", None).unwrap();
        assert_eq!((some.from, some.follow), (From::Oldest, false));
        assert_eq!(some.kinds, "cache,membership".parse().unwrap());
        let id = EventId { boot: 7, number: 3 };
        assert_eq!(asked("?after=7-3", None).unwrap().from, From::After(id));
        // A browser comes back to the URL that it was given.
        assert_eq!(asked("?from=oldest", Some("7-3")).unwrap().from, From::After(id));
        assert_eq!(asked("", Some("")).unwrap().from, From::Now);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_there_is() {
        for (query, last, told) in [
            ("?kind=members", None, "give one or several of membership, job, work, cache, node"),
            ("?kind=", None, "no kind of event"),
            ("?follow=maybe", None, "follow=0"),
            ("?since=1h", None, "there are from, after, kind and follow alone"),
            ("?after=7", None, "no event's id"),
            ("", Some("yesterday"), "Last-Event-ID"),
        ] {
            let error = asked(query, last).unwrap_err();
            assert!(error.contains(told), "{query}: {error}");
        }
        let (newest, ahead) = (EventId { boot: 7, number: 3 }, EventId { boot: 7, number: 4 });
        assert!(known(ahead, Some(newest)).is_err());
        assert_eq!(known(newest, Some(newest)), Ok(newest));
        let earlier = EventId { boot: 6, number: 99 };
        assert_eq!(known(earlier, Some(newest)), Ok(earlier), "of the boot before");
    }

    #[test]
    fn a_gap_has_no_id_to_come_back_with() {
        let (after, until) = (EventId { boot: 7, number: 3 }, EventId { boot: 7, number: 9 });
        assert_eq!(
            text(&Batch::Gap(Gap::Overwritten { after, until })),
            "event: gap\ndata: {\"kind\":\"stream\",\"event\":\"gap\",\"reason\":\"overwritten\",\"after\":\"7-3\",\
             \"until\":\"7-9\"}\n\n"
        );
        let cut = text(&Batch::TooSlow(Gap::Restarted { after }));
        assert!(cut.starts_with("event: too_slow\n") && !cut.contains("id:"), "{cut}");
    }
}
