//! What the head of a request for an upload in parts says, by either protocol.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap};

use crate::api::HEADER;
use crate::content::{ContentId, parse_digest};
use crate::http::error::PartsError;
use crate::http::{ApiError, request};
use crate::store::Checksum;
use crate::uploads::Given;

/// The version of tus that is spoken here.
pub(super) const TUS_VERSION: &str = "1.0.0";
/// What tus' bodies are.
pub(super) const TUS_TYPE: &str = "application/offset+octet-stream";
/// What the draft's are.
const PARTIAL_TYPE: &str = "application/partial-upload";
/// From this version of the draft on they are.
const TYPED_SINCE: u64 = 6;
/// Longest metadata that is kept, in bytes.
const METADATA_BYTES_MAX: usize = 4096;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// tus 1.0.0.
    Tus,
    /// draft-ietf-httpbis-resumable-upload.
    Ietf,
}

/// A header's value, without the blanks around it.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    Ok(request::value(headers, name)?.map(str::trim))
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(text) = value(headers, name)? else { return Ok(None) };
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| plain);
    parsed.map(Some).ok_or_else(|| {
        ApiError::BadRequest(format!("{name}: {text:.40} is no number of bytes: give it in digits"))
    })
}

/// A structured field's boolean (RFC 9651).
fn flag(headers: &HeaderMap, name: &str) -> Result<Option<bool>, ApiError> {
    match value(headers, name)? {
        None => Ok(None),
        Some("?1") => Ok(Some(true)),
        Some("?0") => Ok(Some(false)),
        Some(text) => Err(ApiError::BadRequest(format!("{name}: {text:.40}: give ?1 or ?0"))),
    }
}

fn media_type(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let given = value(headers, CONTENT_TYPE.as_str())?;
    Ok(given.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()))
}

/// The draft's sign that a body may come in parts; none where the request has none.
pub(in crate::http) fn is_complete(headers: &HeaderMap) -> Result<Option<bool>, ApiError> {
    flag(headers, "upload-complete")
}

impl Dialect {
    /// How a request speaks.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        match value(headers, "tus-resumable")? {
            None => Ok(Self::Ietf),
            Some(TUS_VERSION) => Ok(Self::Tus),
            Some(other) => Err(PartsError::TusVersion(other.to_owned()).into()),
        }
    }
}

/// The method that is meant: clients that can't send PATCH send POST (tus, X-HTTP-Method-Override).
pub(super) fn method(method: &Method, headers: &HeaderMap) -> Result<Method, ApiError> {
    let overridden = value(headers, "x-http-method-override")?;
    match overridden.filter(|_| *method == Method::POST) {
        None => Ok(method.clone()),
        Some("PATCH") => Ok(Method::PATCH),
        Some("DELETE") => Ok(Method::DELETE),
        Some("HEAD") => Ok(Method::HEAD),
        Some(other) => Err(ApiError::BadRequest(format!(
            "X-HTTP-Method-Override: {other:.40}: give PATCH, DELETE or HEAD"
        ))),
    }
}

/// What a request says that begins an upload.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// How long all of it will be.
    pub(super) length: Option<u64>,
    /// As the client gave it.
    pub(super) metadata: Option<String>,
    /// The same, read.
    pub(super) fields: Vec<(String, String)>,
    /// What the body is, if there is one that counts.
    pub(super) given: Option<Given>,
}

impl Beginning {
    /// By tus: creation, creation-with-upload and creation-defer-length.
    pub(super) fn tus(headers: &HeaderMap) -> Result<Self, ApiError> {
        let length = tus_length(headers)?;
        if length.is_none() && value(headers, "upload-defer-length")?.is_none() {
            return Err(ApiError::BadRequest(
                "give Upload-Length, in bytes, or Upload-Defer-Length: 1 where it is not known yet".into(),
            ));
        }
        let metadata = value(headers, "upload-metadata")?.map(str::to_owned);
        let fields = metadata.as_deref().map(fields).transpose()?.unwrap_or_default();
        let with_body = media_type(headers)?.as_deref() == Some(TUS_TYPE);
        let given =
            with_body.then_some(Given { offset: 0, length, last: false, checksum: checksum(headers)? });
        // An upload of nothing is whole as it begins, and no video.
        Ok(Self { length, metadata, fields, given })
    }

    /// By the draft, section 4: the body is the upload's first part, or all of it.
    pub(super) fn ietf(headers: &HeaderMap, body_bytes: Option<u64>) -> Result<Self, ApiError> {
        let complete = is_complete(headers)?.ok_or_else(|| {
            ApiError::BadRequest(
                "an upload in parts begins with Tus-Resumable: 1.0.0 (tus) or with Upload-Complete: ?0 \
                 (draft-ietf-httpbis-resumable-upload); a video in one piece goes to /upload or /jobs"
                    .into(),
            )
        })?;
        let length = number(headers, "upload-length")?.or(body_bytes.filter(|_| complete));
        let checksum = content_digest(headers)?;
        let given = Given { offset: 0, length, last: complete, checksum };
        Ok(Self { length, given: Some(given), ..Self::default() })
    }

