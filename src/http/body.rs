//! Bodies of answers and of requests to peers: a few bytes at hand, or a file streamed with back-pressure.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio_util::io::ReaderStream;

/// Any body that this node sends.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How much of a file is read ahead of the socket.
const CHUNK_BYTES: usize = 256 * 1024;

/// A body that is all here.
pub fn full_body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A file's bytes from its position on, read as the other side takes them. `keep` lives as long as the body: a pin
/// that holds the file in the cache, a permit.
pub fn file_body<K: Send + 'static>(file: std::fs::File, keep: K) -> Body {
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_BYTES).map_ok(move |chunk| {
        let _kept = &keep;
        Frame::data(chunk)
    });
    StreamBody::new(stream).boxed_unsync()
}
