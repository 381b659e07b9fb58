//! What clients are told of uploads in parts, by either protocol.

use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{CACHE_CONTROL, LOCATION};
use hyper::{Response, StatusCode};

use super::head::{Dialect, TUS_VERSION};
use crate::api::{HEADER, UploadJson};
use crate::http::respond::set_header;
use crate::http::{Body, full_body};
use crate::jobs::now_ms;
use crate::node::Node;
use crate::store::Checksum;
use crate::uploads::Shown;

/// What of tus is spoken here.
const TUS_EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination";

/// An answer that is all head.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full_body(""));
    *response.status_mut() = status;
    set_header(&mut response, CACHE_CONTROL, "no-store");
    response
}

/// What is spoken here, and what an upload may be.
pub(super) fn options(node: &Node) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    set_header(&mut response, "tus-resumable", TUS_VERSION);
    set_header(&mut response, "tus-version", TUS_VERSION);
    set_header(&mut response, "tus-extension", TUS_EXTENSIONS);
    set_header(&mut response, "tus-checksum-algorithm", Checksum::ALGORITHMS);
    set_header(&mut response, "tus-max-size", &node.upload_bytes_max().to_string());
    set_header(&mut response, "upload-limit", &format!("max-size={}", node.upload_bytes_max()));
    response
}

/// Every answer of tus says so, and one about its version which there is.
pub(super) fn in_dialect(dialect: Dialect, mut response: Response<Body>) -> Response<Body> {
    if dialect == Dialect::Tus {
        set_header(&mut response, "tus-resumable", TUS_VERSION);
    }
    if response.status() == StatusCode::PRECONDITION_FAILED {
        set_header(&mut response, "tus-version", TUS_VERSION);
    }
    response
}

/// An upload has begun.
pub(super) fn begun(node: &Node, dialect: Dialect, shown: &Shown) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    set_header(&mut response, LOCATION, &format!("/uploads/{}", shown.id));
    progress(&mut response, dialect, shown);
    if dialect == Dialect::Ietf {
        limit(&mut response, node, shown);
    }
    response
}

/// A part was appended.
pub(super) fn appended(dialect: Dialect, shown: &Shown) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    progress(&mut response, dialect, shown);
    response
}

/// How far it is.
pub(super) fn offset(node: &Node, dialect: Dialect, shown: &Shown) -> Response<Body> {
    // 204 is what the draft says, and tus leaves both.
    let mut response = empty(if dialect == Dialect::Tus { StatusCode::OK } else { StatusCode::NO_CONTENT });
    progress(&mut response, dialect, shown);
    if let Some(length) = shown.plan.length {
        set_header(&mut response, "upload-length", &length.to_string());
    } else if dialect == Dialect::Tus {
        set_header(&mut response, "upload-defer-length", "1");
    }
    if let (Some(metadata), Dialect::Tus) = (&shown.plan.metadata, dialect) {
        set_header(&mut response, "upload-metadata", metadata);
    }
    if dialect == Dialect::Ietf {
        limit(&mut response, node, shown);
    }
    response
}

/// It is whole, and a job: the answer is the job's, as it would be had it come in one piece.
pub(super) fn accepted(shown: &Shown, mut response: Response<Body>) -> Response<Body> {
    progress(&mut response, Dialect::Ietf, shown);
    response
}

fn progress(response: &mut Response<Body>, dialect: Dialect, shown: &Shown) {
    let plan = &shown.plan;
    set_header(response, "upload-offset", &plan.offset.to_string());
    match dialect {
        Dialect::Tus => {
            let expires = UNIX_EPOCH + Duration::from_millis(shown.expires_ms);
            set_header(response, "upload-expires", &httpdate::fmt_http_date(expires));
        }
        Dialect::Ietf => set_header(response, "upload-complete", if plan.whole { "?1" } else { "?0" }),
    }
    if let Some(job) = &plan.job {
        set_header(response, HEADER::JOB, &job.to_string());
    }
}

/// The draft, section 4.1.4.
fn limit(response: &mut Response<Body>, node: &Node, shown: &Shown) {
    let age_s = shown.expires_ms.saturating_sub(now_ms()) / 1000;
    set_header(response, "upload-limit", &format!("max-size={}, max-age={age_s}", node.upload_bytes_max()));
}

/// The same for people and programs that look.
pub(super) fn document(shown: &Shown) -> UploadJson {
    let Shown { id, plan, expires_ms } = shown;
    UploadJson {
        id: id.to_string(),
        offset: plan.offset,
        length: plan.length,
        complete: plan.whole,
        filename: plan.wish.filename.clone(),
        profiles: plan.wish.profiles.clone(),
        expires_ms: *expires_ms,
        job: plan.job.clone(),
    }
}
