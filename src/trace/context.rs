//! W3C Trace Context, level 1: <https://www.w3.org/TR/trace-context/>.

use std::fmt;

use hyper::header::{HeaderMap, HeaderName};

/// Where a trace's id and that of its parent stand.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What other tracing systems know of the trace. It is passed on as it came.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// A proxy's own name of a request; one that is 32 hex digits long, as nginx makes them, is taken as the trace's.
const REQUEST_ID: &str = crate::api::HEADER::REQUEST_ID;

/// Length of a `traceparent` of version 0; later versions may be longer.
const TRACEPARENT_CHARS: usize = 55;
/// Longest `tracestate` that is passed on: what section 3.3.1.5 asks for at the least.
const TRACESTATE_CHARS_MAX: usize = 512;
/// Bit of the flags: whoever asked may keep a record of the trace.
const SAMPLED: u8 = 1;

/// A trace's name: 32 hex digits, not all of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

/// The name of one request in a trace: 16 hex digits, not all of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl SpanId {
    pub(super) fn random() -> Self {
        Self(rand::random::<u64>().max(1))
    }
}

/// One request in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// This request.
    pub span: SpanId,
    /// The request that it is for; none at the beginning of a trace.
    pub parent: Option<SpanId>,
    flags: u8,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// The beginning of a trace.
    pub fn new() -> Self {
        Self::of_trace(TraceId(rand::random::<u128>().max(1)))
    }

    fn of_trace(trace: TraceId) -> Self {
        Self { trace, span: SpanId::random(), parent: None, flags: SAMPLED, state: None }
    }

    /// The trace that a request belongs to by its head, or a new one. What is no trace is ignored, as the standard says: a request is
    /// never refused for it.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let traceparent =
            given.next().and_then(|value| value.to_str().ok()).filter(|_| given.next().is_none());
        if let Some(mut context) = traceparent.and_then(Self::of_traceparent) {
            context.state = state(headers);
            return context;
        }
        let proxy = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match proxy.and_then(|id| hex(id, 32)).filter(|id| *id != 0) {
            Some(id) => Self::of_trace(TraceId(id)),
            None => Self::new(),
        }
    }

    /// What follows in the trace that such a header names; none where it names none.
    pub fn of_traceparent(text: &str) -> Option<Self> {
        if !text.is_ascii() || text.len() < TRACEPARENT_CHARS {
            return None;
        }
        let (known, rest) = text.split_at(TRACEPARENT_CHARS);
        let mut parts = known.split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace, parent) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let later = version > 0 && version < 0xff;
        let whole = parts.next().is_none() && (rest.is_empty() || (later && rest.starts_with('-')));
        if !whole || version == 0xff || trace == 0 || parent == 0 {
            return None;
        }
        let parent = Some(SpanId(u64::try_from(parent).ok()?));
        // Of the flags only this one is known; others are not passed on.
        let flags = u8::try_from(flags).ok()? & SAMPLED;
        Some(Self { parent, flags, ..Self::of_trace(TraceId(trace)) })
    }

    /// What the header of a request says that is sent for this one.
    pub fn traceparent(&self) -> String {
        let Self { trace, span, flags, .. } = self;
        format!("00-{trace}-{span}-{flags:02x}")
    }

    /// The same for the other header, if there is anything to say.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Whether a record of it may be kept.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

/// So many lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let given: Result<Vec<_>, _> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str()).collect();
    let state = given.ok()?.join(",");
    (state.contains('=') && state.len() <= TRACESTATE_CHARS_MAX).then(|| state.into())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const TRACE: TraceId = TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_clients_trace_goes_on() {
        let context = TraceContext::of_request(&headers(&[
            ("traceparent", GIVEN),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]));
        assert_eq!((context.trace, context.parent), (TRACE, Some(SpanId(0x00f0_67aa_0ba9_02b7))));
        assert_eq!(context.tracestate(), Some("a=1,b=2"));
        let span = context.span;
        assert_eq!(context.traceparent(), format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01"));
        // The peer's request is this one's child.
        let peers = TraceContext::of_traceparent(&context.traceparent()).unwrap();
        assert_eq!((peers.trace, peers.parent), (TRACE, Some(span)));
        assert_ne!(peers.span, span);
        let unsampled = TraceContext::of_traceparent(&format!("{}02", &GIVEN[..53])).unwrap();
        assert!(context.is_sampled() && !unsampled.is_sampled());
        assert!(unsampled.traceparent().ends_with("-00"), "flags that nobody here knows are not passed on");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}", &GIVEN[2..]);
        for text in [later.clone(), format!("{later}-what-comes-later")] {
            assert_eq!(TraceContext::of_traceparent(&text).unwrap().trace, TRACE, "{text}");
        }
        assert_eq!(TraceContext::of_traceparent(&format!("{later}.")), None);
    }

    #[test]
    fn what_is_no_trace_is_ignored() {
        let zeros = |range: std::ops::Range<usize>| {
            let mut text = GIVEN.to_owned();
            text.replace_range(range.clone(), &"0".repeat(range.len()));
            text
        };
        let bad = [
            String::new(),
            "x".repeat(55),
            format!("ff{}", &GIVEN[2..]),
            format!("{GIVEN}-00"),
            format!("{GIVEN}0"),
            GIVEN[..54].to_owned(),
            GIVEN.to_uppercase(),
            GIVEN.replace('-', "_"),
            zeros(3..35),
            zeros(36..52),
            format!("00-{}é{}", &GIVEN[3..10], &GIVEN[12..]),
        ];
        for text in &bad {
            assert_eq!(TraceContext::of_traceparent(text), None, "{text:?}");
        }
        // Two of them are none.
        let context = TraceContext::of_request(&headers(&[("traceparent", GIVEN), ("traceparent", GIVEN)]));
        assert!(context.trace != TRACE && context.parent.is_none() && context.trace.0 != 0);
    }

    #[test]
    fn the_request_id_of_a_proxy_names_the_trace_where_nothing_else_does() {
        let id = "00112233445566778899aabbccddeeff";
        let context = TraceContext::of_request(&headers(&[("x-request-id", id)]));
        assert_eq!((context.trace.to_string().as_str(), context.parent), (id, None));
        let both = TraceContext::of_request(&headers(&[("x-request-id", id), ("traceparent", GIVEN)]));
        assert_eq!(both.trace, TRACE);
        let other = TraceContext::of_request(&headers(&[("x-request-id", "my request")]));
        assert_ne!(other.trace.0, 0);
    }

    #[test]
    fn a_state_that_is_too_long_is_dropped() {
        let long = format!("a={}", "x".repeat(TRACESTATE_CHARS_MAX));
        for state in [long.as_str(), "nothing"] {
            let context =
                TraceContext::of_request(&headers(&[("traceparent", GIVEN), ("tracestate", state)]));
            assert_eq!(context.tracestate(), None, "{state}");
        }
    }
}
