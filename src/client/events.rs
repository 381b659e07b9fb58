//! `GET /events` as a stream of [`Event`]s.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::http::{broken, nonsense, refuse};
use super::{Client, ClientError, Endpoint};

/// How long the answer's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that says nothing for so long is gone: it says every ten seconds that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(35);
/// Longest event that is taken.
const EVENT_BYTES_MAX: usize = 256 << 10;

/// What of a node's events is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Kinds with commas between them; none: all of them.
    pub kinds: Option<String>,
    /// Only what comes from now on, and not what the node has kept as well.
    pub new_only: bool,
    /// Goes on with what comes after the newest one.
    pub follow: bool,
}

/// One event, as the node tells it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// What to go on after; none of what tells that something is missing.
    #[serde(default)]
    pub id: Option<String>,
    /// When it happened, by the node's clock (RFC 3339).
    #[serde(default)]
    pub at: Option<String>,
    /// The node that tells it.
    #[serde(default)]
    pub node: Option<String>,
    /// What it is about.
    pub kind: String,
    /// Its name.
    pub event: String,
    /// All else.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    endpoint: Endpoint,
    body: Incoming,
    text: Text,
    last_id: Option<String>,
}

impl Wanted {
    fn path(&self, after: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        match after {
            Some(id) => drop(query.append_pair("after", id)),
            None => drop(query.append_pair("from", if self.new_only { "now" } else { "oldest" })),
        }
        if let Some(kinds) = &self.kinds {
            query.append_pair("kind", kinds);
        }
        query.append_pair("follow", if self.follow { "1" } else { "0" });
        format!("/events?{}", query.finish())
    }
}

impl Events {
    /// Asks a node; what comes after the event of this id, where one is given.
    pub async fn open(
        client: &Client,
        endpoint: &Endpoint,
        wanted: &Wanted,
        after: Option<&str>,
    ) -> Result<Self, ClientError> {
        let body = Empty::new().map_err(|never| match never {}).boxed();
        let request = Request::get(endpoint.uri(&wanted.path(after)))
            .header("accept", "text/event-stream")
            .body(body)
            .map_err(|error| broken(endpoint, &error))?;
        let ask = async { refuse(endpoint, client.send(endpoint, request).await?).await };
        let late = |_| ClientError::TimedOut { endpoint: endpoint.clone(), after: HEAD_TIMEOUT };
        let response = tokio::time::timeout(HEAD_TIMEOUT, ask).await.map_err(late)??;
        Ok(Self {
            endpoint: endpoint.clone(),
            body: response.into_body(),
            text: Text::default(),
            last_id: None,
        })
    }

    /// What to go on after, once the node has said it.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next one; none where the node has ended the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<(Event, String)>, ClientError> {
        loop {
            let block = self.text.next().map_err(|error| nonsense(&self.endpoint, &error))?;
            if let Some(Block { id, data }) = block {
                self.last_id = id.or(self.last_id.take());
                let Some(data) = data else { continue };
                let event = serde_json::from_str(&data).map_err(|error| nonsense(&self.endpoint, &error))?;
                return Ok(Some((event, data)));
            }
            let silent = |_| ClientError::Broken {
                endpoint: self.endpoint.clone(),
                reason: format!("nothing came for {} s", SILENCE_MAX.as_secs()),
            };
            match tokio::time::timeout(SILENCE_MAX, self.body.frame()).await.map_err(silent)? {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&self.endpoint, &error)),
                Some(Ok(frame)) => self.text.push(frame.data_ref().map_or(&[], |bytes| bytes)),
            }
        }
    }
}

impl Event {
    /// What it is about: a member, an upload, a peer.
    pub fn subject(&self) -> Option<&str> {
        ["member", "content", "peer", "policy"].iter().find_map(|name| self.fields.get(*name)?.as_str())
    }

    /// One line for people: time, name, subject, and all else as `name=value`.
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.at.as_deref().unwrap_or("-"), self.event);
        let subject = self.subject();
        if let Some(subject) = subject {
            line = format!("{line} {subject}");
        }
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if Some(text.as_str()) == subject => {}
                Value::String(text) if text.contains([' ', '"', '=']) || text.is_empty() => {
                    line = format!("{line} {name}={}", Value::from(text.as_str()));
                }
                Value::String(text) => line = format!("{line} {name}={text}"),
                value => line = format!("{line} {name}={value}"),
            }
        }
        line
    }

    /// Whether this is what is waited for: a name, or a name and a subject, as in `failed node3`.
    pub fn is(&self, waited_for: &str) -> bool {
        let mut words = waited_for.split_whitespace();
        words.next() == Some(self.event.as_str())
            && words.next().is_none_or(|subject| Some(subject) == self.subject())
            && words.next().is_none()
    }
}

