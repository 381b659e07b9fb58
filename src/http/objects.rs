//! `GET /objects/{sha256}/{profile}`: results that are held here.

use std::sync::Arc;

use headers::authorization::Bearer;
use headers::{AcceptRanges, Authorization, HeaderMapExt};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::conditional::{self, Answer, Part};
use super::respond::{problem, set_header, set_length};
use super::{ApiError, Body, file_body, full_body};
use crate::api::HEADER;
use crate::content::{ContentId, REPR_DIGEST, repr_digest};
use crate::node::Node;
use crate::profile::Profile;
use crate::store::files::Entry;
use crate::store::{Key, Object};

/// Which result is asked for, and with which token.
pub(super) struct Wanted {
    content: ContentId,
    profile: Arc<Profile>,
    /// The token in the path, the query or the head.
    token: Option<String>,
}

impl Wanted {
    /// Reads it out of a path's segments and the rest of a request; refuses a client that may not have it.
    pub(super) fn read<B>(
        node: &Node,
        content: &str,
        profile: &str,
        request: &Request<B>,
    ) -> Result<Self, ApiError> {
        // A matrix parameter stays where a player resolves the relative names of a playlist; a query does not.
        let (profile, matrix) = profile.split_once(';').unwrap_or((profile, ""));
        let in_matrix = || matrix.split(';').find_map(|pair| pair.strip_prefix("token="));
        let in_matrix = in_matrix().map(|token| percent_decode_str(token).decode_utf8_lossy().into_owned());
        let query = request.uri().query().unwrap_or_default();
        let in_query = || form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
        let bearer = || request.headers().typed_get::<Authorization<Bearer>>();
        let token = in_matrix
            .or_else(|| in_query().map(|(_, token)| token.into_owned()))
            .or_else(|| bearer().map(|bearer| bearer.token().trim().to_owned()));
        let wanted = Self { content: content_id(content)?, profile: node.profile(Some(profile))?, token };
        // Whether it is held here makes no difference.
        let admitted = node.result_tokens().is_none_or(|tokens| {
            tokens.admits(&wanted.content, &wanted.profile.name, wanted.token.as_deref().unwrap_or_default())
        });
        if admitted { Ok(wanted) } else { Err(ApiError::PrivateResult) }
    }

    /// The result, if it is held here.
    pub(super) async fn find(&self, node: &Node) -> Result<Object, ApiError> {
        find(node, self.content, &self.profile).await
    }

    pub(super) const fn content(&self) -> &ContentId {
        &self.content
    }

    pub(super) const fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }
}

pub(super) async fn object(
    node: &Node,
    content: &str,
    profile: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    let found = async { Wanted::read(node, content, profile, request)?.find(node).await };
    match found.await {
        Ok(object) => answer(node, &Shown::whole(&object), request),
        Err(error) => problem(&error),
    }
}

/// The answer to a GET or HEAD of what is held here.
pub(super) fn answer(node: &Node, shown: &Shown<'_>, request: &Request<Incoming>) -> Response<Body> {
    let mut response = conditional(shown, request.method(), request.headers());
    set_header(&mut response, HEADER::SERVED_BY, node.identity().name.as_str());
    keep_private(node, &mut response);
    response
}

/// Where a result can be fetched again, with its token if it needs one.
pub(super) fn location(node: &Node, content: &ContentId, profile: &Profile) -> String {
    let path = format!("/objects/{content}/{}", profile.name);
    match token(node, content, profile) {
        Some(token) => format!("{path}?token={token}"),
        None => path,
    }
}

/// The same for what stands in a result; names in it are relative to that.
pub(super) fn folder(node: &Node, content: &ContentId, profile: &Profile) -> String {
    let path = format!("/objects/{content}/{}", profile.name);
    match token(node, content, profile) {
        Some(token) => format!("{path};token={token}/"),
        None => format!("{path}/"),
    }
}

fn token(node: &Node, content: &ContentId, profile: &Profile) -> Option<String> {
    node.result_tokens().and_then(|tokens| tokens.token(content, &profile.name))
}

