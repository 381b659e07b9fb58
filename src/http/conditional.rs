//! What a request that has conditions, or wants a part, is answered with (RFC 9110, sections 13 and 14).
//!
//! Entity tags, their lists and the conditions are read by the `headers` crate. Range is read here, since that crate (0.4.2) does not
//! read it as the RFC has it: a suffix longer than the result is no range for it (section 14.1.2: it is all of the result), nor is a
//! number beyond 64 bits or a unit in capitals; `+1-2` is one.

use headers::{ETag, Header, HeaderMapExt, IfMatch, IfNoneMatch, IfRange};
use hyper::Method;
use hyper::header::{HeaderMap, IF_MATCH, IF_RANGE, RANGE};

use crate::content::ContentId;

/// The entity tag of these bytes: strong, and the same on every node.
pub fn etag(sha256: &ContentId) -> ETag {
    format!("\"{sha256}\"").parse().unwrap_or_else(|_| unreachable!("hex digits in quotes are an entity tag"))
}

/// A part of a result: from this byte, this many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: u64,
    /// Number of bytes, at least 1.
    pub bytes: u64,
}

impl Part {
    /// The value of Content-Range.
    pub fn content_range(&self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.start, self.start + self.bytes - 1)
    }
}

/// What to answer a conditional or partial GET or HEAD with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: all of it.
    Whole,
    /// 206: this part.
    Part(Part),
    /// 304: the client has it.
    NotModified,
    /// 412: the client wants another.
    PreconditionFailed,
    /// 416, with `Content-Range: bytes */total`: there is no such part.
    Unsatisfiable,
}

/// Decides by If-Match, If-None-Match, If-Range and Range, in the order of RFC 9110, section 13.2.2. Range is for GET
/// alone (section 14.2).
pub fn answer(method: &Method, headers: &HeaderMap, tag: &ETag, total: u64) -> Answer {
    let matches = |condition: IfMatch| condition.precondition_passes(tag);
    if headers.contains_key(IF_MATCH) && !condition(headers).is_some_and(matches) {
        return Answer::PreconditionFailed;
    }
    if condition(headers).is_some_and(|condition: IfNoneMatch| !condition.precondition_passes(tag)) {
        return Answer::NotModified;
    }
    if method != Method::GET {
        return Answer::Whole;
    }
    // A validator that is a date, or of another version: the part would not fit to what the client has.
    let is_same = |condition: IfRange| !condition.is_modified(Some(tag), None);
    let whole_wanted = headers.contains_key(IF_RANGE) && !condition(headers).is_some_and(is_same);
    match headers.get(RANGE).and_then(|value| value.to_str().ok()).filter(|_| !whole_wanted) {
        None => Answer::Whole,
        Some(range) => part(range, total),
    }
}

/// A condition, if there is one that can be read.
///
/// The `headers` crate takes for granted that no blank stands in an entity tag: where debug assertions are on, it panics over one
/// that a client sends. Such a header is none that can be read.
fn condition<H: Header>(headers: &HeaderMap) -> Option<H> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let is_sound = headers.get_all(H::name()).iter().all(|value| {
        // Every other piece stands in quotes, and there is one behind the last quote.
        let pieces: Vec<_> = value.as_bytes().split(|byte| *byte == b'"').collect();
        pieces.len() % 2 == 1 && !pieces.iter().skip(1).step_by(2).any(|tag| tag.iter().any(is_blank))
    });
    if is_sound { headers.typed_get() } else { None }
}

