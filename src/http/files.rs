//! `/objects/{sha256}/{profile}/` and what stands in it: the files of a result, each under its own name, so that the relative names
//! in a playlist lead to them.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::objects::{self, Shown, Wanted};
use super::respond::{json, problem};
use super::{ApiError, Body};
use crate::api::{FileJson, FilesJson};
use crate::node::Node;
use crate::store::Object;
use crate::store::files::Entry;

pub(super) async fn listing(
    node: &Node,
    content: &str,
    profile: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    let listed = async {
        let wanted = Wanted::read(node, content, profile, request)?;
        let files = of(&wanted.find(node).await?).await?;
        let folder = objects::folder(node, wanted.content(), wanted.profile());
        let files = files.iter().map(|file| FileJson {
            name: file.name.to_string(),
            media_type: file.name.media_type().to_owned(),
            bytes: file.bytes,
            url: format!("{folder}{}", file.name),
        });
        let (content, profile) = (*wanted.content(), wanted.profile().name.clone());
        Ok(FilesJson { content, profile, files: files.collect() })
    };
    match listed.await {
        Ok(files) => json(StatusCode::OK, &files),
        Err(error) => problem(&error),
    }
}

pub(super) async fn file(
    node: &Node,
    (content, profile, name): (&str, &str, &str),
    request: &Request<Incoming>,
) -> Response<Body> {
    let found = async {
        let wanted = Wanted::read(node, content, profile, request)?;
        let object = wanted.find(node).await?;
        let files = of(&object).await?;
        let file = files.into_iter().find(|file| file.name.as_str() == name);
        let file = file.ok_or_else(|| {
            let name: String = name.chars().take(80).collect();
            ApiError::NotFound(format!("/objects/{}/{}/{name}", wanted.content(), wanted.profile().name))
        })?;
        Ok((object, file))
    };
    match found.await {
        Ok((object, file)) => objects::answer(node, &Shown::file(&object, &file), request),
        Err(error) => problem(&error),
    }
}

/// The files of a result. It was looked at before it was kept.
pub(super) async fn of(object: &Object) -> Result<Vec<Entry>, ApiError> {
    let unreadable = |error| ApiError::Internal(format!("the files of a kept result can't be read: {error}"));
    object.files().await.map_err(unreadable)
}