/// The text of a stream of server-sent events (the HTML standard, section 9.2.6), as far as nodes make use of it: lines end with a line
/// feed, and of the fields `id` and `data` count: the latter says what `event` says.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// Up to here there is no end of an event.
    seen: usize,
}

/// What stands between two empty lines.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    id: Option<String>,
    data: Option<String>,
}

/// What came is no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TextError {
    #[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("an event is not UTF-8")]
    NotUtf8,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next block that is all here and says something.
    fn next(&mut self) -> Result<Option<Block>, TextError> {
        while let Some(end) = self.bytes[self.seen..].windows(2).position(|two| two == b"\n\n") {
            let rest = self.bytes.split_off(self.seen + end + 2);
            let block = std::mem::replace(&mut self.bytes, rest);
            self.seen = 0;
            let block = std::str::from_utf8(&block).map_err(|_| TextError::NotUtf8)?;
            let field = |line: &'static str| {
                let values = block.lines().filter_map(move |of| of.strip_prefix(line)?.strip_prefix(':'));
                values.map(|value| value.strip_prefix(' ').unwrap_or(value))
            };
            let (id, data) = (field("id").next_back().map(str::to_owned), field("data").collect::<Vec<_>>());
            if id.is_some() || !data.is_empty() {
                let data = (!data.is_empty()).then(|| data.join("\n"));
                return Ok(Some(Block { id, data }));
            }
        }
        self.seen = self.bytes.len().saturating_sub(1);
        if self.bytes.len() > EVENT_BYTES_MAX { Err(TextError::TooLong) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn events_are_read_however_they_are_cut_into_pieces() {
        let stream = b"id: 7-0\nretry: 1000\n\n: heartbeat\n\nid: 7-1\nevent: failed\ndata: {\"a\":1}\n\nevent: gap\ndata:x\n\n";
        for length in 1..stream.len() {
            let (mut text, mut found) = (Text::default(), Vec::new());
            for piece in stream.chunks(length) {
                text.push(piece);
                while let Some(Block { id, data }) = text.next().unwrap() {
                    found.push((id.unwrap_or_default(), data.unwrap_or_default()));
                }
            }
            let found: Vec<_> = found.iter().map(|(id, data)| (id.as_str(), data.as_str())).collect();
            assert_eq!(found, [("7-0", ""), ("7-1", "{\"a\":1}"), ("", "x")], "in pieces of {length}");
        }
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let mut text = Text::default();
        text.push(&vec![b'x'; EVENT_BYTES_MAX]);
        assert_eq!(text.next(), Ok(None));
        text.push(b"x");
        assert_eq!(text.next(), Err(TextError::TooLong));
        let mut text = Text::default();
        text.push(b"data: \xff\n\n");
        assert_eq!(text.next(), Err(TextError::NotUtf8));
    }

    #[test]
    fn a_line_says_what_happened_to_what() {
        let failed = event(
            r#"{"id":"7-1","at":"2026-11-28T12:00:00.000Z","node":"node1","kind":"membership","event":"failed",
                "member":"node3","zone":"IAD","incarnation":2}"#,
        );
        assert_eq!(failed.line(), "2026-11-28T12:00:00.000Z failed node3 incarnation=2 zone=IAD");
        assert!(failed.is("failed") && failed.is("failed node3"));
        for other in ["failed node", "failed node33", "joined node3", "failed node3 IAD", ""] {
            assert!(!failed.is(other), "{other}");
        }
        let gap = event(r#"{"kind":"stream","event":"gap","reason":"over written"}"#);
        assert_eq!(gap.line(), r#"- gap reason="over written""#);
    }

    #[test]
    fn what_is_asked_for_stands_in_the_query() {
        let wanted = Wanted { kinds: Some("membership,job".into()), new_only: true, follow: true };
        assert_eq!(wanted.path(None), "/events?from=now&kind=membership%2Cjob&follow=1");
        assert_eq!(wanted.path(Some("7-1")), "/events?after=7-1&kind=membership%2Cjob&follow=1");
        assert_eq!(Wanted::default().path(None), "/events?from=oldest&follow=0");
    }
}