/// One range of bytes. Of several, and of what isn't understood, all of it is given, as RFC 9110 allows: several parts
/// in one answer are what no player asks for, and what attacks are made of.
fn part(range: &str, total: u64) -> Answer {
    let Some((unit, set)) = range.split_once('=') else { return Answer::Whole };
    let set = set.trim();
    let Some((first, last)) = set.split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes"))
    else {
        return Answer::Whole;
    };
    if set.contains(',') {
        return Answer::Whole;
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Beyond u64 is beyond any file.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(total)),
        (Some(first), None) if last.trim().is_empty() => (first, total),
        // The last so many bytes.
        (None, Some(suffix)) if first.trim().is_empty() => (total.saturating_sub(suffix), total),
        _ => return Answer::Whole,
    };
    if start >= end { Answer::Unsatisfiable } else { Answer::Part(Part { start, bytes: end - start }) }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn tag() -> ETag {
        etag(&ContentId::of(b"x"))
    }

    fn tag_text() -> String {
        format!("\"{}\"", ContentId::of(b"x"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn asked(pairs: &[(&'static str, &str)]) -> Answer {
        answer(&Method::GET, &headers(pairs), &tag(), 1000)
    }

    const fn bytes(start: u64, bytes: u64) -> Answer {
        Answer::Part(Part { start, bytes })
    }

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        let cases = [
            ("bytes=0-499", bytes(0, 500)),
            ("bytes=500-", bytes(500, 500)),
            ("bytes=-200", bytes(800, 200)),
            ("bytes=-5000", bytes(0, 1000)),
            ("bytes=900-99999999999999999999", bytes(900, 100)),
            ("Bytes = 0-0", bytes(0, 1)),
            ("bytes=1000-", Answer::Unsatisfiable),
            ("bytes=5000-6000", Answer::Unsatisfiable),
            ("bytes=-0", Answer::Unsatisfiable),
            // What makes no sense is as if it weren't there.
            ("bytes=5-2", Answer::Whole),
            ("bytes=0-1,5-6", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("bytes=a-b", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
            ("seconds=1-2", Answer::Whole),
            ("bytes", Answer::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
        assert_eq!(Part { start: 500, bytes: 500 }.content_range(1000), "bytes 500-999/1000");
    }

    #[test]
    fn conditions_come_before_ranges() {
        let tag = tag_text();
        let weak = format!("W/{tag}");
        let range = ("range", "bytes=0-1");
        assert_eq!(asked(&[("if-none-match", &tag), range]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", &format!("\"a\", {weak}"))]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", "*")]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", "\"a\""), range]), bytes(0, 2));
        assert_eq!(asked(&[("if-match", &tag), range]), bytes(0, 2));
        assert_eq!(asked(&[("if-match", "*"), range]), bytes(0, 2));
        assert_eq!(asked(&[("if-match", &weak)]), Answer::PreconditionFailed);
        assert_eq!(asked(&[("if-match", "\"a\"")]), Answer::PreconditionFailed);
        assert_eq!(asked(&[("if-range", &tag), range]), bytes(0, 2));
        for other in ["\"a\"", &weak, "Wed, 21 Oct 2015 07:28:00 GMT", "", "soon"] {
            assert_eq!(asked(&[("if-range", other), range]), Answer::Whole, "{other}");
        }
    }

    #[test]
    fn lists_of_tags_are_read_as_the_rfc_has_them() {
        let tag = tag_text();
        let mut twice = headers(&[("if-none-match", "\"a\"")]);
        twice.append("if-none-match", tag.parse().unwrap());
        assert_eq!(
            answer(&Method::GET, &twice, &self::tag(), 1000),
            Answer::NotModified,
            "two lines are one list"
        );
        // Commas and stars stand in tags, too.
        for others in ["\"a,*,b\"", "\"a, *\"", "\"*\"", &format!("\"a,{},b\"", tag.trim_matches('"'))] {
            assert_eq!(asked(&[("if-none-match", others)]), Answer::Whole, "{others}");
            assert_eq!(asked(&[("if-match", others)]), Answer::PreconditionFailed, "{others}");
        }
        // What is no tag is none: a blank in it, a quote too many.
        for bad in ["\"a b\"", "\"a\tb\"", "W/\" \"", &format!("{tag}, \"a b\""), "\"a", "a"] {
            assert_eq!(asked(&[("if-none-match", bad)]), Answer::Whole, "{bad}");
            assert_eq!(asked(&[("if-match", bad)]), Answer::PreconditionFailed, "{bad}");
            assert_eq!(asked(&[("if-range", bad), ("range", "bytes=0-1")]), Answer::Whole, "{bad}");
        }
    }

    #[test]
    fn a_range_is_for_get_alone_and_conditions_are_for_head_too() {
        let tag = tag_text();
        let head = |pairs: &[_]| answer(&Method::HEAD, &headers(pairs), &self::tag(), 1000);
        for range in ["bytes=0-1", "bytes=5000-"] {
            assert_eq!(head(&[("range", range)]), Answer::Whole);
            assert_eq!(head(&[("range", range), ("if-range", &tag)]), Answer::Whole);
            assert_eq!(head(&[("range", range), ("if-none-match", &tag)]), Answer::NotModified);
            assert_eq!(head(&[("range", range), ("if-match", "\"a\"")]), Answer::PreconditionFailed);
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_within(range in "bytes=[-0-9, ]{0,24}", total in 0u64..5000) {
            if let Answer::Part(part) = part(&range, total) {
                prop_assert!(part.bytes > 0 && part.start + part.bytes <= total);
            }
        }

        #[test]
        fn any_headers_are_borne(range in "\\PC{0,40}", first in "[\"W/*, \tab\u{e9}]{0,12}", second in "[\"W/*, \tab]{0,12}") {
            if let Ok(value) = range.parse::<HeaderValue>() {
                let headers = [(RANGE, value)].into_iter().collect();
                prop_assert_ne!(answer(&Method::GET, &headers, &tag(), 1000), Answer::NotModified);
            }
            for name in ["if-match", "if-none-match", "if-range"] {
                let mut headers = HeaderMap::new();
                for value in [&first, &second] {
                    headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).unwrap());
                }
                answer(&Method::GET, &headers, &tag(), 1000);
            }
        }
    }
}
