//! `GET /objects/{sha256}/{profile}` and `GET /profiles`: results that are held here, and what can be asked for.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::respond::{json, problem, set_header, set_length};
use super::{ApiError, Body, HEADER, file_body, full_body};
use crate::cache::serve::{self, Answer, Part};
use crate::cache::{Key, Object};
use crate::content::ContentId;
use crate::node::Node;
use crate::profile::Profile;

/// `GET /profiles`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfilesJson {
    /// The one that a request gets which names none.
    pub default: String,
    /// All of them.
    pub profiles: Vec<ProfileJson>,
}

/// One profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileJson {
    /// What to ask for.
    pub name: String,
    /// What it makes.
    pub description: String,
    /// The result's Content-Type.
    pub media_type: String,
}

pub(super) fn profiles(node: &Node) -> Response<Body> {
    let set = node.profiles();
    let profiles = set
        .iter()
        .map(|profile| ProfileJson {
            name: profile.name.to_string(),
            description: profile.description.clone(),
            media_type: profile.media_type().to_owned(),
        })
        .collect();
    json(StatusCode::OK, &ProfilesJson { default: set.default_name().to_string(), profiles })
}

pub(super) async fn object(
    node: &Node,
    content: &str,
    profile: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    if let Err(error) = may_have(node, content, profile, request) {
        return problem(&error);
    }
    match find(node, content, profile).await {
        Ok(object) => {
            let mut response = conditional(&object, request.method(), request.headers());
            set_header(&mut response, HEADER::SERVED_BY, node.identity().name.as_str());
            keep_private(node, &mut response);
            response
        }
        Err(error) => problem(&error),
    }
}

/// Whether results are for all, or whoever asks has the token for this one; whether it is held here makes no difference.
fn may_have(node: &Node, content: &str, profile: &str, request: &Request<Incoming>) -> Result<(), ApiError> {
    let Some(tokens) = node.result_tokens() else { return Ok(()) };
    let (content, profile) = (content_id(content)?, node.profile(Some(profile))?);
    let query = request.uri().query().unwrap_or_default();
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("token="));
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let given = in_query.or(bearer).unwrap_or_default();
    if tokens.admits(&content, &profile.name, given.trim()) { Ok(()) } else { Err(ApiError::PrivateResult) }
}

/// Where a result can be fetched again, with its token if it needs one.
pub(super) fn location(node: &Node, content: &ContentId, profile: &Profile) -> String {
    let path = format!("/objects/{content}/{}", profile.name);
    match node.result_tokens().and_then(|tokens| tokens.token(content, &profile.name)) {
        Some(token) => format!("{path}?token={token}"),
        None => path,
    }
}

/// A private result is not for caches that several clients share.
pub(super) fn keep_private(node: &Node, response: &mut Response<Body>) {
    if node.result_tokens().is_some() && response.headers().contains_key(ETAG) {
        let private = HeaderValue::from_static("private, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, private);
    }
}

fn content_id(text: &str) -> Result<ContentId, ApiError> {
    text.parse().map_err(|error| ApiError::BadRequest(format!("{text:.80}: {error}")))
}

pub(super) async fn find(node: &Node, content: &str, profile: &str) -> Result<Object, ApiError> {
    let content = content_id(content)?;
    let profile = node.profile(Some(profile))?;
    let key = Key::new(content, &profile);
    node.cached(&key).await.ok_or_else(|| ApiError::NotFound(format!("/objects/{content}/{}", profile.name)))
}

/// The answer to a GET or HEAD that may have conditions, and to a GET that may want a part.
fn conditional(object: &Object, method: &Method, head: &HeaderMap) -> Response<Body> {
    let total = object.bytes();
    match serve::answer(method, head, &object.sha256(), total) {
        Answer::Whole => whole(object),
        Answer::Part(part) => {
            let mut response = bytes(object, part);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set_header(&mut response, CONTENT_RANGE, &part.content_range(total));
            response
        }
        Answer::NotModified => {
            let mut response = described(object, full_body(""));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        Answer::PreconditionFailed => {
            problem(&ApiError::PreconditionFailed { etag: serve::etag(&object.sha256()) })
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
    bytes(object, Part { start: 0, bytes: object.bytes() })
}

fn bytes(object: &Object, part: Part) -> Response<Body> {
    let range = part.start..part.start + part.bytes;
    let body = match object.content() {
        Some(content) => full_body(content.slice(range.start as usize..range.end as usize)),
        None => file_body(Arc::clone(object.file()), range, object.clone()),
    };
    let mut response = described(object, body);
    set_length(&mut response, part.bytes);
    response
}

/// An answer with the headers that describe a result, its digest among them.
fn described(object: &Object, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let digest = object.sha256();
    set_header(&mut response, CONTENT_TYPE, object.media_type());
    set_header(&mut response, ETAG, &serve::etag(&digest));
    set_header(&mut response, serve::REPR_DIGEST, &serve::repr_digest(&digest));
    if let Some(damage) = object.damage() {
        set_header(&mut response, HEADER::INPUT_DAMAGE, &damage.to_string());
    }
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // The content's digest and the profile are the name: what is under it never changes.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
    response
}
