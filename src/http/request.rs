//! What a request's head says: profile, deadline, file name, announced digest.

use std::time::{Duration, Instant};

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::error::MoreTime;
use super::{ApiError, multipart};
use crate::api::{HEADER, Priority};
use crate::content::{ContentId, parse_digest};

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
    /// The answer when it has passed.
    pub fn passed(&self) -> ApiError {
        ApiError::DeadlinePassed { allowed: self.allowed, more: MoreTime::AsUpload }
    }
}

/// A header's value. Given twice with different values it is refused: which one is meant is not for us to guess.
fn header<'a>(head: &'a Parts, name: &str) -> Result<Option<&'a str>, ApiError> {
    value(&head.headers, name)
}

/// The same of these headers.
pub fn value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(ApiError::BadRequest(format!("{name} is given more than once, with different values")));
    }
    first.to_str().map(Some).map_err(|_| ApiError::BadRequest(format!("{name} must be plain ASCII text")))
}

/// The deadline that a client asks for, or `default`; counted from `arrived`. More than `max` is refused: a client that is told
/// so waits for no answer that will not come.
pub fn deadline(
    head: &Parts,
    default: Duration,
    max: Duration,
    arrived: Instant,
) -> Result<Deadline, ApiError> {
    let allowed = asked_deadline(head)?.unwrap_or(default);
    if allowed.is_zero() {
        return Err(ApiError::BadRequest(format!(
            "{}: nothing is done in no time: give at least 1",
            HEADER::DEADLINE_MS
        )));
    }
    if allowed > max {
        return Err(ApiError::BadRequest(format!(
            "{}: this node allows {} ms at most ({}); ask for less, or its operator for a greater --deadline-max",
            HEADER::DEADLINE_MS,
            max.as_millis(),
            humantime::format_duration(max)
        )));
    }
    Ok(Deadline { allowed, at: arrived + allowed })
}

/// The same of a peer, that has asked its client already: `max` at the most.
pub fn peers_deadline(
    head: &Parts,
    default: Duration,
    max: Duration,
    arrived: Instant,
) -> Result<Deadline, ApiError> {
    let allowed = asked_deadline(head)?.unwrap_or(default).min(max);
    Ok(Deadline { allowed, at: arrived + allowed })
}

/// The time that a job may take that is done again, where that is said: `max` at the most.
pub fn retry_allowed(head: &Parts, max: Duration) -> Result<Option<Duration>, ApiError> {
    if header(head, HEADER::DEADLINE_MS)?.is_none() {
        return Ok(None);
    }
    Ok(Some(deadline(head, max, max, Instant::now())?.allowed))
}

fn asked_deadline(head: &Parts) -> Result<Option<Duration>, ApiError> {
    let Some(text) = header(head, HEADER::DEADLINE_MS)? else { return Ok(None) };
    text.trim().parse().map(|ms| Some(Duration::from_millis(ms))).map_err(|_| {
        ApiError::BadRequest(format!("{}: {text:?} is not a number of milliseconds", HEADER::DEADLINE_MS))
    })
}

/// Longest name that a client gives a request.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The most profiles of one upload that one request may ask for.
pub const PROFILES_MAX: usize = 8;

/// The names in a list of profiles; none of them twice.
pub fn profile_names(text: &str) -> Result<Vec<&str>, ApiError> {
    let names: Vec<_> = text.split(',').map(str::trim).take(PROFILES_MAX + 1).collect();
    if names.len() > PROFILES_MAX {
        return Err(ApiError::BadRequest(format!(
            "at most {PROFILES_MAX} profiles of an upload can be asked for at once"
        )));
    }
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(*name)) {
        Some((_, twice)) => {
            Err(ApiError::BadRequest(format!("profile {twice:.80} is named twice: name it once")))
        }
        None => Ok(names),
    }
}

/// What the query says, decoded.
fn parameters(head: &Parts) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
}

/// The names of profiles asked for by query (`?profile=720p`) or header, if any; the query is the stronger one.
pub fn profile(head: &Parts) -> Result<Option<String>, ApiError> {
    let mut in_query = None;
    for (name, value) in parameters(head) {
        match &*name {
            "profile" if in_query.as_ref().is_some_and(|other| *other != value) => {
                return Err(ApiError::BadRequest(
                    "the query names profiles twice: name several in one, as in profile=360p,poster".into(),
                ));
            }
            "profile" => in_query = Some(value),
            "strict" => {}
            _ => {
                return Err(ApiError::BadRequest(format!(
                    "{name:.80}: unknown query parameter; there are profile=NAME and strict=1 alone"
                )));
            }
        }
    }
    match in_query {
        Some(name) => Ok(Some(name.into_owned())),
        None => Ok(header(head, HEADER::PROFILE)?.map(str::to_owned)),
    }
}

