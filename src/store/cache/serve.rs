//! What a result is told by over HTTP: a strong entity tag, its digest, and parts of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::content::ContentId;

/// `Repr-Digest` and `Content-Digest` (RFC 9530).
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The entity tag of these bytes: strong, and the same on every node.
pub fn etag(sha256: &ContentId) -> String {
    format!("\"{sha256}\"")
}

/// The value of Repr-Digest for these bytes.
pub fn repr_digest(sha256: &ContentId) -> String {
    format!("sha-256=:{}:", BASE64.encode(sha256.as_bytes()))
}

/// The SHA-256 in a Repr-Digest or Content-Digest, which may hold others too.
pub fn parse_digest(value: &str) -> Option<ContentId> {
    value.split(',').find_map(|member| {
        let (algorithm, digest) = member.trim().split_once('=')?;
        let digest = digest.trim().strip_prefix(':')?.strip_suffix(':')?;
        let bytes =
            algorithm.trim().eq_ignore_ascii_case("sha-256").then(|| BASE64.decode(digest).ok())??;
        Some(ContentId(bytes.try_into().ok()?))
    })
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
pub fn answer(method: &Method, headers: &HeaderMap, sha256: &ContentId, total: u64) -> Answer {
    let tag = etag(sha256);
    if headers.contains_key("if-match") && !listed(headers, "if-match", &tag, false) {
        return Answer::PreconditionFailed;
    }
    if listed(headers, "if-none-match", &tag, true) {
        return Answer::NotModified;
    }
    if method != Method::GET {
        return Answer::Whole;
    }
    // A validator that is a date, or of another version: the part would not fit to what the client has.
    let whole_wanted = headers.get("if-range").is_some_and(|value| value.as_bytes() != tag.as_bytes());
    match headers.get("range").and_then(|value| value.to_str().ok()).filter(|_| !whole_wanted) {
        None => Answer::Whole,
        Some(range) => part(range, total),
    }
}

/// Whether a list of entity tags has this one. A weak tag matches only where weak comparison is asked for.
fn listed(headers: &HeaderMap, name: &str, tag: &str, weak: bool) -> bool {
    headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|candidate| {
            let bare = if weak { candidate.strip_prefix("W/").unwrap_or(candidate) } else { candidate };
            candidate == "*" || bare == tag
        })
    })
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
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn asked(pairs: &[(&'static str, &str)]) -> Answer {
        answer(&Method::GET, &headers(pairs), &ContentId::of(b"x"), 1000)
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
        let tag = etag(&ContentId::of(b"x"));
        let weak = format!("W/{tag}");
        let range = ("range", "bytes=0-1");
        assert_eq!(asked(&[("if-none-match", &tag), range]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", &format!("\"a\", {weak}"))]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", "*")]), Answer::NotModified);
        assert_eq!(asked(&[("if-none-match", "\"a\""), range]), bytes(0, 2));
        assert_eq!(asked(&[("if-match", &tag), range]), bytes(0, 2));
        assert_eq!(asked(&[("if-match", &weak)]), Answer::PreconditionFailed);
        assert_eq!(asked(&[("if-match", "\"a\"")]), Answer::PreconditionFailed);
        assert_eq!(asked(&[("if-range", &tag), range]), bytes(0, 2));
        for other in ["\"a\"", &weak, "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(asked(&[("if-range", other), range]), Answer::Whole, "{other}");
        }
    }

    #[test]
    fn a_range_is_for_get_alone_and_conditions_are_for_head_too() {
        let tag = etag(&ContentId::of(b"x"));
        let head = |pairs: &[_]| answer(&Method::HEAD, &headers(pairs), &ContentId::of(b"x"), 1000);
        for range in ["bytes=0-1", "bytes=5000-"] {
            assert_eq!(head(&[("range", range)]), Answer::Whole);
            assert_eq!(head(&[("range", range), ("if-range", &tag)]), Answer::Whole);
            assert_eq!(head(&[("range", range), ("if-none-match", &tag)]), Answer::NotModified);
            assert_eq!(head(&[("range", range), ("if-match", "\"a\"")]), Answer::PreconditionFailed);
        }
    }

    #[test]
    fn digests_are_written_and_read() {
        let id = ContentId::of(b"");
        let text = repr_digest(&id);
        assert_eq!(text, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(parse_digest(&text), Some(id));
        assert_eq!(parse_digest(&format!("sha-512=:AAAA:, {text}")), Some(id));
        for bad in [
            "",
            "sha-256",
            "sha-256=:AAAA:",
            "sha-256=47DEQpj8",
            "md5=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        ] {
            assert_eq!(parse_digest(bad), None, "{bad}");
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
        fn any_headers_are_borne(range in "\\PC{0,40}", digest in "\\PC{0,60}") {
            // What is read as a digest is written back the same.
            if let Some(id) = parse_digest(&digest) {
                prop_assert_eq!(parse_digest(&repr_digest(&id)), Some(id));
            }
            if let Ok(value) = range.parse::<HeaderValue>() {
                let headers = [(HeaderName::from_static("range"), value)].into_iter().collect();
                prop_assert_ne!(answer(&Method::GET, &headers, &ContentId::of(b"x"), 1000), Answer::NotModified);
            }
        }
    }
}
