//! Server-sent events as a client takes them.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;

use super::http::{broken, nonsense, refuse};
use super::{Client, ClientError, Endpoint};

/// How long the answer's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that says nothing for so long is gone: it says every ten seconds that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// A stream of server-sent events of a node.
#[derive(Debug)]
pub(super) struct Stream {
    endpoint: Endpoint,
    body: Incoming,
    text: Text,
    last_id: Option<String>,
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// Path and query.
    pub path: &'a str,
    /// Sent as `Last-Event-ID`.
    pub last_id: Option<&'a str>,
    /// Longest event that is taken.
    pub event_bytes_max: usize,
}

impl Stream {
    /// Asks a node for it.
    pub async fn open(client: &Client, endpoint: &Endpoint, ask: Ask<'_>) -> Result<Self, ClientError> {
        let body = Empty::new().map_err(|never| match never {}).boxed();
        let mut request = Request::get(endpoint.uri(ask.path)).header("accept", "text/event-stream");
        if let Some(id) = ask.last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(body).map_err(|error| broken(endpoint, &error))?;
        let answer = async { refuse(endpoint, client.send(endpoint, request).await?).await };
        let late = |_| ClientError::TimedOut { endpoint: endpoint.clone(), after: HEAD_TIMEOUT };
        let response = tokio::time::timeout(HEAD_TIMEOUT, answer).await.map_err(late)??;
        let last_id = ask.last_id.map(str::to_owned);
        Ok(Self {
            endpoint: endpoint.clone(),
            body: response.into_body(),
            text: Text::new(ask.event_bytes_max),
            last_id,
        })
    }

    /// The last id that the node has said, or that it was asked to go on after.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// What the next event says; none where the node has ended the stream. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let block = self.text.next().map_err(|error| nonsense(&self.endpoint, &error))?;
            if let Some(Block { id, data }) = block {
                self.last_id = id.or(self.last_id.take());
                let Some(data) = data else { continue };
                return Ok(Some(data));
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

    /// What it means that an event is not what this node should send.
    pub fn nonsense(&self, what: &impl ToString) -> ClientError {
        nonsense(&self.endpoint, what)
    }
}

/// The text of a stream of server-sent events (the HTML standard, section 9.2.6), as far as nodes make use of it: lines end with a line
/// feed, and of the fields `id` and `data` count: the latter says what `event` says.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    /// Up to here there is no end of an event.
    seen: usize,
    event_bytes_max: usize,
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
    #[error("an event is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("an event is not UTF-8")]
    NotUtf8,
}

impl Text {
    fn new(event_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), seen: 0, event_bytes_max }
    }

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
        let bytes_max = self.event_bytes_max;
        if self.bytes.len() > bytes_max { Err(TextError::TooLong { bytes_max }) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT_BYTES_MAX: usize = 1 << 10;

    #[test]
    fn events_are_read_however_they_are_cut_into_pieces() {
        let stream = b"id: 7-0\nretry: 1000\n\n: heartbeat\n\nid: 7-1\nevent: failed\ndata: {\"a\":1}\n\nevent: gap\ndata:x\n\n";
        for length in 1..stream.len() {
            let (mut text, mut found) = (Text::new(EVENT_BYTES_MAX), Vec::new());
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
        let mut text = Text::new(EVENT_BYTES_MAX);
        text.push(&vec![b'x'; EVENT_BYTES_MAX]);
        assert_eq!(text.next(), Ok(None));
        text.push(b"x");
        assert_eq!(text.next(), Err(TextError::TooLong { bytes_max: EVENT_BYTES_MAX }));
        let mut text = Text::new(EVENT_BYTES_MAX);
        text.push(b"data: \xff\n\n");
        assert_eq!(text.next(), Err(TextError::NotUtf8));
    }
}
