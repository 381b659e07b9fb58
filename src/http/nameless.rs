//! Answers that are made below this service: hyper's own, to what is no request that it can read, and [`HEAD_TOO_LONG`]. They have no
//! headers of ours, and so no id by which a client could ask about them.

use crate::api::HEADER;
use crate::trace::TraceContext;

/// The answer to a head that goes on and on.
pub(super) const HEAD_TOO_LONG: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// Longest answer of hyper's own.
const BYTES_MAX: usize = 256;
/// What the headers of such an answer are, and no others.
const HEADERS: [&str; 3] = ["connection: close", "content-length: 0", "date: "];

/// The same answer with an id, and with what else every answer has; none where this is another one.
pub(super) fn named(answer: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(answer).ok().filter(|text| text.len() <= BYTES_MAX)?;
    let (status, rest) = text.strip_suffix("\r\n\r\n")?.split_once("\r\n")?;
    let is_error = ["HTTP/1.1 4", "HTTP/1.0 4"].iter().any(|start| status.starts_with(start));
    let is_bare = rest.split("\r\n").all(|line| HEADERS.iter().any(|header| line.starts_with(header)));
    let named = format!(
        "{status}\r\n{rest}\r\nx-content-type-options: nosniff\r\ncross-origin-resource-policy: same-site\r\n{}: {}\r\n\r\n",
        HEADER::REQUEST_ID,
        TraceContext::new().trace
    );
    (is_error && is_bare).then(|| named.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_answer_gets_a_name() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 29 Nov 2026 17:50:00 GMT\r\n\r\n";
        for bare in [&own[..], HEAD_TOO_LONG] {
            let text = String::from_utf8(named(bare).unwrap()).unwrap();
            let (head, id) = text.rsplit_once("x-request-id: ").unwrap();
            let status = str::from_utf8(bare).unwrap().split_once("\r\n").unwrap().0;
            assert!(head.starts_with(status) && head.contains("\r\ncontent-length: 0\r\n"), "{text}");
            assert!(id.ends_with("\r\n\r\n") && id.trim_end().len() == 32, "{text}");
            assert_eq!(named(text.as_bytes()), None, "it has one");
        }
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nallow: GET\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nand more",
            "",
        ] {
            assert_eq!(named(other.as_bytes()), None, "{other}");
        }
    }
}
