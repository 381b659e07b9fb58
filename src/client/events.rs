//! `GET /events` as a stream of [`Event`]s.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sse::{Ask, Stream};
use super::{Client, ClientError, Endpoint};

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
pub struct Events(Stream);

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
        let ask = Ask { path: &wanted.path(after), last_id: None, event_bytes_max: EVENT_BYTES_MAX };
        Ok(Self(Stream::open(client, endpoint, ask).await?))
    }

    /// What to go on after, once the node has said it.
    pub fn last_id(&self) -> Option<&str> {
        self.0.last_id()
    }

    /// The next one; none where the node has ended the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<(Event, String)>, ClientError> {
        let Some(data) = self.0.next().await? else { return Ok(None) };
        let event = serde_json::from_str(&data).map_err(|error| self.0.nonsense(&error))?;
        Ok(Some((event, data)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
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
