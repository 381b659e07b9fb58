//! The answer to a request for several profiles of one upload: one tar with a folder for each of them, put together while it is
//! sent.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LINK};

use super::disposition::attachment;
use super::respond::{set_header, set_length};
use super::upload::Answered;
use super::{ApiError, Body, file_body, files, full_body, objects};
use crate::api::{HEADER, result_name, several_name};
use crate::node::{Node, Served};
use crate::store::Object;
use crate::store::files::{BLOCK_BYTES, END_BYTES, MEDIA_TYPE, header, padding};

/// A piece of the answer.
enum Piece {
    /// What stands before a file: its path and its length.
    Header(String, u64),
    /// A file of a result.
    File(Object, Range<u64>),
    /// What fills a block, or ends the tar.
    Zeros(u64),
}

impl Piece {
    const fn bytes(&self) -> u64 {
        match self {
            Self::Header(..) => BLOCK_BYTES,
            Self::File(_, range) => range.end - range.start,
            Self::Zeros(bytes) => *bytes,
        }
    }

    fn into_body(self) -> std::io::Result<Body> {
        Ok(match self {
            Self::Header(path, bytes) => full_body(header(&path, bytes)?.to_vec()),
            Self::Zeros(bytes) => full_body(vec![0; bytes as usize]),
            Self::File(object, range) => match object.content() {
                Some(content) => full_body(content.slice(range.start as usize..range.end as usize)),
                None => file_body(Arc::clone(object.file()), range, object.clone()),
            },
        })
    }
}

pub(super) async fn result(node: &Node, answered: &Answered) -> Result<Response<Body>, ApiError> {
    let Answered { content, results, filename } = answered;
    let pieces = pieces(answered).await?;
    let bytes = pieces.iter().map(Piece::bytes).sum();
    let bodies = stream::iter(pieces).map(|piece| piece.into_body().map(BodyExt::into_data_stream));
    let body = StreamBody::new(bodies.try_flatten().map_ok(Frame::data)).boxed_unsync();
    let mut response = Response::new(body);
    set_length(&mut response, bytes);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let list = |of: &dyn Fn(&Served) -> String| {
        results.iter().map(|(_, served)| of(served)).collect::<Vec<_>>().join(", ")
    };
    set_header(&mut response, HEADER::SERVED_BY, &list(&|served| served.by.name.to_string()));
    set_header(&mut response, HEADER::CACHE, &list(&|served| served.cache.as_str().to_owned()));
    set_header(&mut response, HEADER::ROUTE, &list(&Served::route_text));
    if let Some(damage) = results.iter().find_map(|(_, served)| served.object.damage()) {
        set_header(&mut response, HEADER::INPUT_DAMAGE, &damage.to_string());
    }
    let kept = results.iter().filter(|(_, served)| served.object.is_cached());
    let links: Vec<_> = kept
        .map(|(profile, _)| format!("<{}>; rel=\"item\"", objects::location(node, content, profile)))
        .collect();
    if !links.is_empty() {
        set_header(&mut response, LINK, &links.join(", "));
    }
    if let Some(name) = filename {
        let profiles: Vec<_> = results.iter().map(|(profile, _)| profile.name.as_str()).collect();
        let name = result_name(name, &several_name(&profiles), "tar");
        set_header(&mut response, CONTENT_DISPOSITION, &attachment(&name));
    }
    Ok(response)
}

/// The whole tar: a folder for each profile, in the order in which they were asked for.
async fn pieces(answered: &Answered) -> Result<Vec<Piece>, ApiError> {
    let mut pieces = Vec::new();
    for (profile, served) in &answered.results {
        for file in files::of(&served.object).await? {
            pieces.push(Piece::Header(format!("{}/{}", profile.name, file.name), file.bytes));
            pieces.push(Piece::File(served.object.clone(), file.offset..file.offset + file.bytes));
            pieces.push(Piece::Zeros(padding(file.bytes)));
        }
    }
    pieces.push(Piece::Zeros(END_BYTES));
    Ok(pieces)
}