/// Whether the client wants to come back for the answer: `Prefer: respond-async` (RFC 7240).
pub fn prefers_async(head: &Parts) -> bool {
    let values = head.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("respond-async")
    })
}

/// Which jobs come first.
pub fn priority(head: &Parts) -> Result<Priority, ApiError> {
    let text = header(head, HEADER::PRIORITY)?;
    let bad = |error| ApiError::BadRequest(format!("{}: {error}", HEADER::PRIORITY));
    text.map_or(Ok(Priority::default()), |text| text.trim().parse().map_err(bad))
}

/// The client's own name of the request, with or without the quotes of a structured field.
pub fn idempotency_key(head: &Parts) -> Result<Option<String>, ApiError> {
    let Some(text) = header(head, HEADER::IDEMPOTENCY_KEY)? else { return Ok(None) };
    let text = text.trim();
    let key = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(ApiError::BadRequest(format!(
            "{}: give 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters, a new UUID for each request, say",
            HEADER::IDEMPOTENCY_KEY
        )));
    }
    Ok(Some(key.to_owned()))
}

/// Where the client wants to be told of a job's end.
pub fn webhook(head: &Parts) -> Result<Option<String>, ApiError> {
    Ok(header(head, HEADER::WEBHOOK)?.map(|url| url.trim().to_owned()))
}

/// Whether a video that could be read only in part is to be refused: `strict=1` in the query.
pub fn strict(head: &Parts) -> Result<bool, ApiError> {
    let mut asked = None;
    for (_, value) in parameters(head).filter(|(name, _)| name == "strict") {
        let strict = match &*value {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return Err(ApiError::BadRequest(format!("strict={value:.80}: give strict=1 or strict=0"))),
        };
        if asked.is_some_and(|other| other != strict) {
            return Err(ApiError::BadRequest("the query says strict=1 and strict=0: give one".into()));
        }
        asked = Some(strict);
    }
    Ok(asked.unwrap_or(false))
}

/// The announced digest of the video, if any: X-Content-SHA256, or Content-Digest where the video is the body.
pub fn content_sha256(head: &Parts) -> Result<Option<ContentId>, ApiError> {
    let bad = |error| ApiError::BadRequest(format!("{}: {error}", HEADER::CONTENT_SHA256));
    let own =
        header(head, HEADER::CONTENT_SHA256)?.map(|text| text.trim().parse().map_err(bad)).transpose()?;
    let standard = if is_form(head) { None } else { content_digest(head)? };
    match (own, standard) {
        (Some(own), Some(standard)) if own != standard => Err(ApiError::BadRequest(format!(
            "{} and {CONTENT_DIGEST} are of different bodies",
            HEADER::CONTENT_SHA256
        ))),
        _ => Ok(own.or(standard)),
    }
}

/// The announced digest of a form: of all of it, and not of the video in it.
pub fn form_sha256(head: &Parts) -> Result<Option<ContentId>, ApiError> {
    if is_form(head) { content_digest(head) } else { Ok(None) }
}

fn is_form(head: &Parts) -> bool {
    head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(multipart::is_form)
}

/// The SHA-256 in Content-Digest. Digests of algorithms that are not known are to be ignored (RFC 9530), but one that is
/// known and can't be read is no digest to rely on.
fn content_digest(head: &Parts) -> Result<Option<ContentId>, ApiError> {
    for value in head.headers.get_all(CONTENT_DIGEST) {
        let unreadable =
            || ApiError::BadRequest(format!("{CONTENT_DIGEST}: give it as in sha-256=:BASE64 of 32 bytes:"));
        let text = value.to_str().map_err(|_| unreadable())?;
        if let Some(digest) = parse_digest(text) {
            return Ok(Some(digest));
        }
        let names = |member: &str| {
            member.split_once('=').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("sha-256"))
        };
        if text.split(',').any(names) {
            return Err(unreadable());
        }
    }
    Ok(None)
}

/// A body is taken as it is: what it was packed with on its way is refused, rather than taken for a damaged video.
pub fn is_plain(head: &Parts) -> Result<(), ApiError> {
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match head.headers.get_all(CONTENT_ENCODING).iter().find(|value| !identity(value)) {
        None => Ok(()),
        Some(value) => Err(ApiError::UnsupportedMedia(format!(
            "it has the Content-Encoding {:.80}: send it without",
            String::from_utf8_lossy(value.as_bytes())
        ))),
    }
}

