//! A file as a request body: streamed, with its exact length, never whole in memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

use super::upload::Progress;

/// What is read at once: few system calls, little memory.
const CHUNK_BYTES: usize = 128 * 1024;

/// The rest of an opened file, and what is to follow it.
pub(super) struct FileBody {
    file: File,
    bytes_left: u64,
    tail: Bytes,
    buffer: BytesMut,
    progress: Arc<dyn Progress>,
}

impl FileBody {
    pub(super) fn new(mut file: File, bytes: u64, progress: Arc<dyn Progress>) -> Self {
        file.set_max_buf_size(CHUNK_BYTES);
        Self { file, bytes_left: bytes, tail: Bytes::new(), buffer: BytesMut::new(), progress }
    }

    /// The same, and then these bytes.
    pub(super) fn followed_by(self, tail: Bytes) -> Self {
        Self { tail, ..self }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.bytes_left == 0 {
            let tail = std::mem::take(&mut this.tail);
            return Poll::Ready((!tail.is_empty()).then(|| Ok(Frame::data(tail))));
        }
        let wanted = CHUNK_BYTES.min(usize::try_from(this.bytes_left).unwrap_or(CHUNK_BYTES));
        this.buffer.resize(wanted, 0);
        let mut read = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut read))?;
        let filled = read.filled().len();
        if filled == 0 {
            let short =
                io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent");
            return Poll::Ready(Some(Err(short)));
        }
        this.bytes_left -= filled as u64;
        this.progress.sent(filled as u64);
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(filled).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0 && self.tail.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left + self.tail.len() as u64)
    }
}
