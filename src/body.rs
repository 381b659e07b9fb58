//! Bodies of answers and of requests to peers: a few bytes at hand, or a file streamed with back-pressure.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, SizeHint};

/// Any body that this node sends.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How much of a file is read at a time.
const CHUNK_BYTES: u64 = 256 * 1024;

/// A body that is all here.
pub fn full_body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body, and something that lives until all of it is sent, or given up.
pub fn keep<K: Send + Unpin + 'static>(body: Body, keep: K) -> Body {
    Kept { body, _keep: keep }.boxed_unsync()
}

struct Kept<K> {
    body: Body,
    _keep: K,
}

impl<K: Send + Unpin + 'static> hyper::body::Body for Kept<K> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A range of a file's bytes, read as the other side takes them, with positioned reads: the file may be shared.
/// `keep` lives as long as the body: a pin that holds the file in the cache, or the file's deletion.
pub fn file_body<K: Send + 'static>(file: Arc<File>, Range { start, end }: Range<u64>, keep: K) -> Body {
    let chunks = stream::try_unfold((file, start, keep), move |(file, offset, keep)| async move {
        if offset >= end {
            return Ok(None);
        }
        let length = (end - offset).min(CHUNK_BYTES);
        let reader = Arc::clone(&file);
        let read = move || read_chunk(&reader, offset, length as usize);
        let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        Ok(Some((Frame::data(chunk), (file, offset + length, keep))))
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn read_chunk(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; length];
    file.read_exact_at(&mut chunk, offset)?;
    Ok(chunk.into())
}