/// The profile that a form asks for, if it does.
pub fn form_profile(fields: &[(String, String)]) -> Result<Option<&str>, ApiError> {
    let mut asked = fields.iter().filter(|(name, _)| name == "profile").map(|(_, value)| value.trim());
    let first = asked.next();
    if asked.any(|other| Some(other) != first) {
        return Err(ApiError::BadRequest(
            "the form names profiles twice: name several in one, as in 360p,poster".into(),
        ));
    }
    Ok(first)
}

/// The upload's file name made safe to save a file under, if there is one: its last path component, without what a file system or a
/// terminal could take amiss. In UTF-8, as it is or in the form of RFC 8187 (`UTF-8''%C3%9C.mp4`).
pub fn filename(head: &Parts) -> Option<String> {
    let raw = head.headers.get(HEADER::FILENAME)?.as_bytes();
    let text = String::from_utf8_lossy(raw);
    let encoded = text.get(..7).filter(|begin| begin.eq_ignore_ascii_case("utf-8''")).map(|_| &text[7..]);
    match encoded {
        Some(encoded) => safe_filename(&percent_decode_str(encoded).decode_utf8_lossy()),
        None => safe_filename(&text),
    }
}

/// A client's file name made safe in the same way.
pub fn safe_filename(text: &str) -> Option<String> {
    // A backslash parts folders in a path of Windows alone: elsewhere it is a character like others (`AC\DC.mp4`).
    let bytes = text.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic) && text.get(1..3) == Some(":\\");
    let of_windows = drive || ["\\", ".\\", "..\\"].iter().any(|begin| text.starts_with(begin));
    let separator = |c: char| c == '/' || (of_windows && c == '\\');
    let name = text.rsplit(separator).next().unwrap_or_default();
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '"' | '\\' | '/' | ':' | '*' | '?' | '<' | '>' | '|')
            // What turns the text around that stands behind it, what is not to be seen, and what stands for broken bytes.
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
    };
    let mut safe: String = name.chars().map(|c| if harmful(c) { '_' } else { c }).collect();
    let end = (0..=FILENAME_BYTES_MAX.min(safe.len())).rev().find(|&end| safe.is_char_boundary(end));
    safe.truncate(end.unwrap_or(0));
    let safe = safe.trim().trim_start_matches('.').trim_end_matches(['.', ' ']).to_owned();
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
        let twice = profile(&head("/upload?profile=720p&profile=480p", &[]));
        assert!(twice.unwrap_err().to_string().contains("names profiles twice"));
        assert_eq!(profile(&head("/upload?profile=a&profile=a", &[])).unwrap().as_deref(), Some("a"));
        for (query, decoded) in [
            ("profile=36%30p", "360p"),
            ("profil%65=36%30%70", "360p"),
            ("profile=360p%2Cposter", "360p,poster"),
            ("profile=360p,+poster", "360p, poster"),
            ("profile=a%2Bb", "a+b"),
            ("profile=a&&profile=%61", "a"),
        ] {
            let asked = profile(&head(&format!("/upload?{query}"), &[])).unwrap();
            assert_eq!(asked.as_deref(), Some(decoded), "{query}");
        }
        let twice = head("/upload", &[("x-profile", "720p"), ("x-profile", "480p")]);
        assert!(profile(&twice).unwrap_err().to_string().contains("more than once"));
    }

    #[test]
    fn strictness_is_asked_for_in_the_query() {
        let asked = |query: &str| strict(&head(&format!("/upload{query}"), &[])).ok();
        assert_eq!(
            (asked(""), asked("?profile=a"), asked("?strict=0")),
            (Some(false), Some(false), Some(false))
        );
        assert_eq!((asked("?strict=1"), asked("?profile=a&strict=true")), (Some(true), Some(true)));
        assert_eq!((asked("?strict=%31"), asked("?s%74rict=%74rue")), (Some(true), Some(true)));
        assert_eq!(
            (asked("?strict=yes"), asked("?strict=1&strict=0"), asked("?strict=")),
            (None, None, None)
        );
        assert_eq!(profile(&head("/upload?strict=1&profile=a", &[])).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn a_digest_is_of_the_video_or_of_the_form_it_is_in() {
        let (video, other) = (ContentId::of(b"video"), ContentId::of(b"other"));
        let standard = crate::content::repr_digest(&video);
        let (hex, other_hex) = (video.to_string(), other.to_string());
        let digest = ("content-digest", standard.as_str());
        let form = ("content-type", "multipart/form-data; boundary=x");
        let digests = |headers: &[(&str, &str)]| {
            let head = head("/upload", headers);
            (content_sha256(&head).map_err(|e| e.status().as_u16()), form_sha256(&head).unwrap_or(None))
        };
        assert_eq!(digests(&[]), (Ok(None), None));
        assert_eq!(digests(&[digest]), (Ok(Some(video)), None));
        assert_eq!(digests(&[("x-content-sha256", &hex)]), (Ok(Some(video)), None));
        assert_eq!(digests(&[digest, ("x-content-sha256", &hex)]), (Ok(Some(video)), None));
        assert_eq!(digests(&[digest, ("x-content-sha256", &other_hex)]), (Err(400), None));
        assert_eq!(digests(&[digest, form]), (Ok(None), Some(video)));
        assert_eq!(
            digests(&[digest, form, ("x-content-sha256", &other_hex)]),
            (Ok(Some(other)), Some(video))
        );
        assert_eq!(digests(&[("content-digest", "sha-512=:AAAA:"), digest]), (Ok(Some(video)), None));
        assert_eq!(digests(&[("content-digest", "sha-512=:AAAA:")]), (Ok(None), None));
        for bad in ["sha-256=:AAAA:", "sha-512=:AAAA:, SHA-256=x", "sha-256=::"] {
            assert_eq!(digests(&[("content-digest", bad)]), (Err(400), None), "{bad}");
        }
        assert_eq!(digests(&[("x-content-sha256", "xyz")]), (Err(400), None));
    }

    #[test]
    fn a_deadline_is_a_number_of_milliseconds() {
        let now = Instant::now();
        let (default, max) = (Duration::from_secs(40), Duration::from_secs(60));
        let asked = |value| deadline(&head("/", &[("x-deadline-ms", value)]), default, max, now);
        assert_eq!(deadline(&head("/", &[]), default, max, now).unwrap().at, now + default);
        let given = asked("1500").unwrap();
        assert_eq!(
            given,
            Deadline { allowed: Duration::from_millis(1500), at: now + Duration::from_millis(1500) }
        );
        assert!(asked("soon").is_err());
        assert!(asked("-1").is_err());
        assert_eq!(asked("60000").unwrap().allowed, max);
        let over = asked("60001").unwrap_err();
        assert!(over.to_string().contains("60000 ms at most (1m)"), "{over}");
        let peers = head("/", &[("x-deadline-ms", "99999999999999")]);
        assert_eq!(peers_deadline(&peers, default, max, now).unwrap().allowed, max);
    }

    #[test]
    fn several_profiles_stand_in_one_list() {
        assert_eq!(profile_names("360p").unwrap(), ["360p"]);
        assert_eq!(profile_names("hls, poster,audio ").unwrap(), ["hls", "poster", "audio"]);
        let list = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(profile_names(&list(PROFILES_MAX)).unwrap().len(), PROFILES_MAX);
        for (bad, why) in
            [(list(PROFILES_MAX + 1), "at most 8"), ("a,b, a".into(), "profile a is named twice")]
        {
            assert!(profile_names(&bad).unwrap_err().to_string().contains(why), "{bad}");
        }
    }

    #[test]
    fn file_names_are_made_harmless() {
        let cases = [
            ("clip one.mp4", Some("clip one.mp4")),
            ("../../etc/passwd", Some("passwd")),
            ("a\"; filename=\"b.sh", Some("a_; filename=_b.sh")),
            ("Übung 1.mp4", Some("Übung 1.mp4")),
            ("UTF-8''%C3%9Cbung%201.mp4", Some("Übung 1.mp4")),
            ("utf-8''..%2Fx%zz.mp4", Some("x%zz.mp4")),
            ("gpj.\u{202e}4pm", Some("gpj._4pm")),
            ("日本.mp4", Some("日本.mp4")),
            ("AC\\DC.mp4", Some("AC_DC.mp4")),
            ("clip\\", Some("clip_")),
            ("C:\\Users\\me\\clip.mp4", Some("clip.mp4")),
            ("\\\\nas\\films\\clip.mp4", Some("clip.mp4")),
            ("..\\..\\clip.mp4", Some("clip.mp4")),
            (".hidden", Some("hidden")),
            ("..", None),
            ("", None),
        ];
        for (given, expected) in cases {
            let mut head = head("/", &[]);
            head.headers.insert(HEADER::FILENAME, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            assert_eq!(filename(&head).as_deref(), expected, "{given:?}");
        }
        assert_eq!(safe_filename(&"é".repeat(150)).unwrap().len(), FILENAME_BYTES_MAX);
        let long = "x".repeat(300);
        assert_eq!(filename(&head("/", &[("x-filename", &long)])).unwrap().len(), FILENAME_BYTES_MAX);
    }
}
