//! `GET /objects/{sha256}/{profile}` and `GET /profiles`: results that are held here, and what can be asked for.

use std::sync::Arc;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::respond::{json, problem, set_header, set_length};
use super::{ApiError, Body, HEADER, file_body};
use crate::cache::{Key, Object};
use crate::content::ContentId;
use crate::node::Node;
use crate::offload::{REPR_DIGEST, repr_digest};

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

pub(super) async fn object(node: &Node, content: &str, profile: &str) -> Response<Body> {
    match find(node, content, profile).await {
        Ok(object) => {
            let mut response = whole(&object);
            set_header(&mut response, HEADER::SERVED_BY, node.identity().name.as_str());
            response
        }
        Err(error) => problem(&error),
    }
}

async fn find(node: &Node, content: &str, profile: &str) -> Result<Object, ApiError> {
    let content = content
        .parse::<ContentId>()
        .map_err(|error| ApiError::BadRequest(format!("{content:.80}: {error}")))?;
    let profile = node.profile(Some(profile))?;
    let key = Key::new(content, &profile);
    node.cached(&key).await.ok_or_else(|| ApiError::NotFound(format!("/objects/{content}/{}", profile.name)))
}

/// The answer that carries a whole result, with its digest.
pub(super) fn whole(object: &Object) -> Response<Body> {
    let mut response = Response::new(file_body(Arc::clone(object.file()), object.bytes(), object.clone()));
    set_length(&mut response, object.bytes());
    set_header(&mut response, CONTENT_TYPE.as_str(), object.media_type());
    set_header(&mut response, ETAG.as_str(), &format!("\"{}\"", object.sha256()));
    set_header(&mut response, REPR_DIGEST, &repr_digest(&object.sha256()));
    // The content's digest and the profile are the name: what is under it never changes.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
    response
}
