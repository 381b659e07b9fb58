//! What a request's head says: profile, deadline, file name, announced digest.

use std::time::{Duration, Instant};

use hyper::http::request::Parts;

use super::{ApiError, HEADER};
use crate::cache::serve::parse_digest;
use crate::content::ContentId;

/// Longest deadline a client may ask for.
pub const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);
/// RFC 9530: digest of the body as it is sent.
const CONTENT_DIGEST: &str = "content-digest";
/// Longest file name that is kept, in bytes: with the profile and the extension behind it, it fits in a file system's 255.
const FILENAME_BYTES_MAX: usize = 200;

/// How long a request may take, from its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// What it was given.
    pub allowed: Duration,
    /// When that is over.
    pub at: Instant,
}

impl Deadline {
    /// What is left.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// How much of it is over.
    pub fn spent(&self) -> Duration {
        self.allowed.saturating_sub(self.left())
    }

    /// The answer when it has passed.
    pub fn passed(&self) -> ApiError {
        ApiError::DeadlinePassed { allowed: self.allowed }
    }
}

fn header<'a>(head: &'a Parts, name: &str) -> Result<Option<&'a str>, ApiError> {
    head.headers
        .get(name)
        .map(|value| {
            value.to_str().map_err(|_| ApiError::BadRequest(format!("{name} must be plain ASCII text")))
        })
        .transpose()
}

/// The deadline asked for, or `default`; counted from `arrived`.
pub fn deadline(head: &Parts, default: Duration, arrived: Instant) -> Result<Deadline, ApiError> {
    let allowed = match header(head, HEADER::DEADLINE_MS)? {
        None => default,
        Some(text) => text.trim().parse().map(Duration::from_millis).map_err(|_| {
            ApiError::BadRequest(format!("{}: {text:?} is not a number of milliseconds", HEADER::DEADLINE_MS))
        })?,
    };
    let allowed = allowed.min(DEADLINE_MAX);
    Ok(Deadline { allowed, at: arrived + allowed })
}

/// The profile's name asked for by query (`?profile=720p`) or header, if any; the query is the stronger one.
pub fn profile(head: &Parts) -> Result<Option<String>, ApiError> {
    let query = head.uri.query().unwrap_or_default();
    let mut in_query = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.strip_prefix("profile=").ok_or_else(|| {
            ApiError::BadRequest(format!("{pair:.80}: unknown query parameter; there is profile=NAME alone"))
        })?;
        in_query = Some(name);
    }
    match in_query {
        Some(name) => Ok(Some(name.to_owned())),
        None => Ok(header(head, HEADER::PROFILE)?.map(str::to_owned)),
    }
}

/// The announced digest of the body, if any.
pub fn content_sha256(head: &Parts) -> Result<Option<ContentId>, ApiError> {
    if let Some(text) = header(head, HEADER::CONTENT_SHA256)? {
        let bad = |error| ApiError::BadRequest(format!("{}: {error}", HEADER::CONTENT_SHA256));
        return text.trim().parse().map(Some).map_err(bad);
    }
    // RFC 9530: a recipient ignores digests of algorithms that it does not know.
    Ok(header(head, CONTENT_DIGEST)?.and_then(parse_digest))
}

/// The upload's file name made safe for a Content-Disposition header, if there is one: its last path component
/// without anything but printable ASCII, quotes and backslashes.
pub fn filename(head: &Parts) -> Option<String> {
    let raw = head.headers.get(HEADER::FILENAME)?.as_bytes();
    safe_filename(&String::from_utf8_lossy(raw))
}

/// A client's file name made safe in the same way.
pub fn safe_filename(text: &str) -> Option<String> {
    let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' })
        .map(|c| if matches!(c, '"' | '\\' | ';' | '%') { '_' } else { c })
        .take(FILENAME_BYTES_MAX)
        .collect();
    let safe = safe.trim().trim_start_matches('.').to_owned();
    (!safe.is_empty()).then_some(safe)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_profile_comes_from_query_or_header() {
        let both = head("/upload?profile=720p", &[("x-profile", "480p")]);
        assert_eq!(profile(&both).unwrap().as_deref(), Some("720p"));
        assert_eq!(profile(&head("/upload", &[("x-profile", "480p")])).unwrap().as_deref(), Some("480p"));
        assert_eq!(profile(&head("/upload", &[])).unwrap(), None);
        assert!(
            profile(&head("/upload?quality=720p", &[])).is_err(),
            "what is not known is no wish for the default"
        );
    }

    #[test]
    fn a_deadline_is_a_number_of_milliseconds() {
        let now = Instant::now();
        let default = Duration::from_secs(40);
        assert_eq!(deadline(&head("/", &[]), default, now).unwrap().at, now + default);
        let given = deadline(&head("/", &[("x-deadline-ms", "1500")]), default, now).unwrap();
        assert_eq!(
            given,
            Deadline { allowed: Duration::from_millis(1500), at: now + Duration::from_millis(1500) }
        );
        assert!(deadline(&head("/", &[("x-deadline-ms", "soon")]), default, now).is_err());
        assert!(deadline(&head("/", &[("x-deadline-ms", "-1")]), default, now).is_err());
        assert_eq!(
            deadline(&head("/", &[("x-deadline-ms", "99999999999999")]), default, now).unwrap().allowed,
            DEADLINE_MAX
        );
    }

    #[test]
    fn file_names_are_made_harmless() {
        let cases = [
            ("clip one.mp4", Some("clip one.mp4")),
            ("../../etc/passwd", Some("passwd")),
            ("a\"; filename=\"b.sh", Some("a__ filename=_b.sh")),
            (".hidden", Some("hidden")),
            ("..", None),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(filename(&head("/", &[("x-filename", given)])).as_deref(), expected, "{given:?}");
        }
        let long = "x".repeat(300);
        assert_eq!(filename(&head("/", &[("x-filename", &long)])).unwrap().len(), FILENAME_BYTES_MAX);
    }
}