    /// What the client says of it under the first of these names.
    pub(super) fn field(&self, names: &[&str]) -> Option<&str> {
        let of = |name: &&str| self.fields.iter().find(|(key, value)| key == name && !value.is_empty());
        names.iter().find_map(of).map(|(_, value)| value.as_str())
    }
}

/// What a request says that appends to an upload.
pub(super) fn given(dialect: Dialect, headers: &HeaderMap) -> Result<Given, ApiError> {
    let missing = || ApiError::BadRequest("give Upload-Offset: where in the upload this body begins".into());
    let expected = match dialect {
        Dialect::Tus => TUS_TYPE,
        Dialect::Ietf => PARTIAL_TYPE,
    };
    let of_type = media_type(headers)?.as_deref() == Some(expected);
    let untyped = dialect == Dialect::Ietf
        && number(headers, "upload-draft-interop-version")?.is_some_and(|version| version < TYPED_SINCE);
    if !of_type && !untyped {
        return Err(ApiError::WrongMediaType { path: "PATCH of an upload".into(), expected });
    }
    let offset = number(headers, "upload-offset")?.ok_or_else(missing)?;
    match dialect {
        Dialect::Tus => {
            let length = tus_length(headers)?;
            Ok(Given { offset, length, last: false, checksum: checksum(headers)? })
        }
        Dialect::Ietf => {
            let complete = is_complete(headers)?.ok_or_else(|| {
                ApiError::BadRequest(
                    "give Upload-Complete: ?1 if the upload ends with this body, else ?0".into(),
                )
            })?;
            let length = number(headers, "upload-length")?;
            Ok(Given { offset, length, last: complete, checksum: content_digest(headers)? })
        }
    }
}

fn tus_length(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let length = number(headers, "upload-length")?;
    match value(headers, "upload-defer-length")? {
        None => Ok(length),
        Some("1") if length.is_none() => Ok(None),
        Some("1") => Err(ApiError::BadRequest("give Upload-Length or Upload-Defer-Length, not both".into())),
        Some(other) => Err(ApiError::BadRequest(format!("Upload-Defer-Length: {other:.40}: give 1"))),
    }
}

/// tus, Upload-Checksum: an algorithm and a digest in Base64.
fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, ApiError> {
    let Some(text) = value(headers, "upload-checksum")? else { return Ok(None) };
    let read = text.split_once(' ').and_then(|(algorithm, digest)| {
        Checksum::of(&algorithm.to_ascii_lowercase(), &BASE64.decode(digest.trim()).ok()?)
    });
    read.map(Some).ok_or_else(|| {
        ApiError::BadRequest(format!(
            "Upload-Checksum: {text:.100}: give one of {}, a space, and the digest in Base64",
            Checksum::ALGORITHMS
        ))
    })
}

/// The draft, section 7: what one body hashes to, by RFC 9530. Algorithms that are not known are to be ignored.
fn content_digest(headers: &HeaderMap) -> Result<Option<Checksum>, ApiError> {
    let digest = value(headers, "content-digest")?.and_then(parse_digest);
    Ok(digest.map(|ContentId(digest)| Checksum::Sha256(digest)))
}

/// What all of an upload hashes to, where the client knows: our own header, RFC 9530, or metadata.
pub(super) fn announced(headers: &HeaderMap, beginning: &Beginning) -> Result<Option<ContentId>, ApiError> {
    let own = value(headers, HEADER::CONTENT_SHA256)?.or_else(|| beginning.field(&["sha256"]));
    let bad = |error| ApiError::BadRequest(format!("{}: {error}", HEADER::CONTENT_SHA256));
    match own {
        Some(text) => text.parse().map(Some).map_err(bad),
        None => Ok(value(headers, "repr-digest")?.and_then(parse_digest)),
    }
}

/// tus, Upload-Metadata: keys, each with a value in Base64 or none.
fn fields(metadata: &str) -> Result<Vec<(String, String)>, ApiError> {
    let bad = |what: &str| ApiError::BadRequest(format!("Upload-Metadata: {what}"));
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(bad(&format!("it is longer than {METADATA_BYTES_MAX} bytes")));
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = BASE64.decode(value.trim()).map_err(|_| bad(&format!("{key:.40} is not in Base64")))?;
        if fields.iter().any(|(other, _)| other == key) {
            return Err(bad(&format!("{key:.40} is given twice")));
        }
        fields.push((key.to_owned(), String::from_utf8_lossy(&value).into_owned()));
    }
    Ok(fields)
}