/// A private result is not for caches that several clients share.
pub(super) fn keep_private(node: &Node, response: &mut Response<Body>) {
    if node.result_tokens().is_some() && response.headers().contains_key(ETAG) {
        let private = HeaderValue::from_static("private, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, private);
    }
}

pub(super) fn content_id(text: &str) -> Result<ContentId, ApiError> {
    text.parse().map_err(|error| ApiError::BadRequest(format!("{text:.80}: {error}")))
}

pub(super) async fn find(node: &Node, content: ContentId, profile: &Profile) -> Result<Object, ApiError> {
    let key = Key::new(content, profile);
    node.cached(&key).await.ok_or_else(|| ApiError::NotFound(format!("/objects/{content}/{}", profile.name)))
}

/// What is shown of a result: all of it, or one file of a set.
pub(super) struct Shown<'a> {
    object: &'a Object,
    media_type: &'a str,
    /// Where in the result.
    at: Part,
    /// Tells it from all others, as the entity tag.
    tag: ContentId,
    /// SHA-256 of its bytes, where that is known.
    digest: Option<ContentId>,
}

impl<'a> Shown<'a> {
    /// All of it.
    pub(super) fn whole(object: &'a Object) -> Self {
        let digest = object.sha256();
        let at = Part { start: 0, bytes: object.bytes() };
        Self { object, media_type: object.media_type(), at, tag: digest, digest: Some(digest) }
    }

    /// One file of a set.
    pub(super) fn file(object: &'a Object, entry: &'a Entry) -> Self {
        let (set, name) = (object.sha256(), entry.name.as_str());
        let tag = ContentId::of(&[set.as_bytes(), name.as_bytes()].concat());
        let at = Part { start: entry.offset, bytes: entry.bytes };
        Self { object, media_type: entry.name.media_type(), at, tag, digest: None }
    }

    fn bytes(&self, part: Part) -> Response<Body> {
        let start = self.at.start + part.start;
        let range = start..start + part.bytes;
        let body = match self.object.content() {
            Some(content) => full_body(content.slice(range.start as usize..range.end as usize)),
            None => file_body(Arc::clone(self.object.file()), range, self.object.clone()),
        };
        let mut response = self.described(body);
        set_length(&mut response, part.bytes);
        response
    }

    /// An answer with the headers that describe it, its digest among them.
    fn described(&self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        set_header(&mut response, CONTENT_TYPE, self.media_type);
        response.headers_mut().typed_insert(conditional::etag(&self.tag));
        if let Some(digest) = &self.digest {
            set_header(&mut response, REPR_DIGEST, &repr_digest(digest));
        }
        if let Some(damage) = self.object.damage() {
            set_header(&mut response, HEADER::INPUT_DAMAGE, &damage.to_string());
        }
        response.headers_mut().typed_insert(AcceptRanges::bytes());
        // The content's digest and the profile are the name: what is under it never changes.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
        response
    }
}

/// The answer to a GET or HEAD that may have conditions, and to a GET that may want a part.
fn conditional(shown: &Shown<'_>, method: &Method, head: &HeaderMap) -> Response<Body> {
    let total = shown.at.bytes;
    match conditional::answer(method, head, &conditional::etag(&shown.tag), total) {
        Answer::Whole => shown.bytes(Part { start: 0, bytes: total }),
        Answer::Part(part) => {
            let mut response = shown.bytes(part);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set_header(&mut response, CONTENT_RANGE, &part.content_range(total));
            response
        }
        Answer::NotModified => {
            let mut response = shown.described(full_body(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Answer::PreconditionFailed => {
            problem(&ApiError::PreconditionFailed { etag: format!("\"{}\"", shown.tag) })
        }
        Answer::Unsatisfiable => {
            let mut response = problem(&ApiError::NoSuchRange { total });
            set_header(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
            response
        }
    }
}

/// The answer that carries a whole result.
pub(super) fn whole(object: &Object) -> Response<Body> {
    let shown = Shown::whole(object);
    shown.bytes(shown.at)
}
