//! Error answers (RFC 9457 problem+json) as one line of text.

use serde::Deserialize;

use crate::printable;

/// The longest part of an answer that is no problem+json which is still quoted.
const QUOTE_CHARS_MAX: usize = 200;
/// The most of a problem that is told.
const TOLD_CHARS_MAX: usize = 2000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// What an answer with an error status says, in one line.
pub(super) fn describe(status: u16, retry_after: Option<&str>, body: &[u8]) -> String {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let mut text = match (problem.title, problem.detail) {
        (Some(title), Some(detail)) if title != detail => format!("{title}: {detail}"),
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => quote(body),
    };
    text = text.trim().chars().take(TOLD_CHARS_MAX).collect();
    if let Some(seconds) = retry_after.filter(|seconds| !text.contains(&format!("try again in {seconds} s")))
    {
        text = format!("{text} (try again in {seconds} s)");
    }
    format!("{} [{status}]", printable::line(&text))
}

fn quote(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(QUOTE_CHARS_MAX).collect();
    if text.trim().is_empty() { "the node refused without saying why".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_json_reads_as_one_line() {
        let body =
            br#"{"type":"urn:x","title":"Not a video","status":415,"detail":"the first bytes are text"}"#;
        assert_eq!(describe(415, None, body), "Not a video: the first bytes are text [415]");
        assert_eq!(describe(503, Some("3"), br#"{"title":"Busy"}"#), "Busy (try again in 3 s) [503]");
        assert_eq!(describe(503, None, br#"{"title":"Busy","detail":"Busy"}"#), "Busy [503]");
        let twice = br#"{"title":"Busy","detail":"try again in 3 s"}"#;
        assert_eq!(describe(503, Some("3"), twice), "Busy: try again in 3 s [503]");
    }

    #[test]
    fn anything_else_is_quoted_and_tamed() {
        assert_eq!(describe(502, None, b"<html>\x1b[2J\nbad gateway"), "<html>\u{fffd}[2J bad gateway [502]");
        assert_eq!(describe(500, None, b""), "the node refused without saying why [500]");
        assert!(describe(500, None, &[b'x'; 10_000]).len() < 300);
        let endless = format!(r#"{{"title":"{}"}}"#, "x".repeat(100_000));
        assert!(describe(500, None, endless.as_bytes()).len() < 2100);
    }
}
